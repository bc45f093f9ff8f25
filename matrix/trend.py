"""A workload's numbers over releases and over time, one execution at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matrix.facts import order
from matrix.history import Track, tracks
from matrix.query import Database

_SEEN = """
SELECT run, time, cell, torch, variant, python, companions, execution, backend, device_model,
    provision, params, metric, unit, better, median, spread, samples, source,
    '' AS verdict, '' AS reason, recipe
FROM metrics WHERE workload = $1 ORDER BY time, run
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """What one run measured: median and interquartile range of `samples` samples, in the unit.

    `source` is the hash of the test: numbers of different tests are not compared.
    """

    run: str
    time: str
    median: float
    spread: float | None
    samples: int
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """A metric of an execution over time, oldest value first."""

    track: Track
    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """A metric in one place: its executions from the oldest release to the newest."""

    workload: str
    place: str
    params: str
    metric: str
    unit: str
    better: str
    courses: tuple[Course, ...]

    def ratio(self, course: Course, other: Course) -> float | None:
        """How much better the newest value is than another's; None where it cannot be said."""
        now, base = course.values[-1], other.values[-1]
        if now.source != base.source or min(now.median, base.median) <= 0:
            return None
        ratios = {"higher": now.median / base.median, "lower": base.median / now.median}
        return ratios.get(self.better)


def trends(workload: str, database: Database) -> tuple[Trend, ...]:
    """All metrics of a workload in all places; empty where no run had it."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for line in database.select(_SEEN, [workload]).records():
        key = tuple(str(line[name]) for name in ("params", "metric", "unit", "better"))
        groups.setdefault(key, []).append(line)
    found = []
    for (params, metric, unit, better), lines in groups.items():
        by_run = {(line["cell"], line["execution"], line["run"]): line for line in lines}
        by_place: dict[str, list[Course]] = {}
        for track in tracks(lines):
            seen = dict.fromkeys((track.cell, track.execution, s.run) for s in track.sights)
            values = tuple(_value(by_run[key]) for key in seen)
            by_place.setdefault(track.place, []).append(Course(track=track, values=values))
        for place, courses in by_place.items():
            ordered = sorted(courses, key=lambda c: (order(c.track.torch), c.track.cell))
            found.append(
                Trend(
                    workload=workload,
                    place=place,
                    params=params,
                    metric=metric,
                    unit=unit,
                    better=better,
                    courses=tuple(ordered),
                )
            )
    return tuple(sorted(found, key=lambda t: (t.place, t.params, t.metric)))


_EVERY = """
SELECT run, time, cell, execution, device_model, provision, workload, params, metric, unit, better,
    median, spread, source
FROM rows WHERE metric <> '' AND workload <> '' AND reason = '' AND median IS NOT NULL
    AND list_contains($1, run)
ORDER BY time, run, round
"""
_SERIES = ("cell", "execution", "device_model", "provision", "workload", "params", "metric", "unit")


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """A metric of an execution over its runs, oldest first, as today's test measures it."""

    key: tuple[str, ...]
    workload: str
    params: str
    metric: str
    unit: str
    better: str
    values: tuple[tuple[str, float, float | None], ...]
    """(time, median, interquartile range)."""


def over_time(database: Database, runs: Sequence[str]) -> list[Series]:
    """All series of these runs that have more than one of them; `key` is that of a column."""
    found: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
    for line in database.select(_EVERY, [list(runs)]).records():
        found.setdefault(tuple(str(line[name]) for name in _SERIES), {})[line["run"]] = line
    made = []
    for (*column, workload, params, metric, unit), lines in found.items():
        newest = list(lines.values())[-1]
        same = [line for line in lines.values() if line["source"] == newest["source"]]
        values = tuple((line["time"], line["median"], line["spread"]) for line in same)
        if len(values) > 1:
            made.append(
                Series(
                    key=tuple(column), workload=workload, params=params, metric=metric, unit=unit,
                    better=newest["better"], values=values,
                )
            )  # fmt: skip
    return made


def _value(line: Mapping[str, Any]) -> Value:
    return Value(
        run=line["run"],
        time=line["time"],
        median=line["median"],
        spread=line["spread"],
        samples=line["samples"],
        source=line["source"],
    )
