"""The rows of one suite out of its file, which may be a stranger's: checked as they are read.

There is one way to read them, so that tables, SQL and `merge` refuse the same files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from matrix.rows import ROW_FIELDS, SCHEMA, Row, arrow_schema

CHECKS = 2
"""One more with every change of what is refused: files made of the rows are made again."""
MAX_ROWS = 2_000_000  # of one suite
MAX_BYTES = 1 << 30  # of one suite, unpacked
UNREADABLE = (OSError, ValueError, TypeError, NotImplementedError)
"""What reading a file of rows raises; Arrow's own errors are these."""
_NAMES = (
    *("cell", "torch", "variant", "accelerator", "python", "companions", "execution", "backend"),
    *("runner", "device", "device_model", "driver", "provision", "suite"),
)
"""Columns whose values are parts of headings: what cannot be printed is no part of a name."""


def read_table(path: Path, run: str = "") -> Any:  # noqa: ANN401  pyarrow has no types
    """The rows of one suite as an Arrow table with exactly the columns of `Row`.

    Raises `ValueError` (Arrow's own too) where it is damaged, too large, or of a newer schema, or
    where its rows are not of this run, and of the place that the path says; `run` "" is any.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  half a second that other commands do not need

    # threads are slower on files of a few kilobytes
    with pq.ParquetFile(path, pre_buffer=False) as file:
        about = file.metadata
        size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if about.num_rows > MAX_ROWS or size > MAX_BYTES:
            message = f"{about.num_rows} rows of {size >> 20} MiB are more than a suite can leave"
            raise ValueError(message)
        names = [name for name in file.schema_arrow.names if name in ROW_FIELDS]
        table = file.read(columns=names, use_threads=False)
    table.validate(full=True)  # a text that is no UTF-8 would end every query
    _check_columns(table, names)
    table = _conformed(table)
    _check_values(table, {"run": run, **_place(path)} if run else {})
    return table


def why_unreadable(error: Exception) -> str:
    """What one of `UNREADABLE` says, as one line."""
    return " ".join(str(error).split())[:200]


def read_columns(path: Path, run: str = "") -> dict[str, list[Any]]:
    """The same by field of `Row`, in their order."""
    found: dict[str, list[Any]] = read_table(path, run).to_pydict()
    return found | {"samples": [tuple(some or ()) for some in found["samples"]]}


def read_rows(path: Path, run: str = "") -> list[Row]:
    """The same as rows."""
    return rows_of(read_columns(path, run))


def rows_of(columns: Mapping[str, Sequence[Any]]) -> list[Row]:
    """Rows out of the columns of all of their fields."""
    lines = zip(*(columns[name] for name in ROW_FIELDS), strict=True)
    return [Row(**dict(zip(ROW_FIELDS, line, strict=True))) for line in lines]


def _place(path: Path) -> dict[str, str]:
    cell, execution, suite = path.parent.parts[-3:]
    return {"cell": cell, "execution": execution, "suite": suite}


def _check_columns(table: Any, names: Sequence[str]) -> None:  # noqa: ANN401
    import pyarrow.compute as pc  # noqa: PLC0415

    missing = [f.name for f in fields(Row) if f.default is MISSING and f.name not in names]
    if missing:
        message = f"it lacks the column(s) {', '.join(missing)}"
        raise ValueError(message)
    newest = (pc.max(table["schema"]).as_py() if "schema" in names else 0) or 0
    if newest > SCHEMA:
        message = f"it is of schema {newest}, this version reads {SCHEMA}: update torch-matrix"
        raise ValueError(message)


def _conformed(table: Any) -> Any:  # noqa: ANN401
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


def _check_values(table: Any, place: Mapping[str, str]) -> None:  # noqa: ANN401
    """Raise `ValueError` where values cannot be those of a suite in this place."""
    import pyarrow.compute as pc  # noqa: PLC0415

    def values(name: str) -> list[str]:
        found: list[str] = pc.unique(table[name]).to_pylist()
        return found

    for column in fields(Row):
        default = "" if column.default is MISSING else column.default
        if isinstance(default, str | int) and table[column.name].null_count:
            message = f"its `{column.name}` is null in some rows"
            raise ValueError(message)
    for name, wanted in place.items():
        if others := [value for value in values(name) if value != wanted]:
            message = f"its rows are of {name} {ascii(others[0])[:80]}, its folder of `{wanted}`"
            raise ValueError(message)
    for name in _NAMES:
        if odd := [value for value in values(name) if not value.isprintable()]:
            message = f"its {name} {ascii(odd[0])[:80]} has characters that no name needs"
            raise ValueError(message)
    for time in filter(None, values("time")):
        datetime.fromisoformat(time)
