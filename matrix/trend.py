"""A workload's numbers over releases and over time, one execution at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matrix.facts import order
from matrix.history import Track, tracks
from matrix.query import Database
from matrix.series import of_rounds, parameters

_TEST = "run, cell, execution, provision, device_model, suite, test"
# older rows have a test's source beside its outcome only
_NUMBERS = f"""
WITH sources AS (
    SELECT {_TEST}, max(source) AS source FROM rows
    WHERE metric = '' AND workload <> '' AND source <> '' AND {{where}} GROUP BY ALL
)
SELECT {_TEST}, time, torch, variant, python, companions, backend, device, workload, params, metric,
    unit, better, median, spread, len(samples) AS samples, kind, phase, reason, '' AS verdict,
    recipe, coalesce(nullif(rows.source, ''), sources.source, '') AS source
FROM rows LEFT JOIN sources USING ({_TEST})
WHERE metric <> '' AND workload <> '' AND median IS NOT NULL AND {{where}}
ORDER BY time, run, round
"""  # noqa: S608  constants
_SEEN = _NUMBERS.format(where="workload = $1")
_EVERY = _NUMBERS.format(where="list_contains($1, run)")
_SERIES = ("cell", "execution", "device_model", "provision", "workload", "params", "metric", "unit")


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """What one run measured: median and interquartile range of `samples` samples, in the unit.

    `source` is the hash of the test: numbers of different tests are not compared. `why` says why
    it is in doubt, "" where it is not.
    """

    run: str
    time: str
    median: float
    spread: float | None
    samples: int
    source: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """A metric of an execution over time, oldest value first."""

    track: Track
    values: tuple[Value, ...]

    @property
    def comparable(self) -> tuple[Value, ...]:
        """The newest value, and earlier ones of the same test."""
        return tuple(v for v in self.values if v.source == self.values[-1].source)

    @property
    def span(self) -> tuple[float, float]:
        """The least and the largest that was measured, half the interquartile range included."""
        halves = [(v.median, (v.spread or 0.0) / 2) for v in self.comparable]
        return min(m - half for m, half in halves), max(m + half for m, half in halves)


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
        if now.why or base.why or now.source != base.source or min(now.median, base.median) <= 0:
            return None
        ratios = {"higher": now.median / base.median, "lower": base.median / now.median}
        return ratios.get(self.better)


def overlap(one: Course, other: Course) -> bool:
    """Whether two executions differ by no more than each of them does by itself."""
    (low, high), (least, most) = one.span, other.span
    return low <= most and least <= high


def trends(workload: str, database: Database) -> tuple[Trend, ...]:
    """All metrics of a workload in all places; empty where no run had it."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for line in _of_runs(database.select(_SEEN, [workload]).records()):
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


def _of_runs(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line for the rounds of a run, with parameters as reports write them."""
    rounds: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for line in lines:
        told = {**line, "params": parameters(line["params"])[0]}
        rounds.setdefault(tuple(str(told[name]) for name in ("run", *_SERIES)), []).append(told)
    return [of_rounds(several) for several in rounds.values()]


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
    for line in _of_runs(database.select(_EVERY, [list(runs)]).records()):
        if not line["reason"]:
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
        why=line["reason"],
    )
