"""The table of workloads: value, spread, rate and ratio of each metric per execution."""

from typing import Any

import pandas as pd

from matrix.series import of_rounds, parameters
from matrix.tables.baselines import NOT_COMPARABLE, baselines, ratio
from matrix.tables.columns import Frame, natural, records
from matrix.tables.verdicts import NOT_MEASURED

_RATES = {"flop": "FLOP/s", "bytes": "B/s", "tokens": "tok/s"}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_INDEX = ["workload", "params", "metric", "unit"]
_FIELDS = ["status", "median", "spread", "rate", "rate_unit", "ceiling", "ratio", "why", "base"]


def workload_table(frame: Frame, baseline: str | None) -> pd.DataFrame:
    """Median, spread, rate and ratio of each metric.

    Index workload, params, metric, unit; columns (label, field). Units: median and spread
    (interquartile range) in `unit`, rate in `rate_unit`, `ceiling` the rate's share of the best
    that this execution reached with the same unit and dtype. `status` is `value`, `unstable`,
    `not measured` or the verdict that kept the value away. `ratio` is a number (more than
    1 is better, whether `better` is higher or lower) or `n/c` with the reason in `why`, to the
    column `base`. `baseline` is a column or a cell id; of a cell, the execution on the same device
    is taken, and where there is none, `baselines` chooses one. Without results of the baseline
    everything is `n/c`.
    """
    columns = frame.executions
    measured = _measurements(frame)
    known: dict[str, set[tuple[str, ...]]] = {}
    for (key, label), cell in measured.items():
        if cell["status"] == "value":
            known.setdefault(label, set()).add(key)
    bases = {} if baseline is None else baselines(columns, baseline, known)
    cells = dict(measured)
    for (key, label), cell in measured.items():
        if bases and cell["status"] == "value":
            base, why = bases[label]
            other = measured.get((key, base), {"status": NOT_MEASURED, "median": None})
            cells[key, label] = cell | (
                {"ratio": NOT_COMPARABLE, "why": why}
                if why
                else ratio(cell, other) | {"base": base}
            )
    used = {label for _, label in cells}
    keys = sorted({key for key, _ in cells}, key=lambda key: [natural(part) for part in key])
    blank = dict.fromkeys(_FIELDS) | {"status": NOT_MEASURED}
    header = [(label, field) for label in columns.index if label in used for field in _FIELDS]
    data = [[cells.get((key, label), blank)[field] for label, field in header] for key in keys]
    index = pd.MultiIndex.from_tuples(keys, names=_INDEX)
    pairs = pd.MultiIndex.from_tuples(header, names=["label", "field"])
    return pd.DataFrame(data, index=index, columns=pairs, dtype=object)


def _measurements(frame: Frame) -> dict[tuple[tuple[str, ...], str], dict[str, Any]]:
    """Cells of the workload table without ratios, by row key and label."""
    rows = frame.newest
    metrics = records(rows[rows["metric"] != ""])
    outcomes = rows[(rows["metric"] == "") & (rows["verdict"] != "")]
    tests = zip(outcomes["label"], outcomes["suite"], outcomes["test"], strict=True)
    sources = dict(zip(tests, outcomes["source"], strict=True))
    cells: dict[tuple[tuple[str, ...], str], dict[str, Any]] = {}
    keys_of: dict[str, dict[tuple[str, ...], None]] = {}
    rounds: dict[tuple[tuple[str, ...], str], list[dict[str, Any]]] = {}
    for row in metrics:
        key = (
            row["workload"] or row["test"],
            parameters(row["params"])[0],
            row["metric"],
            row["unit"],
        )
        source = row["source"] or sources.get((row["label"], row["suite"], row["test"]), "")
        rounds.setdefault((key, row["label"]), []).append(row | {"source": source})
        keys_of.setdefault(row["test"], {})[key] = None
    for place, several in rounds.items():
        cells[place] = _value(of_rounds(several), parameters(several[0]["params"])[1])
    _add_ceilings(cells, {place: _dtype(several[0]["params"]) for place, several in rounds.items()})
    measured = {(row["test"], row["label"]) for row in metrics}
    outcomes = outcomes[(outcomes["workload"] != "") | (outcomes["suite"] == "throughput")]
    for row in records(outcomes):
        if (row["test"], row["label"]) not in measured:
            status = "no metric" if row["verdict"] == "pass" else row["verdict"]
            own = (row["workload"] or row["test"], parameters(row["params"])[0], "", "")
            for key in keys_of.get(row["test"], {own: None}):
                blank = dict.fromkeys(_FIELDS)
                cells[key, row["label"]] = blank | {"status": status, "why": row["reason"]}
    return cells


def _add_ceilings(
    cells: dict[tuple[tuple[str, ...], str], dict[str, Any]],
    dtypes: dict[tuple[tuple[str, ...], str], str],
) -> None:
    """Give each rate its share of the best one of the same execution, unit and dtype.

    A bandwidth is the same for all dtypes; tokens have no ceiling.
    """
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for (key, label), cell in cells.items():
        unit = cell.get("rate_unit")
        if cell["status"] == "value" and unit in {_RATES["flop"], _RATES["bytes"]}:
            dtype = dtypes[key, label] if unit == _RATES["flop"] else ""
            groups.setdefault((label, unit, dtype), []).append(cell)
    for group in groups.values():
        best = max(cell["rate"] for cell in group)
        for cell in group:
            cell["ceiling"] = cell["rate"] / best


def _dtype(params: str) -> str:
    """The dtype that a workload computes in; "" where it says none."""
    return next((part[6:] for part in parameters(params)[0].split() if part[:6] == "dtype="), "")


def _value(row: dict[str, Any], work: dict[str, float]) -> dict[str, Any]:
    median = row["median"]
    good = isinstance(median, int | float) and median == median and not row["reason"]  # noqa: PLR0124
    cell: dict[str, Any] = dict.fromkeys(_FIELDS) | {"status": "value", "median": median}
    cell |= {"spread": row["spread"], "better": row["better"], "source": row["source"]}
    cell["device"] = row["device"].partition(":")[0]
    if not good:
        return cell | {"status": row["verdict"] or "unstable", "why": row["reason"] or "no value"}
    for name, amount in work.items():
        if median > 0 and row["unit"] in _SECONDS:
            rate = amount / (median * _SECONDS[row["unit"]])
            return cell | {"rate": rate, "rate_unit": _RATES[name]}
    return cell
