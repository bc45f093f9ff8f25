"""What release notes say beside what was measured, and what they do not say."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from matrix.facts import natural
from matrix.facts.changes import FEATURE, GATED, NOT_LINKED, Builds, Change, gate, minor
from matrix.tables.releases import measured, plain
from matrix.tables.verdicts import FLAKY

SEEN, NOT_SEEN = "seen", "not seen"
NO_NEIGHBOURS, NO_CHECK, NOT_OBSERVABLE = "neighbours not run", "not evaluated", "not observable"
_CHANGE = ["id", "torch", "area", "severity", "change", "source", "status", "observe"]
_MEASURED = ["finding", "feature", "place", "before", "was", "since", "now", "between", "why"]
_REGRESSION = ["place", "feature", "before", "torch", "verdict", "again", "reason", "between"]
_REGRESSION += ["same_tests"]


def change_table(
    releases: pd.DataFrame, changes: Iterable[Change], builds: Builds, minors: Sequence[str]
) -> pd.DataFrame:
    """One line per change, and per place and feature that were measured on both sides of it.

    Columns: those of the change, `finding` (`seen`, `not seen`, `neighbours not run`, `not
    evaluated`, `not observable` or `not linked`), feature, place, the releases measured nearest
    `before` and `since` with their verdicts `was` and `now`, `between` (tuple of published minor
    releases that lie between these two and were not measured there), `why`.
    """
    points, rows = measured(releases), list(builds)
    lines: list[dict[str, Any]] = []
    for change in changes:
        base = {name: getattr(change, name) for name in _CHANGE}
        if change.observe == FEATURE:
            lines += [base | line for line in _measured(change, points, minors)]
        elif change.observe == GATED:
            shown, why = gate(change, rows)
            finding = NO_CHECK if shown is None else SEEN if shown else NOT_SEEN
            why = f"{change.observed_by}: {why}" if shown is None else why
            lines.append(base | {"finding": finding, "why": why})
        else:
            linked = change.observed_by != NOT_LINKED
            finding = NOT_OBSERVABLE if linked else NOT_LINKED
            lines.append(base | {"finding": finding, "why": change.observed_by})
    table = pd.DataFrame(lines, columns=_CHANGE + _MEASURED, dtype=object)
    return table.where(table.notna(), "")


def _measured(
    change: Change, points: dict[tuple[str, str], list[dict[str, Any]]], minors: Sequence[str]
) -> list[dict[str, Any]]:
    at = natural(change.torch)
    found, lacking = [], []
    for feature in change.features:
        own = [lines for (_, name), lines in points.items() if name == feature]
        for lines in own:
            before = [line for line in lines if natural(line["torch"]) < at]
            since = [line for line in lines if natural(line["torch"]) >= at]
            if before and since:
                found.append(_pair(before[-1], since[0], minors))
        ran = {line["torch"] for lines in own for line in lines}
        told = ", ".join(sorted(ran, key=natural)) or "nothing"
        lacking.append(f"{feature} ran on {told}")
    why = "; ".join(lacking) or "it names no feature"
    return found or [{"finding": NO_NEIGHBOURS, "feature": ", ".join(change.features), "why": why}]


def _pair(one: dict[str, Any], other: dict[str, Any], minors: Sequence[str]) -> dict[str, Any]:
    was, now = plain(one["verdict"]), plain(other["verdict"])
    return {
        "finding": SEEN if was != now and FLAKY not in {was, now} else NOT_SEEN,
        "feature": one["feature"],
        "place": one["place"],
        "before": one["torch"],
        "was": was,
        "since": other["torch"],
        "now": now,
        "between": _between(one["torch"], other["torch"], minors),
        "why": other["reason"] if now != "pass" else one["reason"],
    }


def regression_table(
    releases: pd.DataFrame, changes: Iterable[Change], minors: Sequence[str]
) -> pd.DataFrame:
    """What passed in a release and not in the next measured one, and no change explains it.

    A change explains it if it names the feature and its release lies between the two. Columns:
    place, feature, before (passes), torch (does not), verdict, again (the next release that passes,
    or nothing), reason, between (as in `change_table`), same_tests (whether both ran the same).
    """
    known = [(feature, natural(c.torch)) for c in changes for feature in c.features]
    lines = []
    for (place, feature), points in measured(releases).items():
        for number, (one, other) in enumerate(itertools.pairwise(points)):
            verdict = plain(other["verdict"])
            if plain(one["verdict"]) != "pass" or verdict == "pass":
                continue
            low, high = natural(one["torch"]), natural(other["torch"])
            if any(name == feature and low < at <= high for name, at in known):
                continue
            later = points[number + 2 :]
            again = next((p["torch"] for p in later if plain(p["verdict"]) == "pass"), "")
            line = {"place": place, "feature": feature, "before": one["torch"]}
            line |= {"torch": other["torch"], "verdict": verdict, "again": again}
            line |= {"reason": other["reason"], "same_tests": one["source"] == other["source"]}
            lines.append(line | {"between": _between(one["torch"], other["torch"], minors)})
    return pd.DataFrame(lines, columns=_REGRESSION, dtype=object)


def _between(one: str, other: str, minors: Sequence[str]) -> tuple[str, ...]:
    """The published minor releases between two releases, without theirs."""
    low, high = natural(minor(one)), natural(minor(other))
    return tuple(text for text in minors if low < natural(text) < high)
