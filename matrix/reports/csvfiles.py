"""Tables → CSV files, one line per statement, for a spreadsheet or another program."""

import csv
from pathlib import Path
from typing import Any

import pandas as pd

from matrix.reports.lines import records, workloads
from matrix.reports.plain import inert
from matrix.tables import Tables
from matrix.tables.verdicts import NOT_MEASURED, kind_of

_WHERE = ["device", "device_model", "driver", "backend", "runner", "provision", "last", "run"]


def write(tables: Tables, folder: Path) -> list[Path]:
    """Write features, workloads, suites, cells and long.csv; returns their paths.

    Every line says its kind; of measured ones also device, driver, provision, time and run. A
    problem that the user accepts is `wrong waived`, but for long.csv, which has rows as they are.
    Text that a spreadsheet would run as a formula gets a `'` in front. Raises `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "features": _features(tables),
        "workloads": _workloads(tables),
        "suites": _suites(tables),
        "cells": tables.cells,
        "long": _long(tables.long),
    }
    paths = []
    for name, table in made.items():
        path = folder / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(table.columns)
            writer.writerows(zip(*(_inert(table[name]) for name in table.columns), strict=True))
        paths.append(path)
    return paths


def _inert(column: pd.Series) -> list[object]:
    """`inert` of each value, nothing for NaN; values repeat, and hardly ever one differs."""
    values = column.tolist()
    changed = [v for v in set(values) if v != v or inert(v) is not v]  # noqa: PLR0124  NaN
    if not changed:
        return values
    return [None if value != value else inert(value) for value in values]  # noqa: PLR0124


def _features(tables: Tables) -> pd.DataFrame:
    lines, where = [], _where(tables)
    # of the test that makes the verdict: what one run skipped may be of an earlier one
    names = [tables.outcomes[name] for name in ("feature", "label", "verdict", "time", "run")]
    found = {
        (feature, label, verdict): {"last": time, "run": run}
        for feature, label, verdict, time, run in zip(*names, strict=True)
    }
    for (group, feature, title), cells in zip(
        tables.features.index, tables.features.to_numpy(), strict=True
    ):
        for label, verdict in zip(tables.features.columns, cells, strict=True):
            first = {"group": group, "feature": feature, "title": title, "column": label}
            kind = "unknown" if verdict == NOT_MEASURED else "measured"
            of_test = found.get((feature, label, verdict), {})
            lines.append(first | {"verdict": verdict, "kind": kind} | where[label] | of_test)
    return pd.DataFrame(
        lines, columns=_head("group feature title column verdict kind"), dtype=object
    )


def _workloads(tables: Tables) -> pd.DataFrame:
    lines, where = [], _where(tables)
    for (workload, params, metric, unit), cells in workloads(tables.workloads):
        first = {"workload": workload, "params": params, "metric": metric, "unit": unit}
        for label, cell in cells.items():
            kind = "unknown" if cell["status"] == NOT_MEASURED else "measured"
            base = {"baseline": cell["base"] or tables.baseline}
            line = first | {"column": label} | cell | base | {"kind": kind}
            lines.append(line | where[label])
    head = "workload params metric unit column status median spread rate rate_unit ceiling ratio"
    return pd.DataFrame(lines, columns=_head(f"{head} why baseline kind"), dtype=object)


def _suites(tables: Tables) -> pd.DataFrame:
    lines, where = [], _where(tables)
    for (suite, file), cells in zip(tables.suites.index, tables.suites.to_numpy(), strict=True):
        for label, counts in zip(tables.suites.columns, cells, strict=True):
            first = {"suite": suite, "file": file, "column": label}
            for verdict, tests in (counts or {NOT_MEASURED: 0}).items():
                kind = "measured" if counts else "unknown"
                line = first | {"verdict": verdict, "tests": tests, "kind": kind}
                lines.append(line | where[label])
    return pd.DataFrame(lines, columns=_head("suite file column verdict tests kind"), dtype=object)


def _long(long: pd.DataFrame) -> pd.DataFrame:
    tests = zip(long["test"], long["verdict"], strict=True)
    kinds = ["measured" if test else kind_of(verdict) for test, verdict in tests]
    samples = [" ".join(repr(number) for number in numbers) for numbers in long["samples"]]
    changed: dict[str, Any] = {"kind": kinds, "samples": samples}
    return long.assign(**{k: pd.Series(v, long.index, dtype=object) for k, v in changed.items()})


def _where(tables: Tables) -> dict[str, dict[str, Any]]:
    """Where each column was measured."""
    lines = records(tables.executions[_WHERE])
    return dict(zip(map(str, tables.executions.index), lines, strict=True))


def _head(names: str) -> list[str]:
    return [*names.split(), *_WHERE]
