"""One number for many series: only of those that both sides have, and it says of which not."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matrix.judge.effects import FEWEST, Effect, of_gains
from matrix.judge.verdicts import Judgement, gains


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """Geometric mean of the ratios of one metric's series; None where there are none.

    `effect` is its interval, from each round's own mean, where all series share rounds that were
    taken in turn. Both are of the first pass, which chose no series. `excluded` says of each series
    without a ratio why.
    """

    place: str
    metric: str
    ratio: float | None
    effect: Effect | None
    series: int
    excluded: tuple[tuple[str, str], ...]


def aggregates(judgements: Iterable[Judgement]) -> list[Aggregate]:
    """One aggregate per execution and metric: compile times are none of steady-state times."""
    groups: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in judgements:
        key = judgement.contrast.place, judgement.contrast.key.metric
        groups.setdefault(key, []).append(judgement)
    return [_aggregate(place, metric, group) for (place, metric), group in groups.items()]


def _aggregate(place: str, metric: str, group: Sequence[Judgement]) -> Aggregate:
    effects = [judgement.effect for judgement in group if judgement.effect]
    whole = _together([gains(judgement.contrast) for judgement in group if judgement.effect])
    ratio = math.exp(statistics.fmean(math.log(e.ratio) for e in effects)) if effects else None
    return Aggregate(
        place=place,
        metric=metric,
        ratio=whole.ratio if whole else ratio,
        effect=whole,
        series=len(effects),
        excluded=tuple(
            (f"{j.contrast.workload} {j.contrast.key.params}".strip(), f"{j.verdict}: {j.why}")
            for j in group
            if not j.effect
        ),
    )


def _together(series: Sequence[dict[int, float]]) -> Effect | None:
    """The effect on the mean of all series, round by round; None where they share too few."""
    shared = set.intersection(*(set(one) for one in series)) if series else set()
    if len(shared) < FEWEST:
        return None
    return of_gains([statistics.fmean(one[number] for one in series) for number in shared])
