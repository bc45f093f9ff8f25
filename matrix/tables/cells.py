"""The table of cells without results: a line per cell and reason, and whose word it is."""

import itertools
from collections.abc import Sequence
from typing import Protocol

import pandas as pd

from matrix.tables.columns import Frame, natural, records, with_waivers
from matrix.tables.verdicts import kind_of

_COLUMNS = ["cell", "execution", "suite", "verdict", "reason", "kind", "source", "date"]


class Excluded(Protocol):
    """A combination that is no cell, with the rule, the source and the date that exclude it."""

    @property
    def id(self) -> str:
        """Id that the cell would have."""

    @property
    def rule(self) -> str:
        """Name of the rule."""

    @property
    def reason(self) -> str:
        """Why, in a sentence."""

    @property
    def source(self) -> str:
        """Where the fact is from."""

    @property
    def date(self) -> str:
        """Day of the fact."""


def cell_table(frame: Frame, excluded: Sequence[Excluded] = ()) -> pd.DataFrame:
    """One line per cell (and execution) that has no results, with verdict, reason and source.

    Columns: cell, execution, suite (`a+b` where both have the same reason), verdict, reason, kind
    (gated, measured or unknown), source, date. An execution whose older results exist is here
    while the newest try gave none.
    """
    lines: list[dict[str, str]] = []
    for gone in excluded:
        said = ("excluded", gone.reason, "gated", f"{gone.rule}: {gone.source}", gone.date)
        lines.append(dict(zip(_COLUMNS, (gone.id, "", "", *said), strict=True)))
    df = frame.rows
    tried = with_waivers(df[(df["test"] == "") & (df["metric"] == "")])
    tried = tried.sort_values("time", kind="stable")
    tried = tried.drop_duplicates(["cell", "execution", "suite"], keep="last")
    ends = _ends(df[df["test"] != ""])
    same: dict[tuple[str, ...], dict[str, str]] = {}
    for row in records(tried):
        end = ends.get((row["cell"], row["execution"], row["suite"]))
        if end is None or end < row["time"]:
            runner = f" on {row['runner']}" if row["runner"] else ""
            made = {"kind": kind_of(row["verdict"]), "source": f"run {row['run']}{runner}"}
            line = {name: row[name] for name in _COLUMNS[:5]} | made | {"date": row["time"]}
            key = tuple(line[name] for name in _COLUMNS if name not in {"suite", "date"})
            if key in same:
                same[key]["suite"] += f"+{line['suite']}"
            else:
                same[key] = line
    lines += same.values()
    lines.sort(key=lambda line: [natural(line[name]) for name in _COLUMNS])
    return pd.DataFrame(lines, columns=_COLUMNS, dtype=object)


def _ends(ran: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """The time of the newest test of (cell, execution, suite), of which any may be ""."""
    found: dict[tuple[str, str, str], str] = {}
    names = ("cell", "execution", "suite", "time")
    times = ran.drop_duplicates(list(names))
    for cell, execution, suite, time in zip(*(times[name] for name in names), strict=True):
        for key in itertools.product([cell], ["", execution], ["", suite]):
            found[key] = max(found.get(key, ""), time)
    return found
