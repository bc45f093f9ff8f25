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
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from matrix import entries
from matrix.derived import is_whole, written_whole
from matrix.entries import Entry
from matrix.months import by_month
from matrix.process import Stopped
from matrix.rows import ROW_FIELDS, SCHEMA, Row, arrow_schema
from matrix.store import ROWS_FILE, RUN_FILE, Damaged, Store, newer_run, write_json

FOLDER = "rows"
PLACE = ("cell", "execution", "suite")
MANY = 20
"""So many suites of a run are read sooner out of one file."""
MAX_ROWS = 2_000_000  # of one suite
MAX_BYTES = 1 << 30  # of one suite, unpacked


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
            complaints += _told(told)
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
        found: set[tuple[str, str, str]] = set()
        if len(wanted) >= MANY and run in runs:
            path, _ = _current(folder, runs[run], have)
            try:
                parts.append(_chosen(path, wanted))
                found = set(zip(*(parts[-1][name] for name in PLACE), strict=True))
            except (OSError, ValueError):  # Arrow's are these: damaged, and made again next time
                path.unlink(missing_ok=True)
        rest = [entry for key, entry in wanted.items() if key not in found]
        parts.append(store.columns(rest, damaged))
    return {name: list(itertools.chain(*(part[name] for part in parts))) for name in ROW_FIELDS}


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
    """What is there and, as far as a glance tells, whole."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return {path.name for path in paths if path.suffix != ".parquet" or is_whole(path)}


def _current(folder: Path, run: Path, have: Collection[str]) -> tuple[Path, Path]:
    """The file of a run's rows, and the one of what was left out of them; made where it is not."""
    name = f"{run.name}-{_fingerprint(run)}"
    path, told = folder / f"{name}.parquet", folder / f"{name}.json"
    if path.name not in have:
        folder.mkdir(parents=True, exist_ok=True)
        _put_together(run, path, told)
        old = {name for name in have if name.startswith(f"{run.name}-")}
        _forget(folder, old - {path.name, told.name})
    return path, told


def _forget(folder: Path, names: set[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _told(path: Path) -> list[str]:
    try:
        return [str(line) for line in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _parts(run: Path) -> list[Path]:
    found = sorted(run.glob(f"cells/*/*/*/{ROWS_FILE}"))
    return [path for path in found if not path.parent.name.startswith(".")]


def _fingerprint(run: Path) -> str:
    """What changes when the run does: one that came to its end never will."""
    try:
        marks = [(run / RUN_FILE).stat()]
    except FileNotFoundError:
        marks = [path.stat() for path in _parts(run)]
    told = [
        max(SCHEMA, entries.SCHEMA),
        [f.name for f in fields(Row)],
        *((m.st_size, m.st_mtime_ns) for m in marks),
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
        write_json(told, complaints)
    with written_whole(path) as temporary:
        pq.write_table(_filled(pa.concat_tables(tables)), temporary, compression="zstd")


def _tables(run: Path, complaints: list[str]) -> Iterator[Any]:
    for path in _parts(run):
        try:
            yield _read(path, run.name)
        except (OSError, ValueError, TypeError, NotImplementedError) as error:  # Arrow's are these
            why = " ".join(str(error).split())[:200]
            complaints.append(f"{path} is left out: {why}")


def read_table(path: Path, run: str) -> Any:  # noqa: ANN401  pyarrow has no types
    """The rows of one suite as an Arrow table with exactly the columns of `Row`.

    Raises `ValueError` (Arrow's own too) where it is damaged, too large, or of a newer schema, or
    where its rows are of another run or place than the path says.
    """
    return _filled(_read(path, run))


def _read(path: Path, run: str) -> Any:  # noqa: ANN401  pyarrow has no types
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetFile(path) as file:
        about = file.metadata
        size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if about.num_rows > MAX_ROWS or size > MAX_BYTES:
            message = f"{about.num_rows} rows of {size >> 20} MiB are more than a suite can leave"
            raise ValueError(message)
        names = [name for name in file.schema_arrow.names if name in Row.__dataclass_fields__]
        table = file.read(columns=names, use_threads=False)  # a file is small
    table.validate(full=True)  # a text that is no UTF-8 would end every query
    _check(table, names, {"run": run, **_place(path)})
    return _conform(table)


def _place(path: Path) -> dict[str, str]:
    cell, execution, suite = path.parent.parts[-3:]
    return {"cell": cell, "execution": execution, "suite": suite}


def _check(table: Any, names: Sequence[str], place: dict[str, str]) -> None:  # noqa: ANN401
    import pyarrow.compute as pc  # noqa: PLC0415

    missing = [f.name for f in fields(Row) if f.default is MISSING and f.name not in names]
    if missing:
        message = f"it lacks the column(s) {', '.join(missing)}"
        raise ValueError(message)
    newest = (pc.max(table["schema"]).as_py() if "schema" in names else 0) or 0
    if newest > SCHEMA:
        message = f"it is of schema {newest}, this version reads {SCHEMA}: update torch-matrix"
        raise ValueError(message)
    for name, wanted in place.items():
        values = pc.unique(table[name]).to_pylist() if name in names else []
        if others := [value for value in values if value != wanted]:
            message = f"its rows are of {name} {ascii(others[0])[:80]}, its folder of `{wanted}`"
            raise ValueError(message)


def _conform(table: Any) -> Any:  # noqa: ANN401
    """The same rows with all columns of `Row`, in its order and types."""
    import pyarrow as pa  # noqa: PLC0415

    schema = arrow_schema()
    if table.schema.equals(schema):
        return table
    columns = []
    for column, kind in zip(fields(Row), schema, strict=True):
        default = "" if column.default is MISSING else column.default
        if column.name not in table.column_names:
            value = list(default) if isinstance(default, tuple) else default
            columns.append(pa.array([value] * table.num_rows, kind.type))
            continue
        values = table[column.name]
        columns.append(values if values.type == kind.type else values.cast(kind.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _filled(table: Any) -> Any:  # noqa: ANN401
    """The same rows without nulls where `Row` has a text or a whole number."""
    for place, column in enumerate(fields(Row)):
        default = "" if column.default is MISSING else column.default
        values = table.column(place)
        if isinstance(default, str | int) and values.null_count:
            table = table.set_column(place, table.schema.field(place), values.fill_null(default))
    return table
