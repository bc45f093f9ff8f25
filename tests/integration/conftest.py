"""Real programs, environments and signals, around stand-in wheels of a few KB."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import standin
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from matrix.entries import RunInfo
from matrix.store import Store

ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
RELEASES = ("2.10.0", "2.11.0", "2.12.0")
MARK = "TORCH_MATRIX_TEST"
USE_THE_ENGINE = (
    "test_compose_files",
    "test_containers",
    "test_fleet",
    "test_gpu_requests",
    "test_images",
)
# importing this torch waits where a test asks for it
STALLS = """
import os, sys, time
if os.environ.get("STALL_AT") == "probe" and any("probe" in word for word in sys.orig_argv):
    open(os.environ["STALL_FILE"], "w").close()
    time.sleep(600)
"""


class ByFile(LoadFileScheduling):
    """With several processes: tests of one file run in one, and so do all that use the engine."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(super()._split_scope(nodeid))
        return "engine" if file.stem in USE_THE_ENGINE else str(file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """What pytest-xdist asks for."""
    return ByFile(config, log)


def cell(release: str, tail: str = "") -> str:
    """The id of a stand-in cell."""
    return f"torch{release}-cpu-py{PYTHON}{tail}"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that stand-in cells need, in one folder."""
    folder = tmp_path_factory.mktemp("wheels")
    for release in RELEASES:
        standin.make_torch(folder, release, extra=STALLS)
    standin.make_needs(folder)
    standin.repack(folder, "pytest", "pytest-benchmark")
    return folder


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One download cache for all tests: environments then cost a few hard links."""
    return tmp_path_factory.mktemp("uv-cache")


@dataclass(kw_only=True)
class Project:
    """A folder with a matrix file and tests, and the commands a user gives there."""

    folder: Path
    env: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """What its runs left."""
        return Store(self.folder / "results")

    @property
    def last(self) -> RunInfo:
        """Its newest run."""
        return self.store.runs()[-1]

    def write(self, text: str, **files: str) -> None:
        """Write the matrix file and test files (`mine__test_a` is `mine/test_a.py`)."""
        (self.folder / "matrix.toml").write_text(text, encoding="utf-8")
        for name, content in files.items():
            path = self.folder / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")

    def start(
        self, *arguments: str | Path, driver: str = "", **env: str | Path
    ) -> subprocess.Popen[str]:
        """Start a command; `driver` is code that runs in the orchestrator before it."""
        how = ["-m", "matrix"]
        if driver:
            how = ["-c", f"{driver}\nimport sys; from matrix.cli import main; sys.exit(main())"]
        process = subprocess.Popen(
            [sys.executable, *how, *map(str, arguments)],
            cwd=self.folder,
            env={**self.env, **{name: str(value) for name, value in env.items()}},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def call(
        self, *arguments: str | Path, driver: str = "", timeout: float = 90.0, **env: str | Path
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*arguments, driver=driver, **env)
        out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self, *arguments: str | Path, **env: str | Path) -> dict[str, Any]:
        """`run --json`; returns its document with the exit code in it."""
        done = self.call("run", "--json", *arguments, **env)
        assert done.stdout, done.stderr
        return {**json.loads(done.stdout), "code": done.returncode, "stderr": done.stderr}

    def verdicts(self, run: RunInfo | None = None) -> dict[tuple[str, str], str]:
        """(torch, test) → verdict of a run, cell-level rows among them."""
        rows = self.store.rows((run or self.last).entries)
        return {(row.torch, row.test): row.verdict for row in rows if row.verdict}

    def living(self) -> dict[int, str]:
        """Command lines of all living processes that came from here, by id."""
        wanted = f"{MARK}={self.env[MARK]}".encode()
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and wanted in (path / "environ").read_bytes().split(b"\0"):
                    words = (path / "cmdline").read_bytes().split(b"\0")
                    found[int(path.name)] = b" ".join(words).decode(errors="replace")
            except OSError:
                continue
        return found

    def processes(self) -> list[str]:
        """Command lines of all living processes that came from here."""
        return list(self.living().values())


@pytest.fixture
def project(tmp_path: Path, wheels: Path, uv_cache: Path) -> Iterator[Project]:
    """An empty project whose indexes are the stand-in wheels alone."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "UV_CACHE_DIR": str(uv_cache),
        "PYTHONPATH": str(ROOT),
        MARK: uuid.uuid4().hex,
    }
    made = Project(folder=tmp_path, env=env)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    for pid in made.living():  # a failed test leaves none behind either
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def matrix(
    *releases: str, suites: str = '[suites.mine]\ntests = "mine"', names: str = '"mine"'
) -> str:
    """A matrix file over stand-in releases."""
    return f"""
[matrix]
python = ["{PYTHON}"]
pytorch_index = "http://127.0.0.1:9/whl"
[[torch]]
version = {json.dumps(list(releases))}
variants = ["cpu"]
{suites}
[profiles.default]
suites = [{names}]
"""


@pytest.fixture(scope="session")
def make() -> Any:
    """Builders of the texts that tests need."""

    class Make:
        matrix = staticmethod(matrix)
        cell = staticmethod(cell)
        releases = RELEASES
        python = PYTHON
        root = ROOT

    return Make


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait until something is so."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
            time.sleep(0.05)

    return wait


@pytest.fixture
def kill() -> Callable[[subprocess.Popen[str]], None]:
    """End the orchestrator as an out-of-memory killer does."""

    def end(process: subprocess.Popen[str]) -> None:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    return end
