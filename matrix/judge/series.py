"""Rows → series: what was measured on each side, and whether the two may be compared at all."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from matrix.rows import AGAIN, Row

Conditions = Mapping[str, str]


class Key(NamedTuple):
    """What a series is of: a test's metric with these parameters, the work of a call apart."""

    suite: str
    test: str
    metric: str
    params: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What one side has of a series: a median per round, and what the numbers depend on.

    `first` are the rounds of the first pass, `again` those of the confirming one, both by number;
    only rounds that nothing disturbed. `run` is where they are from, `in_turn` whether the other
    cell's rounds were taken between them. `why` says why there are none.
    """

    run: str = ""
    unit: str = ""
    better: str = ""
    workload: str = ""
    conditions: Conditions = field(default_factory=dict)
    first: Mapping[int, float] = field(default_factory=dict)
    again: Mapping[int, float] = field(default_factory=dict)
    in_turn: bool = False
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """One series of two sides; a side is None where the series is not there at all.

    `measured` says which of the sides have results of the execution `place` at all.
    """

    place: str
    key: Key
    before: Side | None
    after: Side | None
    measured: tuple[bool, bool] = (True, True)

    @property
    def workload(self) -> str:
        """The row of the throughput table that it belongs to; else its test."""
        return (self.after and self.after.workload) or (
            (self.before and self.before.workload) or self.key.test
        )


def contrasts(old: Mapping[Key, Side], new: Mapping[Key, Side], place: str) -> list[Contrast]:
    """All series of two sides of an execution, those first that `new` has."""
    found = []
    for key in dict.fromkeys([*new, *old]):
        test = Key(key.suite, key.test, "", "")
        if key == test and any(k != key and k[:2] == key[:2] for k in (*old, *new)):
            continue  # the other side says which metrics the test has
        was, is_ = old.get(key, old.get(test)), new.get(key, new.get(test))
        if all(side is None or side.why.startswith("skip") for side in (was, is_)):
            continue  # nowhere a series
        measured = (bool(old), bool(new))
        found.append(Contrast(place=place, key=key, before=was, after=is_, measured=measured))
    return found


def sides(rows: Iterable[Row]) -> dict[Key, Side]:
    """Series of one execution in one run.

    A test that left no number has one side without rounds, under a key without a metric.
    """
    rows = list(rows)
    outcomes = {(row.suite, row.test): row for row in rows if row.verdict and row.test}
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        if row.metric and row.median is not None:
            groups.setdefault(_key(row), []).append(row)
    found = {key: _side(group, outcomes.get(key[:2])) for key, group in groups.items()}
    measured = {key[:2] for key in found}
    for (suite, test), row in outcomes.items():
        if (suite, test) not in measured and (row.workload or suite == "throughput"):
            why = "no metric" if row.verdict == "pass" else f"{row.verdict}: {row.reason}"
            key = Key(suite, test, "", "")
            found[key] = Side(run=row.run, workload=row.workload, why=why.rstrip(": "))
    return found


def differences(before: Side, after: Side) -> str:
    """Why two sides must not be compared: every condition that differs; "" where none does."""
    names = dict.fromkeys([*before.conditions, *after.conditions])
    found = []
    for name in names:
        old, new = before.conditions.get(name, ""), after.conditions.get(name, "")
        if old != new:
            hashed = name == "test source"
            found.append(
                f"{name} changed" if hashed else f"{name}: {old or '?'}, then {new or '?'}"
            )
    return "; ".join(found)


def _key(row: Row) -> Key:
    return Key(row.suite, row.test, row.metric, _params(row.params)[0])


def _params(text: str) -> tuple[str, str]:
    """Parameters as `k=v`, sorted, and apart from them the work of a call."""
    try:
        params = json.loads(text or "{}")
    except ValueError:
        return text, ""
    if not isinstance(params, dict):
        return text, ""
    pairs = sorted((str(name), value) for name, value in params.items())
    named = [f"{name}={value}" for name, value in pairs if not name.startswith("work.")]
    work = [f"{name[5:]}={value:g}" for name, value in pairs if name.startswith("work.")
            if isinstance(value, int | float)]  # fmt: skip
    return " ".join(named), " ".join(work)


def _side(rows: list[Row], outcome: Row | None) -> Side:
    """One series of one execution; of rounds that were disturbed only the reason is left."""
    last = rows[-1]
    good = [row for row in rows if not row.reason and row.median is not None and row.median > 0]
    reasons = dict.fromkeys(row.reason or "a value is not positive" for row in rows)
    first = {row.round: float(row.median or 0) for row in good if row.phase != AGAIN}
    again = {row.round: float(row.median or 0) for row in good if row.phase == AGAIN}
    return Side(
        run=last.run,
        unit=last.unit,
        better=last.better,
        workload=last.workload,
        conditions=_conditions(last, outcome),
        first=first,
        again=again,
        in_turn=all(row.side for row in rows),
        why="" if first else "; ".join(reasons),
    )


def _conditions(row: Row, outcome: Row | None) -> Conditions:
    """Whatever makes two numbers incomparable when it differs."""
    limit = "" if row.power_limit is None else f"{row.power_limit:g} W"
    return {
        "device": " ".join(filter(None, [row.device.partition(":")[0], row.device_model])),
        "driver": row.driver,
        "power limit": limit,
        "backend": row.backend,
        "provision": row.provision,
        "unit": row.unit,
        "direction": row.better,
        "work of a call": _params(row.params)[1],
        "test source": row.source or (outcome.source if outcome else ""),
    }
