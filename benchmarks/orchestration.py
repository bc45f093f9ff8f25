"""What orchestration costs: 12 tiny cells cold and unchanged, and 1,000 cells listed and planned.

    python benchmarks/orchestration.py [ROUNDS]

Needs `pip install nox tox tox-uv` beside the project. Stand-in wheels of a few KB from a local
folder take torch's place; every contender makes 12 environments with uv and imports it in each.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from common import SMOKE, TORCH, environment, fresh, rounds, show, timed, wheels

MATRIX = f"""
[[torch]]
version = {TORCH!r}
variants = ["cpu"]
[suites.smoke]
command = ["python", "-c", {SMOKE!r}]
[profiles.default]
suites = ["smoke"]
"""
NOX = f"""
import nox
nox.options.default_venv_backend = "uv"
@nox.session
@nox.parametrize("torch", {TORCH!r})
def smoke(session, torch):
    session.install(f"torch=={{torch}}", "numpy", "setuptools")
    session.run("python", "-c", {SMOKE!r})
"""
TOX = f"""
[tox]
env_list = smoke-{{{",".join(v.replace(".", "_") for v in TORCH)}}}
skipsdist = true
requires = tox-uv
[testenv]
skip_install = true
deps =
    numpy
    setuptools
{chr(10).join(f"    {v.replace('.', '_')}: torch=={v}" for v in TORCH)}
commands = python -c "{SMOKE}"
"""
NOOP = """
import nox
@nox.session(venv_backend="none")
@nox.parametrize("n", list(range(1000)))
def noop(session, n):
    pass
"""


def thousand() -> str:
    """1,000 cells: every published CPU and CUDA build, over Python versions and companions."""
    from matrix import facts  # noqa: PLC0415

    return f"""
[matrix]
python = ["3.9", "3.10", "3.11", "3.12"]
[[torch]]
version = {list(facts.builds())!r}
variants = ["published"]
[[companion]]
package = "safetensors"
version = ["0.6.2"]
"""


def main() -> None:
    """Print three tables of ratios."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    base = Path(tempfile.mkdtemp(prefix="matrix-bench-"))
    env = environment(wheels(base / "wheels"))
    files = {"matrix.toml": MATRIX, "noxfile.py": NOX, "tox.ini": TOX}
    places = {name: fresh(base / name.split(".")[0]) for name in files}
    for name, text in files.items():
        (places[name] / name).write_text(text)
    ours, nox, tox = places.values()
    matrix = [sys.executable, "-m", "matrix"]
    nox_run, tox_run = [sys.executable, "-m", "nox"], [sys.executable, "-m", "tox", "-q"]

    def cold(place: Path, state: str, argv: list[str]) -> float:
        shutil.rmtree(place / state, ignore_errors=True)
        return timed(argv, place, env)

    show("12 tiny cells, cold, 2 workers", rounds({
        "torch-matrix run --json": lambda: cold(
            ours, "results", [*matrix, "run", "--slots", "2", "--json"]
        ),
        "torch-matrix run (and its tables)": lambda: cold(
            ours, "results", [*matrix, "run", "--slots", "2"]
        ),
        "nox + uv": lambda: cold(nox, ".nox", nox_run),
        "tox-uv -p 2": lambda: cold(tox, ".tox", [*tox_run, "run-parallel", "-p", "2"]),
    }, count), "torch-matrix run --json")  # fmt: skip
    show("the same 12, unchanged", rounds({
        "torch-matrix run": lambda: timed([*matrix, "run", "--slots", "2"], ours, env),
        "nox -R": lambda: timed([*nox_run, "-R"], nox, env),
        "tox-uv": lambda: timed([*tox_run, "run"], tox, env),
    }, count), "torch-matrix run")  # fmt: skip

    big, noop = fresh(base / "big"), fresh(base / "noop")
    (big / "matrix.toml").write_text(thousand())
    (noop / "noxfile.py").write_text(NOOP)
    show("1,000 cells, cold process", rounds({
        "torch-matrix list --all": lambda: timed([*matrix, "list", "--all"], big, env),
        "torch-matrix plan": lambda: timed([*matrix, "plan"], big, env),
        "nox, 1,000 no-op sessions": lambda: timed(nox_run, noop, env),
    }, count), "torch-matrix list --all")  # fmt: skip
    shutil.rmtree(base)


if __name__ == "__main__":
    main()
