"""Parquet files that are made from others: whole or not at all, and made again where damaged."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MAGIC = b"PAR1"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write; it becomes `path` if nothing is raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(3)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Whether a Parquet file has its beginning and its end: cut short or emptied, it has not."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(_MAGIC))
            file.seek(-len(_MAGIC), 2)
            return begin == file.read() == _MAGIC
    except OSError:  # there is none, or it is shorter
        return False
