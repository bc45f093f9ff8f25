"""The table of features: a verdict per feature and execution."""

import re

import pandas as pd

from matrix.tables.columns import Frame, file_of, spread_out
from matrix.tables.verdicts import NOT_MEASURED, loudest


def feature_table(frame: Frame) -> pd.DataFrame:
    """Verdict of each feature (index group, feature, title) in each execution (columns)."""
    rows = _feature_rows(frame)
    wide = spread_out(rows, ["group", "feature"], loudest)
    titles = rows.drop_duplicates("feature", keep="last").set_index("feature")["title"].to_dict()
    index = [(group, feature, titles[feature] or feature) for group, feature in wide.index]
    wide.index = pd.MultiIndex.from_tuples(index, names=["group", "feature", "title"])
    order = [label for label in frame.executions.index if label in wide.columns]
    return wide.reindex(columns=order).fillna(NOT_MEASURED)


def _feature_rows(frame: Frame) -> pd.DataFrame:
    """Outcomes of features; what broke before any feature (a collection error) is its own row."""
    rows = frame.outcomes
    rows = rows[(rows["feature"] != "") | (rows["suite"] == "feature")]
    rows = rows.assign(feature=rows["feature"].where(rows["feature"] != "", rows["test"]))
    files = rows["test"].map(_group)
    return rows.assign(group=files.groupby(rows["feature"]).transform("min"))


def _group(test: str) -> str:
    return re.sub(r"^test_|\.py$", "", file_of(test).rpartition("/")[2])
