"""Byte code that suites leave in the user's folder, and that goes when they end.

`PYTHONDONTWRITEBYTECODE` would also keep the cell's own packages from being compiled once, and
`PYTHONPYCACHEPREFIX` would hide what is compiled already: every process would pay for torch again.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CACHE = "__pycache__"


class Caches:
    """Removes the `__pycache__` folders that appeared while suites ran, when the last one ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._suites: Counter[Path] = Counter()
        self._before: dict[Path, set[Path]] = {}

    @contextmanager
    def swept(self, *folders: Path) -> Iterator[None]:
        """Leave folders without new caches; suites of several cells may run there at once."""
        with self._lock:
            for folder in folders:
                if not self._suites[folder]:
                    self._before[folder] = set(_caches(folder))
                self._suites[folder] += 1
        try:
            yield
        finally:
            with self._lock:
                for folder in folders:
                    self._suites[folder] -= 1
                    if not self._suites[folder]:
                        for cache in set(_caches(folder)) - self._before.pop(folder):
                            _remove(cache)


def _caches(folder: Path) -> Iterator[Path]:
    """Caches beneath a folder, but for hidden folders, results and environments."""
    for place, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:
            folders.clear()
        if CACHE in folders:
            yield Path(place, CACHE)
        folders[:] = [f for f in folders if not f.startswith(".") and f not in {CACHE, "results"}]


def _remove(cache: Path) -> None:
    """Remove byte code; anything else in the folder stays, and with it the folder."""
    with suppress(OSError):  # somebody else was faster
        for path in cache.glob("*.pyc"):
            path.unlink(missing_ok=True)
        cache.rmdir()
