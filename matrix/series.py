"""What makes rows of one number a series: its parameters, and rounds that measured the same."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matrix.rows import AGAIN, FEWEST_ROUNDS, STEADY

WORK = ("flop", "bytes", "tokens")
"""Kinds of work that a call says it does, in `params` as `work.flop` and so on."""


def parameters(text: str) -> tuple[str, dict[str, float]]:
    """Parameters as `k=v`, sorted, and apart from them the work done in a call."""
    try:
        params = json.loads(text or "{}")
    except ValueError:
        return text, {}
    if not isinstance(params, dict):
        return text, {}
    work = {name: params.pop(f"work.{name}", None) for name in WORK}
    amounts = {name: float(n) for name, n in work.items() if isinstance(n, int | float)}
    return " ".join(f"{k}={v}" for k, v in sorted(params.items())), amounts


def of_rounds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row for the rounds of a series: the median of medians, and the spread between rounds.

    Rounds that repeat only what stood out are left out, and those that were disturbed where there
    are others. A steady series whose processes differ too much has a reason why it is no number.
    """
    if len(rows) == 1:
        return dict(rows[0])
    first = [row for row in rows if row["phase"] != AGAIN] or rows
    good = [row for row in first if not row["reason"]]
    if not good:
        return dict(first[0])
    medians = [float(row["median"]) for row in good]
    low, middle, high = _quartiles(medians)
    found = {**good[0], "median": middle, "spread": high - low}
    if why := _restless(good[0], medians, len(first)):
        return found | {"reason": f"unstable: {why}"}
    return found


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _restless(row: Mapping[str, Any], medians: list[float], rounds: int) -> str:
    """Why a steady series is no number although some of its rounds are; "" for any other."""
    limit = STEADY.get(row["device"].partition(":")[0], 0.0)
    if row["kind"] != "steady" or rounds < FEWEST_ROUNDS or not limit:
        return ""
    if len(medians) < FEWEST_ROUNDS:
        return f"{rounds - len(medians)} of {rounds} processes were disturbed"
    varies = statistics.stdev(medians) / statistics.fmean(medians)
    if varies <= limit:
        return ""
    return f"{len(medians)} processes vary by {varies:.1%}, more than {limit:.0%}"
