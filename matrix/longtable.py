"""All rows of a store in a few Parquet files: derived, and made again when asked for.

A bundle has a file per suite, so that each is whole or absent; a year of nights is tens of
thousands of files. Here the rows of a run are put together once, and those of a month when it is
over. Bundles are untrusted: what cannot be read, is too large, or is of a newer schema is left out
and told, every time.
"""

import hashlib
import itertools
import json
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from matrix import entries
from matrix.derived import is_whole, written_whole
from matrix.entries import Entry
from matrix.months import by_month
from matrix.process import Stopped
from matrix.rowfiles import CHECKS, UNREADABLE, read_table, why_unreadable
from matrix.rows import ROW_FIELDS, SCHEMA, Row, arrow_schema
from matrix.store import ROWS_FILE, RUN_FILE, Damaged, Store, newer_run, write_json

FOLDER = "rows"
PLACE = ("cell", "execution", "suite")
MANY = 20
"""So many suites of a run are read sooner out of one file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LongTable:
    """Parquet files with all rows, in no order, and what was left out of them and why."""

    files: tuple[Path, ...]
    complaints: tuple[str, ...]


def long_table(store: Store, stop: threading.Event | None = None) -> LongTable:
    """Put the rows of all runs together; only runs that are new or changed are read.

    Raises `OSError` where `local/rows` cannot be written, and `Stopped` between two runs.
    """
    folder = store.local / FOLDER
    files: dict[str, Path] = {}
    complaints: list[str] = []
    have = _names(folder)
    runs = store.paths()
    ids = {run.name for run in runs}
    _forget(folder, {name for name in have if name.rpartition("-")[0] not in ids})
    for run in runs:
        if stop and stop.is_set():
            raise Stopped
        path, told = _current(folder, run, have)
        if path.name not in have or told.name in have:
            complaints += _left_out(told).complaints
        files[run.name] = path
    return LongTable(files=tuple(by_month(store, files)), complaints=tuple(complaints))


def columns(store: Store, entries: Iterable[Entry], damaged: Damaged) -> dict[str, list[Any]]:
    """The rows of entries as `Store.columns` gives them; of many in a run out of its one file."""
    folder = store.local / FOLDER
    have, runs = _names(folder), {path.name: path for path in store.paths()}
    by_run: dict[str, dict[tuple[str, str, str], Entry]] = {}
    for entry in entries:
        by_run.setdefault(entry.run, {})[entry.key] = entry
    parts = []
    for run, wanted in by_run.items():
        found: set[tuple[str, ...]] = set()
        if len(wanted) >= MANY and run in runs:
            chosen = _from_run(folder, runs[run], have, wanted)
            found = set(zip(*(chosen[name] for name in PLACE), strict=True)) if chosen else set()
            parts += [chosen] if chosen else []
        rest = [entry for key, entry in wanted.items() if key not in found]
        parts.append(store.columns(rest, damaged))
    return {name: list(itertools.chain(*(part[name] for part in parts))) for name in ROW_FIELDS}


def _from_run(
    folder: Path, run: Path, have: Collection[str], wanted: Collection[tuple[str, str, str]]
) -> dict[str, list[Any]]:
    """Rows out of the one file of a run; none where it can be neither read nor written."""
    try:
        path, _ = _current(folder, run, have)
    except OSError:  # a folder of results that is not ours to write
        return {}
    try:
        return _chosen(path, wanted)
    except (OSError, ValueError, KeyError):  # Arrow's are these: damaged, and made again next time
        with suppress(OSError):
            path.unlink()
        return {}


def _chosen(path: Path, wanted: Collection[tuple[str, str, str]]) -> dict[str, list[Any]]:
    """The rows of some entries in the file of a run, by field of `Row`; equal texts are one."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetFile(path) as file:
        table = file.read()
    keys = zip(*(table[name].to_pylist() for name in PLACE), strict=True)
    table = table.filter(pa.array([key in wanted for key in keys], pa.bool_()))
    found = {name: _shared(table[name]) for name in ROW_FIELDS}
    return found | {"samples": [tuple(some or ()) for some in found["samples"]]}


def _shared(values: Any) -> list[Any]:  # noqa: ANN401  pyarrow has no types
    """Plain values of a column, in which equal texts are one object."""
    import pyarrow as pa  # noqa: PLC0415

    if not pa.types.is_string(values.type):
        return list(values.to_pylist())
    coded = values.combine_chunks().dictionary_encode()
    texts = coded.dictionary.to_pylist()
    return [texts[place] for place in coded.indices.to_pylist()]


def _names(folder: Path) -> set[str]:
    """What is there and, as far as a glance tells, whole; not what somebody is writing."""
    paths = folder.iterdir() if folder.is_dir() else ()
    ended = (path for path in paths if not path.name.startswith("."))
    return {path.name for path in ended if path.suffix != ".parquet" or is_whole(path)}


def _current(folder: Path, run: Path, have: Collection[str]) -> tuple[Path, Path]:
    """The file of a run's rows, and the one of what was left out of them; made where it is not."""
    name = f"{run.name}-{_fingerprint(run)}"
    path, told = folder / f"{name}.parquet", folder / f"{name}.json"
    # what was left out may have come back, or been mended
    if path.name not in have or (told.name in have and _left_out(told).marks != _marks(run)):
        folder.mkdir(parents=True, exist_ok=True)
        told.unlink(missing_ok=True)
        _put_together(run, path, told)
        old = {name for name in have if name.startswith(f"{run.name}-")}
        _forget(folder, old - {path.name, told.name})
    return path, told


def _forget(folder: Path, names: set[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class _LeftOut:
    """What is not in the file of a run and why; `marks` are of the run's files at that time."""

    complaints: list[str]
    marks: str


def _left_out(path: Path) -> _LeftOut:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return _LeftOut(complaints=list(map(str, said["complaints"])), marks=str(said["marks"]))
    except (OSError, ValueError, TypeError, LookupError):
        return _LeftOut(complaints=[], marks="")


def _marks(run: Path) -> str:
    """What changes when a file of rows does, or comes back."""
    return hashlib.sha256(repr(_stats(_parts(run))).encode()).hexdigest()


def _stats(paths: Iterable[Path]) -> list[tuple[int, int]]:
    return [(mark.st_size, mark.st_mtime_ns) for mark in (path.stat() for path in paths)]


def _parts(run: Path) -> list[Path]:
    found = sorted(run.glob(f"cells/*/*/*/{ROWS_FILE}"))
    return [path for path in found if not path.parent.name.startswith(".")]


def _fingerprint(run: Path) -> str:
    """What changes when the run does: one that came to its end never will."""
    try:
        marks = _stats([run / RUN_FILE])
    except FileNotFoundError:
        marks = _stats(_parts(run))
    told = [
        CHECKS,
        max(SCHEMA, entries.SCHEMA),
        [f.name for f in fields(Row)],
        *marks,
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def _put_together(run: Path, path: Path, told: Path) -> None:
    """Write the rows of a run, whole or not at all; and what was left out, where something was."""
    import pyarrow as pa  # noqa: PLC0415  half a second that other commands do not need
    import pyarrow.parquet as pq  # noqa: PLC0415

    complaints: list[str] = []
    tables = [arrow_schema().empty_table()]
    if refusal := newer_run(run):
        complaints.append(f"{run} is left out: {refusal}")
    else:
        tables += _tables(run, complaints)
    if complaints:
        write_json(told, {"complaints": complaints, "marks": _marks(run)})
    with written_whole(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")


def _tables(run: Path, complaints: list[str]) -> Iterator[Any]:
    for path in _parts(run):
        try:
            yield read_table(path, run.name)
        except UNREADABLE as error:
            complaints.append(f"{path} is left out: {why_unreadable(error)}")
