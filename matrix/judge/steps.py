"""Steps in a history: what is new tonight, and since when each level holds.

A history is one value per night, of one execution under one set of conditions, oldest first. The
libraries that find such steps bring far more than that: otava clients of databases and of Slack and
SciPy, ruptures SciPy, asv its whole program. Like otava, this cuts where a t-test says so.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from matrix.judge import student
from matrix.judge.effects import (
    Better,
    Effect,
    deviation,
    discoveries,
    effect_of,
    gain,
    trimmed,
)

WINDOW = 31  # nights that tonight is compared with
HELD_BACK = 3  # the newest nights are no baseline: a step in them must not hide itself
FEWEST_NIGHTS = 8
SHORTEST = 4  # nights of a level
FALSE_SHARE = 0.5  # of what is suspected: an interleaved run decides, a missed step is not seen
P_STEP = 0.001
SMALLEST = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Tonight:
    """A night against the level before it; `why` says why there is no `effect`.

    The effect's interval and `p` are of a prediction; its `rounds` are the nights of the level.
    """

    effect: Effect | None = None
    why: str = ""


def tonight(values: Sequence[float], better: Better) -> Tonight:
    """Compare the last value, and the mean of the last three, with the level that held before.

    A prediction interval of Student's t on logarithms, from up to `WINDOW` nights of the last
    level; the clearer of both counts, its p-value doubled. Values are positive.
    """
    logs = [gain(1.0, value, better) for value in values]
    past = logs[:-HELD_BACK][-WINDOW:]
    level = past[levels(past)[-1] :] if past else []
    if len(level) < FEWEST_NIGHTS:
        return Tonight(why=f"{len(level)} nights at this level; {FEWEST_NIGHTS} make a baseline")
    found = [_against(logs[-count:], level) for count in (1, HELD_BACK)]
    clearest = min(found, key=lambda effect: effect.p)
    return Tonight(effect=replace(clearest, p=min(1.0, len(found) * clearest.p)))


def _against(new: Sequence[float], level: Sequence[float]) -> Effect:
    """Distance of the mean of new values from a level."""
    centre, noise, freedom = _usual(level)
    error = noise * math.sqrt(1 / len(new) + 1 / (freedom + 1))
    distance = statistics.fmean(new) - centre
    return effect_of(distance, error, freedom, spread=2 * noise, rounds=len(level))


def _usual(level: Sequence[float]) -> tuple[float, float, int]:
    """Centre, standard deviation and degrees of freedom of a level, whatever a few nights did."""
    centre, error, freedom = trimmed(level)
    return centre, deviation(error, freedom), freedom


def suspicious(nights: Iterable[Tonight]) -> list[bool]:
    """Which of many series are worth an interleaved run tonight."""
    nights = list(nights)
    effects = [night.effect for night in nights if night.effect]
    found = iter(discoveries((effect.p for effect in effects), FALSE_SHARE))
    return [bool(n.effect and next(found) and n.effect.size >= SMALLEST) for n in nights]


def levels(logs: Sequence[float]) -> list[int]:
    """Where each level of a history begins, the first at 0; values are logarithms.

    Cuts in two where Student's t of both parts is largest, as long as it is a discovery and the
    parts differ by `SMALLEST`; then each part in the same way.
    """
    starts = [0]
    parts = [(0, len(logs))]
    while parts:
        begin, end = parts.pop()
        if cut := _cut(logs[begin:end]):
            starts.append(begin + cut)
            parts += [(begin, begin + cut), (begin + cut, end)]
    return sorted(starts)


def _cut(logs: Sequence[float]) -> int:
    """Where a part is cut in two, 0 where it is not."""
    count = len(logs)
    if count < 2 * SHORTEST:
        return 0
    middle = statistics.fmean(logs)
    centred = [value - middle for value in logs]
    squares = math.fsum(value * value for value in centred)
    best, place, left = 0.0, 0, math.fsum(centred[: SHORTEST - 1])
    for at in range(SHORTEST, count - SHORTEST + 1):
        left += centred[at - 1]
        # of the squares, what two levels explain; the parts' sums cancel
        explained = left * left * (1 / at + 1 / (count - at))
        if explained > best:
            best, place = explained, at
    left = math.fsum(centred[:place])
    difference = abs(left) * (1 / place + 1 / (count - place)) if place else 0.0
    if difference < math.log1p(SMALLEST):
        return 0
    freedom = count - 2
    rest = max(squares - best, 0.0) / freedom
    if not rest:
        return place
    return place if student.two_sided(math.sqrt(best / rest), freedom) < P_STEP else 0
