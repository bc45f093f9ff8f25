"""Tests whose outcome changed while their recipe did not: what they show is chance."""

from collections.abc import Sequence

import pandas as pd

from matrix.rows import NOT_EVIDENCE, SAME_TEST
from matrix.tables.verdicts import FLAKY, spoken

_SAME = list(SAME_TEST)
_TOLD = [*_SAME, "run", "time", "metric", "verdict", "reason", "evidence"]
_SILENT = NOT_EVIDENCE | {"", "skip"}


def with_flaky(current: pd.DataFrame, others: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """`current` with the verdict `flaky` where another run of the same recipe gave another.

    The reason names all outcomes, newest last. Where one of them is `wrong` the verdict is: wrong
    numbers are no less wrong for being rare. What the user waived stays as it is.
    """
    every = pd.concat([part[_TOLD] for part in (*others, current)])
    tests = every[(every["test"] != "") & (every["metric"] == "") & (every["recipe"] != "")]
    tests = tests[~tests["verdict"].isin(_SILENT)].sort_values("time", kind="stable")
    tests = tests.drop_duplicates([*_SAME, "run"], keep="last")
    kinds = tests.groupby(_SAME, sort=False)["verdict"].transform("nunique")
    tests = tests[kinds > 1]
    if tests.empty:
        return current
    found = {key: _told(part) for key, part in tests.groupby(_SAME, sort=False)}
    silent = current["verdict"].isin(_SILENT) | (current["waiver"] != "")
    loud = current[(current["metric"] == "") & ~silent]
    keys = zip(*(loud[name] for name in _SAME), strict=True)
    changed = {i: found[key] for i, key in zip(loud.index, keys, strict=True) if key in found}
    made = current.copy()
    for place, (verdict, reason) in changed.items():
        made.loc[place, ["verdict", "reason", "signature"]] = [verdict, reason, ""]
    return made


def _told(part: pd.DataFrame) -> tuple[str, str]:
    """Verdict and reason of a test from its rows, one per run, oldest first."""
    told = [
        f"{spoken(verdict)} in run {run}" + (f" ({reason})" if reason else "")
        for verdict, run, reason in zip(part["verdict"], part["run"], part["reason"], strict=True)
    ]
    moved = len(set(part["evidence"])) > 1
    note = " (same recipe, but lock, driver or machine differ)" if moved else " (same recipe)"
    verdict = "wrong" if "wrong" in set(part["verdict"]) else FLAKY
    return verdict, f"flaky{note}: {'; '.join(_ends(told))}"


def _ends(told: list[str]) -> list[str]:
    """The first and the last two of many outcomes."""
    return told if len(told) <= 3 else [told[0], f"{len(told) - 3} more", *told[-2:]]  # noqa: PLR2004
