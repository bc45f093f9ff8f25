"""Rows of two runs, or of two cells, → a judged comparison."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from matrix.judge.aggregates import Aggregate, aggregates
from matrix.judge.effects import DEFAULT, Limits
from matrix.judge.history import judge_night
from matrix.judge.series import Contrast, contrasts, sides
from matrix.judge.verdicts import Judgement, judge, values, worst
from matrix.rows import AFTER, BEFORE, Row

Place = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All series of two sides, judged together, the worst first; `before` and `after` name them."""

    before: str
    after: str
    judgements: tuple[Judgement, ...]
    aggregates: tuple[Aggregate, ...]

    @property
    def regressed(self) -> bool:
        """Whether anything is slower for certain."""
        return any(judgement.verdict == "regressed" for judgement in self.judgements)

    def as_json(self) -> dict[str, Any]:
        """For machines: ratios above 1 are better, whatever the metric."""
        return {
            "before": self.before,
            "after": self.after,
            "series": [as_dict(judgement) for judgement in self.judgements],
            "aggregates": [asdict(aggregate) for aggregate in self.aggregates],
        }


def compare_runs(
    before: Iterable[Row], after: Iterable[Row], names: tuple[str, str], limits: Limits = DEFAULT
) -> Comparison:
    """Compare each execution with itself in another run."""
    old, new = by_place(before), by_place(after)
    found = _contrasts(
        {" ".join(place): rows for place, rows in old.items()},
        {" ".join(place): rows for place, rows in new.items()},
    )
    return _judged(found, names, limits)


def compare_cells(
    before: Iterable[Row], after: Iterable[Row], cells: tuple[str, str], limits: Limits = DEFAULT
) -> Comparison:
    """Compare two cells on every execution that one of them has, or one cell with itself."""
    old = {e: of_side(rows, BEFORE) for (c, e), rows in by_place(before).items() if c == cells[0]}
    new = {e: of_side(rows, AFTER) for (c, e), rows in by_place(after).items() if c == cells[1]}
    return _judged(_contrasts(old, new), cells, limits)


def _contrasts(
    old: Mapping[str, Sequence[Row]], new: Mapping[str, Sequence[Row]]
) -> list[Contrast]:
    """All series of two sides, each given by its rows per execution; those first that `new` has."""
    return [
        contrast
        for place in dict.fromkeys([*new, *old])
        for contrast in contrasts(sides(old.get(place, ())), sides(new.get(place, ())), place)
    ]


def compare_history(
    earlier: Sequence[Iterable[Row]], now: Iterable[Row], name: str, limits: Limits = DEFAULT
) -> Comparison:
    """Compare each execution of a run with itself in earlier runs, each given by its rows."""
    nights = [by_place(rows) for rows in earlier]
    found = [
        judgement
        for place, rows in by_place(now).items()
        for judgement in judge_night(
            [night[place] for night in nights if place in night], rows, " ".join(place), limits
        )
    ]
    return _of(found, (f"{len(nights)} earlier run(s)", name))


def by_place(rows: Iterable[Row]) -> dict[Place, list[Row]]:
    """Rows by cell and execution."""
    found: dict[Place, list[Row]] = {}
    for row in rows:
        found.setdefault((row.cell, row.execution), []).append(row)
    return found


def of_side(rows: Sequence[Row], side: str) -> Sequence[Row]:
    """The rows of one side where a cell was compared with itself, else all of them."""
    both = {BEFORE, AFTER} <= {row.side for row in rows}
    return [row for row in rows if row.side in {"", side}] if both else rows


def _judged(found: Sequence[Contrast], names: tuple[str, str], limits: Limits) -> Comparison:
    return _of(judge(found, limits), names)


def _of(judgements: Sequence[Judgement], names: tuple[str, str]) -> Comparison:
    return Comparison(
        before=names[0],
        after=names[1],
        judgements=tuple(worst(judgements)),
        aggregates=tuple(aggregates(judgements)),
    )


def as_dict(judgement: Judgement) -> dict[str, Any]:
    """One line of a table: medians are in `unit`, `low` and `high` the 95 % interval of `ratio`."""
    contrast, effect = judgement.contrast, judgement.effect
    side = contrast.after or contrast.before
    before, after = _medians(judgement)
    return {
        "place": contrast.place,
        "workload": contrast.workload,
        "params": contrast.key.params,
        "metric": contrast.key.metric,
        "suite": contrast.key.suite,
        "test": contrast.key.test,
        "unit": side.unit if side else "",
        "better": side.better if side else "",
        "before": before,
        "after": after,
        "ratio": effect.ratio if effect else None,
        "low": effect.low if effect else None,
        "high": effect.high if effect else None,
        "p": effect.p if effect else None,
        "spread": effect.spread if effect else None,
        "rounds": effect.rounds if effect else None,
        "verdict": judgement.verdict,
        "why": judgement.why,
    }


def _medians(judgement: Judgement) -> tuple[float | None, float | None]:
    """Median of each side's rounds, those that the ratio is of; of what has no ratio None."""
    before, after = judgement.contrast.before, judgement.contrast.after
    if before is None or after is None or judgement.effect is None:
        return None, None
    again = judgement.verdict in {"regressed", "improved"}
    old, new = values(before, after, again=again)
    return statistics.median(old.values()), statistics.median(new.values())
