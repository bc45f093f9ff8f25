"""How much a container keeps in its volumes: an engine sets them no limit."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from matrix.engines.connection import Engine

_BLOCK = 512  # bytes, in which systems count what a file takes
_LEAST = 4096  # bytes that count for any file: those without content fill a disk too


def folders(engine: Engine, container: Any) -> tuple[Path, ...]:  # noqa: ANN401  no types
    """Where its volumes lie, those that can be looked into: of an engine on this machine."""
    if not engine.is_local:
        return ()
    mounts = container.attrs.get("Mounts") or ()
    found = (Path(m["Source"]) for m in mounts if m.get("Type") == "volume" and m.get("Source"))
    return tuple(path for path in found if os.access(path, os.R_OK | os.X_OK))


def exceed(places: Iterable[Path], limit: int) -> bool:
    """Whether more than `limit` bytes lie there; counts no further than that."""
    taken = 0
    for place in places:
        for size in _sizes(place):
            taken += size
            if taken > limit:
                return True
    return False


def _sizes(place: Path) -> Iterator[int]:
    """Bytes that files and folders take, also sparse ones; links are not followed."""
    left = [os.fspath(place)]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    yield max(_LEAST, entry.stat(follow_symlinks=False).st_blocks * _BLOCK)
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
        except OSError:  # removed meanwhile
            continue
