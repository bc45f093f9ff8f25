"""Scratch folders: one for each living run, locked while it lives, and emptied after its death."""

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from matrix.process import WORK_LABEL
from matrix.store import Store

RUN_NAME = "run"  # in a scratch folder: the id of the run that has it


@contextmanager
def folder(store: Store, run_id: str) -> Iterator[Path]:
    """A scratch folder of this run's own, after those of dead runs were removed.

    Folders are numbered and used again: uv remembers an interpreter by its path, and asking a new
    one costs a tenth of a second. A run holds its folder's lock while it lives.
    """
    root = store.local / "work"
    root.mkdir(parents=True, exist_ok=True)
    for left in filter(Path.is_dir, root.iterdir()):
        _reap(left)
    locks = (FileLock(root / f"{number}.lock", timeout=0) for number in itertools.count())
    held = next(filter(_acquired, locks))
    work = Path(held.lock_file).with_suffix("")
    try:
        work.mkdir(exist_ok=True)
        (work / RUN_NAME).write_text(run_id, encoding="utf-8")
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        held.release()


def _reap(work: Path) -> None:
    """Remove what a dead run left, its processes among it; a living run holds its lock."""
    with suppress(Timeout), FileLock(work.with_suffix(".lock"), timeout=0):
        _end_processes_of(work)
        shutil.rmtree(work, ignore_errors=True)


def lives(store: Store) -> Callable[[str], bool]:
    """Whether a run still goes on: its scratch folder names it, and is locked."""

    def alive(run_id: str) -> bool:
        for name in (store.local / "work").glob(f"*/{RUN_NAME}"):
            with suppress(OSError):
                if name.read_text(encoding="utf-8") == run_id:
                    lock = FileLock(name.parent.with_suffix(".lock"), timeout=0)
                    if not _acquired(lock):
                        return True
                    lock.release()
        return False

    return alive


def _acquired(lock: BaseFileLock) -> bool:
    try:
        lock.acquire()
    except Timeout:
        return False
    return True


def _end_processes_of(work: Path) -> None:
    """Kill what a dead run left behind: uv does not notice that nobody waits for it."""
    label = os.fsencode(f"{WORK_LABEL}={work}") + b"\0"
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it ended meanwhile, or it is somebody else's
            if label in environ.read_bytes():
                os.kill(int(environ.parent.name), signal.SIGKILL)
