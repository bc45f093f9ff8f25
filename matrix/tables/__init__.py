"""Rows → pandas tables. Always the newest row of a test; what has no row is `not measured`.

One module per table, all over `columns.py`. To add a table: its module, a field of `Tables` and a
line in `build`; then reports can show it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from matrix.facts import changes as published
from matrix.facts.changes import Change
from matrix.rows import Row
from matrix.tables.cells import Excluded, cell_table
from matrix.tables.changes import change_table, regression_table
from matrix.tables.columns import Frame, frame
from matrix.tables.companions import by_companions, folded
from matrix.tables.features import feature_table
from matrix.tables.flaky import with_flaky
from matrix.tables.problems import problem_table
from matrix.tables.releases import release_table
from matrix.tables.suites import suite_table
from matrix.tables.summary import Summary, summarize
from matrix.tables.torchao import torchao_table
from matrix.tables.workloads import workload_table

__all__ = [
    "Excluded",
    "Frame",
    "Summary",
    "Tables",
    "build",
    "by_companions",
    "cell_table",
    "change_table",
    "feature_table",
    "folded",
    "frame",
    "problem_table",
    "regression_table",
    "release_table",
    "suite_table",
    "summarize",
    "torchao_table",
    "workload_table",
]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the reports render; the columns of all of them are the lines of `executions`."""

    summary: Summary
    executions: pd.DataFrame
    features: pd.DataFrame
    problems: pd.DataFrame
    releases: pd.DataFrame
    changes: pd.DataFrame
    regressions: pd.DataFrame
    workloads: pd.DataFrame
    suites: pd.DataFrame
    cells: pd.DataFrame
    torchao: pd.DataFrame
    long: pd.DataFrame
    outcomes: pd.DataFrame
    baseline: str | None


def build(
    rows: Iterable[Row] | Mapping[str, Sequence[object]],
    *,
    excluded: Sequence[Excluded] = (),
    baseline: str | None = None,
    stale: Mapping[tuple[str, str], str] = MappingProxyType({}),
    earlier: Iterable[Row] = (),
    changes: Sequence[Change] | None = None,
) -> Tables:
    """Make all tables from rows, or their columns, and from what is no cell.

    `stale` says of (cell, execution) what changed since it was measured; `earlier` are rows of
    other runs, which only tell what is flaky. `changes` are what release notes say, by default all
    that we know of.
    """
    long = frame(rows)
    # A store of many runs is read once; the tables need only the last run of each test.
    is_shown = (long.rows["test"] == "") | long.rows.index.isin(long.newest.index)
    shown = long.rows if is_shown.all() else long.rows[is_shown]
    marked = with_flaky(shown, [frame(earlier).rows, long.rows])
    current = long if marked is long.rows else Frame(marked)
    columns = current.executions
    places = zip(columns["cell"], columns["execution"], strict=True)
    features, problems = feature_table(current), problem_table(current)
    releases = release_table(columns, features, problems, current.outcomes)
    known, minors = published.changes() if changes is None else changes, published.minors()
    return Tables(
        summary=summarize(current, excluded, features),
        executions=columns.assign(stale=[stale.get(place, "") for place in places]),
        features=features,
        problems=problems,
        releases=releases,
        changes=change_table(releases, known, published.builds(), minors),
        regressions=regression_table(releases, known, minors),
        workloads=workload_table(current, baseline),
        suites=suite_table(current),
        cells=cell_table(current, excluded),
        torchao=torchao_table(current),
        long=long.rows,
        outcomes=current.outcomes,
        baseline=baseline,
    )
