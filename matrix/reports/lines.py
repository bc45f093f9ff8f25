"""Lines of the pandas tables as plain values, and how these are written. Imports no pandas."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from matrix.tables import Tables

DIRECTION = "more than 1 is better than the baseline, whatever the metric"


def records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Lines of a table as dicts, whose keys are strings."""
    return [{str(key): value for key, value in line.items()} for line in table.to_dict("records")]


def workloads(table: "pd.DataFrame") -> list[tuple[tuple[str, ...], dict[str, dict[str, Any]]]]:
    """Lines of the workload table as (workload, params, metric, unit) and cells by label."""
    lines = []
    header: list[tuple[str, str]] = [(str(pair[0]), str(pair[1])) for pair in table.columns]
    for key, line in zip(table.index, table.to_numpy(), strict=True):
        cells: dict[str, dict[str, Any]] = {}
        for (label, field), value in zip(header, line, strict=True):
            # pandas may keep a missing value as NaN, the only value that differs from itself.
            missing = value != value  # noqa: PLR0124
            cells.setdefault(label, {})[field] = None if missing else value
        lines.append((tuple(str(part) for part in key), cells))
    return lines


def is_number(cell: Mapping[str, Any]) -> bool:
    """Whether a cell has a number to show; one that is unstable is shown with its mark."""
    return cell["median"] is not None and cell["status"] in {"value", "unstable"}


def is_idle(cells: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether all of a line was skipped: the reasons below a table say that in one line."""
    return all(cell["status"] == "skip" for cell in cells.values())


def percent(cell: Mapping[str, Any]) -> str:
    """Half the interquartile range in percent of the median, or nothing where it is not known."""
    if cell["status"] != "value" or cell["spread"] is None or not cell["median"]:
        return ""
    return f"{abs(cell['spread'] / cell['median']) * 50:.1f}"


def own_baselines(tables: "Tables") -> dict[str, list[str]]:
    """The baselines that stand in for the named one, each with the columns it is of."""
    named = [
        label
        for label, cell in zip(tables.executions.index, tables.executions["cell"], strict=True)
        if tables.baseline in {label, cell}
    ]
    found: dict[str, dict[str, None]] = {}
    for _, cells in workloads(tables.workloads):
        for label, cell in cells.items():
            if cell["base"] not in {None, *named}:
                found.setdefault(cell["base"], {})[label] = None
    return {base: list(labels) for base, labels in found.items()}


def ratio_mark(cell: Mapping[str, Any]) -> str:
    """Show a ratio; `~` where the difference is within the spread; `n/c`, or nothing."""
    ratio = cell["ratio"]
    if not isinstance(ratio, float):
        return ratio or ""
    return f"{'~' if cell['why'] == 'within the spread' else ''}{ratio:.2f}×"


def compared(rows: Sequence[tuple[object, Mapping[str, Mapping[str, Any]]]]) -> bool:
    """Whether any ratio says more than that the baseline is as fast as itself."""
    return any(cell["ratio"] not in {None, 1.0} for _, cells in rows for cell in cells.values())
