"""The table of the user's own suites: tests of each file, counted by verdict, per execution."""

import pandas as pd

from matrix.schema import BUILTIN_SUITES
from matrix.tables.columns import Frame, file_of, spread_out
from matrix.tables.verdicts import count


def suite_table(frame: Frame) -> pd.DataFrame:
    """Count `{verdict: tests}` of each test file of the user's suites, in each execution.

    Index suite, file; an empty mapping where nothing of the file ran.
    """
    rows = frame.outcomes
    rows = rows[~rows["suite"].isin(BUILTIN_SUITES)]
    rows = rows.assign(file=rows["test"].map(file_of))
    wide = spread_out(rows, ["suite", "file"], count)
    order = [label for label in frame.executions.index if label in wide.columns]
    return wide.reindex(columns=order).map(lambda value: value if isinstance(value, dict) else {})
