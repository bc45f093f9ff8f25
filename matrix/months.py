"""The rows of a month that is over in one Parquet file, sorted, so that a feature is a part of it.

Derived from the files of its runs, and made again when one of them changes.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from matrix.derived import is_whole, written_whole
from matrix.store import RUN_ID, Store

FOLDER = "months"
LEAST = 8
"""So many files of runs are not worth one of a month."""
MEMORY = "512MB"
_SORTED = """
COPY (SELECT * FROM read_parquet($1) ORDER BY feature, workload, test, cell, time)
TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 32768)
"""


def by_month(store: Store, files: Mapping[str, Path]) -> Iterator[Path]:
    """The files of runs, by run id, or those of their months in their place.

    Raises `OSError` where `local/months` cannot be written.
    """
    folder = store.local / FOLDER
    months: dict[str, list[Path]] = {}
    for run, path in files.items():
        months.setdefault(run[:6] if RUN_ID.fullmatch(run) else "", []).append(path)
    latest = max(months, default="")
    made = []
    for month, members in months.items():
        if month in {"", latest} or len(members) < LEAST:
            yield from members
            continue
        marks = [(path.name, path.stat().st_mtime_ns) for path in members]
        told = hashlib.sha256(repr(marks).encode()).hexdigest()[:12]
        path = folder / f"{month}-{told}.parquet"
        if not is_whole(path):
            _merge(members, path)
        made.append(path)
        yield path
    for old in set(folder.glob("*.parquet")).difference(made):
        old.unlink(missing_ok=True)


def _merge(members: list[Path], path: Path) -> None:
    """Sort the rows of these files into one, in bounded memory, whole or not at all."""
    import duckdb  # noqa: PLC0415  a fifth of a second that other commands do not need

    with written_whole(path) as temporary:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": f"{temporary}.d",
            "threads": 1,
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            quoted = str(temporary).replace("'", "''")
            connection.execute(_SORTED.format(path=quoted), [[str(member) for member in members]])
