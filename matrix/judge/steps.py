"""Steps in a history: what is new tonight, and since when each level holds.

A history is one value per night, of one execution under one set of conditions, oldest first. The
libraries that find such steps bring far more than that: otava clients of databases and of Slack and
SciPy, ruptures SciPy, asv its whole program. Like otava, this cuts where a t-test says so.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matrix.judge import student
from matrix.judge.effects import deviation, discoveries, trimmed

WINDOW = 31  # nights that tonight is compared with
HELD_BACK = 3  # the newest nights are no baseline: a step in them must not hide itself
FEWEST_NIGHTS = 8
SHORTEST = 4  # nights of a level
FALSE_SHARE = 0.5  # of what is suspected: an interleaved run decides, a missed step is not seen
P_STEP = 0.001
SMALLEST = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Tonight:
    """A night's value against the level before: `ratio` is tonight ÷ level, whatever is better.

    `p` is 1 and `why` says it where the history is too short.
    """

    ratio: float = 1.0
    p: float = 1.0
    why: str = ""


def tonight(values: Sequence[float]) -> Tonight:
    """Compare the last value, and the last three, with the level that held before them.

    A prediction interval of Student's t on logarithms, from up to `WINDOW` nights of the last
    level, the smaller of both p-values doubled. Values are positive.
    """
    logs = [math.log(value) for value in values]
    past = logs[:-HELD_BACK][-WINDOW:]
    level = past[levels(past)[-1] :] if past else []
    if len(level) < FEWEST_NIGHTS:
        return Tonight(why=f"{len(level)} nights at this level; {FEWEST_NIGHTS} make a baseline")
    centre, noise, freedom = _usual(level)
    found = [_against(logs[-n:], centre, noise, freedom) for n in (1, HELD_BACK)]
    distance, p = min(found, key=lambda one: one[1])
    return Tonight(ratio=math.exp(distance), p=min(1.0, len(found) * p))


def _usual(level: Sequence[float]) -> tuple[float, float, int]:
    """Centre, standard deviation and degrees of freedom of a level, whatever a few nights did."""
    centre, error, freedom = trimmed(level)
    return centre, deviation(error, freedom), freedom


def _against(
    new: Sequence[float], centre: float, noise: float, freedom: int
) -> tuple[float, float]:
    """Distance of the mean of new values from a level, and the probability of such a one."""
    distance = statistics.fmean(new) - centre
    error = noise * math.sqrt(1 / len(new) + 1 / (freedom + 1))
    if not error:
        return distance, 0.0 if distance else 1.0
    return distance, student.two_sided(distance / error, freedom)


def suspicious(nights: Iterable[Tonight]) -> list[bool]:
    """Which of many series are worth an interleaved run tonight."""
    nights = list(nights)
    found = discoveries((night.p for night in nights), FALSE_SHARE)
    limit = math.log1p(SMALLEST)
    return [
        out and abs(math.log(night.ratio)) >= limit
        for out, night in zip(found, nights, strict=True)
    ]


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
