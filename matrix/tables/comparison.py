"""A comparison as pandas tables: a line per series, and one per aggregate."""

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matrix.judge.comparisons import Comparison

INDEX = ["place", "workload", "params", "metric", "unit"]


def comparison_table(comparison: "Comparison") -> pd.DataFrame:
    """One line per series, the worst first.

    Columns: medians `before` and `after` in `unit`; `ratio` (more than 1 is better, whatever
    `better` says) with its 95 % interval `low` to `high`; `p`; `spread` between processes, a share;
    `rounds`; `verdict` and `why`. What may not be compared has no numbers.
    """
    lines = comparison.as_json()["series"]
    columns = ["better", "before", "after", "ratio", "low", "high", "p", "spread", "rounds",
               "verdict", "why", "suite", "test"]  # fmt: skip
    return pd.DataFrame(lines, columns=[*INDEX, *columns]).set_index(INDEX)


def aggregate_table(comparison: "Comparison") -> pd.DataFrame:
    """Geometric means per execution and metric: of how many `series`, and how many `excluded`."""
    lines = [
        {
            "place": aggregate.place,
            "metric": aggregate.metric,
            "ratio": aggregate.ratio,
            "low": aggregate.effect.low if aggregate.effect else None,
            "high": aggregate.effect.high if aggregate.effect else None,
            "series": aggregate.series,
            "excluded": len(aggregate.excluded),
        }
        for aggregate in comparison.aggregates
    ]
    columns = ["place", "metric", "ratio", "low", "high", "series", "excluded"]
    return pd.DataFrame(lines, columns=columns).set_index(["place", "metric"])
