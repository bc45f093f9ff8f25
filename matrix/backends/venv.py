"""`venv`: a uv environment per cell; hard links make a second cell of a release nearly free."""

import shutil
import sys
import threading
import time
from pathlib import Path

from matrix.backends import CellFailed, Context, Environment, Progress
from matrix.backends.interpreter import Interpreter
from matrix.facts import natural
from matrix.indexes import Availability
from matrix.locks import Lock, Resolver, failure, lock_cell
from matrix.plan import Job
from matrix.process import Completed

MIN_FREE_BYTES = 1 << 30


class VenvBackend(Interpreter):
    """Makes environments from a lock that was resolved with the user's indexes."""

    name = "venv"

    def __init__(self, context: Context, resolver: Resolver, availability: Availability) -> None:
        super().__init__(context)
        self.resolver = resolver
        self.availability = availability
        self._downloads: dict[tuple[str, str], threading.Lock] = {}
        self._guard = threading.Lock()

    def provision(self, job: Job, folder: Path, stage: Progress) -> Environment:
        """Find the interpreter, resolve, make the environment, install with hashes."""
        free = shutil.disk_usage(folder).free
        if free < MIN_FREE_BYTES:
            reason = (
                f"only {free >> 20} MiB free on the disk of `{folder}`; free some and run again"
            )
            raise CellFailed("infra", reason)
        clock = time.monotonic()
        python = self._python(job.cell.python)
        stage("lock")
        lock = self._lock(job, folder, python)
        locked = time.monotonic()
        stage("install")
        # two cells of one release must not fetch it twice
        with self._download_lock(job.cell.torch, job.cell.variant):
            target = self._install(folder, python, lock)
        done = time.monotonic()
        return Environment(
            python=target / "bin" / "python",
            provision="built",
            lock=lock.text,
            install_bytes=_size(target),
            stages={"lock": locked - clock, "install": done - locked},
        )

    def discard(self, job: Job, folder: Path) -> None:  # noqa: ARG002  the Protocol's
        """Remove the environment; the download cache is uv's and stays."""
        shutil.rmtree(folder, ignore_errors=True)

    def _python(self, version: str) -> str:
        """An interpreter of this version, as uv sees it, pyenv's among them."""
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        if version == running:
            return sys.executable
        root = self.context.env.get("PYENV_ROOT") or Path(
            self.context.env.get("HOME", "~"), ".pyenv"
        )
        pyenv = Path(root).glob(f"versions/{version}.*/bin/python")
        if newest := max(pyenv, key=lambda path: natural(str(path)), default=None):
            return str(newest)
        done = self.resolver.call("python", "find", "--no-project", version, timeout=60.0)
        if done.code != 0:
            reason = f"no Python {version} on this machine; `uv python install {version}` gives one"
            raise CellFailed("no-runner", reason)
        return done.last_line

    def _lock(self, job: Job, folder: Path, python: str) -> Lock:
        suites = tuple(run.suite for run in job.suites)
        return lock_cell(
            job.cell, suites, self.resolver, self.availability, folder, ("--python", python)
        )

    def _install(self, folder: Path, python: str, lock: Lock) -> Path:
        target = folder / "env"
        log = folder / "install.log"
        made = self.resolver.call("venv", "-q", "--no-project", "-p", python, str(target), log=log)
        if made.code != 0:
            raise _failed("make the environment", made)
        done = self.resolver.call(
            *("pip", "sync", "-q", "-p", str(target / "bin" / "python"), "--require-hashes"),
            *(*lock.indexes, str(folder / "requirements.lock")),
            log=log,
        )
        if done.code != 0:
            raise _failed("install", done)
        return target

    def _download_lock(self, torch: str, variant: str) -> threading.Lock:
        with self._guard:
            return self._downloads.setdefault((torch, variant), threading.Lock())


def _failed(what: str, done: Completed) -> CellFailed:
    return CellFailed(*failure(what, done))


def _size(folder: Path) -> int:
    """Installed bytes, hard links counted as if they were this environment's own."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))
