"""Sessions people type; each is a line or two over `python -m matrix`."""

import importlib.util
import os
import sys
from pathlib import Path

import nox

HERE = Path(__file__).resolve().parent
FILE = Path(os.environ.get("MATRIX_FILE", HERE / "matrix.toml"))
# plain `nox` does not put the folder of the noxfile on sys.path
sys.path.insert(0, str(HERE))

from matrix.errors import MatrixError  # noqa: E402
from matrix.process import Stopped  # noqa: E402
from matrix.workspace import Workspace  # noqa: E402

nox.options.sessions = ["matrix"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = True
nox.options.reuse_existing_virtualenvs = True

# installed beside nox (README's first command), or by nox into an environment of its own
INSTALLED = all(importlib.util.find_spec(name) for name in ("docker", "pandas", "pyarrow", "uv"))


def project(session: nox.Session, *groups: str) -> None:
    """Install the project unless nox already runs where it is installed."""
    if isinstance(session.virtualenv, nox.virtualenv.PassthroughEnv):
        return
    session.install("-e", str(HERE), *(f"--group={group}" for group in groups))


def call(session: nox.Session, *arguments: str, file: Path = FILE) -> None:
    """Call the CLI where the project is installed."""
    project(session)
    python = sys.executable if INSTALLED else "python"
    options = ("--file", str(file), *session.posargs)
    session.run(python, "-m", "matrix", *arguments, *options, external=True)


@nox.session(venv_backend="none" if INSTALLED else None)
def matrix(session: nox.Session) -> None:
    """Run what is new or stale of the matrix and print its tables (-- for `run`'s options)."""
    call(session, "run")


@nox.session(venv_backend="none" if INSTALLED else None)
def report(session: nox.Session) -> None:
    """Print the tables of the newest evidence (-- for `report`'s options)."""
    call(session, "report")


@nox.session(venv_backend="none" if INSTALLED else None)
def guide(session: nox.Session) -> None:
    """Say which version to choose for what, from the evidence (-- for `guide`'s options)."""
    call(session, "guide")


@nox.session(venv_backend="none" if INSTALLED else None)
def check(session: nox.Session) -> None:
    """Say what is wrong with an environment (-- --python PATH, and `check`'s other options)."""
    call(session, "check")


@nox.session(venv_backend="none" if INSTALLED else None)
def dockerfiles(session: nox.Session) -> None:
    """Render the reviewed Dockerfiles and Compose files again; fails where they differ."""
    folder = HERE / "dockerfiles" / "reference"
    for kind in ((), ("--classic", "--select", "variant==cpu"), ("--compose",)):
        call(session, "render", *kind, "--out", str(folder), file=folder / "matrix.toml")
    session.run("git", "diff", "--exit-code", "--", str(folder), external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Pass the tests of the orchestrator: unit and integration (-- for pytest's options)."""
    project(session, "test")
    session.run("python", "-m", "pytest", "-n=auto", "--maxprocesses=4", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """Pass the unit tests with the oldest releases that we say we work with."""
    wanted = nox.project.load_toml(HERE / "pyproject.toml")["project"]["dependencies"]
    oldest = [requirement.replace(">=", "==") for requirement in wanted]
    session.install("-e", str(HERE), "--group=test", *oldest)
    session.run("python", "-m", "pytest", "-n=auto", "--maxprocesses=4", "tests/unit")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, the direction of imports, workflows, and generated files."""
    project(session, "test", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("cog", "-P", "--check", "README.md")
    references = HERE / "dockerfiles" / "reference"
    session.run("hadolint", *map(str, sorted(references.glob("*.Dockerfile"))))
    services = map(str, sorted(references.glob("*.compose.yaml")))
    session.run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *services)
    workflows = sorted(map(str, (HERE / ".github" / "workflows").glob("*.yml")))
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    session.run("zizmor", "--offline", "--quiet", *workflows)


def _cell_sessions() -> None:
    """One session per cell, named by its id, tagged with accelerator and torch release."""
    try:
        cells = Workspace.of(FILE, env=os.environ).expansion.cells
    except (MatrixError, Stopped) as error:
        print(f"noxfile: no sessions for cells: {error}", file=sys.stderr)  # noqa: T201
        return
    for cell in cells:

        def one(session: nox.Session, cell_id: str = cell.id) -> None:
            call(session, "run", "--select", cell_id)

        one.__doc__ = f"Run the suites of {cell.id} on {cell.device}."
        tags = list(dict.fromkeys([cell.accelerator, cell.device, f"torch{cell.torch}"]))
        backend = "none" if INSTALLED else None
        nox.session(name=cell.id, tags=tags, default=False, venv_backend=backend)(one)


_cell_sessions()
