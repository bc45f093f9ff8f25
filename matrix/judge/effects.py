"""How much better or worse one side of a series is, with an interval, from rounds of both sides.

A round is one fresh process; its value is the median of its samples. Everything is computed with
logarithms of ratios, so that twice as fast and half as fast are equally far from no change.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from matrix.judge import student

Better = Literal["higher", "lower"]
CONFIDENCE = 0.95
FEWEST = 3
# Of the values, the share that is cut off at each end; below eight rounds that is none. Chosen by
# simulation (benchmarks/judge_simulation.py): with six pairs nothing can be spared, with eight an
# outlier costs a plain t-test half of its power and a trimmed one a tenth.
CUT = 1 / 8
TRIMMED_SHARE = 0.9  # of a Gaussian's deviation is left in what `trimmed` keeps of 8 to 31 values
PAIRS_AGAIN = (
    12  # of what is suspected: confirms 92 of 100 steps of 3 % at 1 % noise, and all of 5 %
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """After ÷ before so that more than 1 is better, whatever the metric, with its interval.

    `p` is the probability of a difference at least as large where there is none. `spread` is the
    width that holds two thirds of one side's processes, as a share. `rounds` are those of the side
    that has fewer.
    """

    ratio: float
    low: float
    high: float
    p: float
    spread: float
    rounds: int

    @property
    def size(self) -> float:
        """How far from no change: 0.05 for 5 % faster, and for as much slower."""
        return math.expm1(abs(math.log(self.ratio)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What counts; shares, so that 0.01 is one per cent.

    `smallest` is the least effect that is ever called. `known` says that a change of `visible`
    would have been seen. Of what is measured again `false_share` may be false (Benjamini–Hochberg);
    the second pass is believed below `p_again`.
    """

    smallest: float = 0.01
    visible: float = 0.05
    false_share: float = 0.20
    p_again: float = 0.001


DEFAULT = Limits()


def gain(before: float, after: float, better: Better) -> float:
    """Logarithm of how much better `after` is; both are positive."""
    log = math.log(after / before)
    return log if better == "higher" else -log


def paired(before: Sequence[float], after: Sequence[float], better: Better) -> Effect:
    """The effect where round `i` of both sides ran one after the other: see `of_gains`."""
    return of_gains([gain(a, b, better) for a, b in zip(before, after, strict=True)])


def of_gains(pairs: Sequence[float]) -> Effect:
    """The effect of pairs' gains: what drifts slowly hits both of a pair alike.

    A t-test, trimmed (Yuen) as far as `CUT` says; raises `ValueError` below `FEWEST` pairs.
    """
    if len(pairs) < FEWEST:
        raise ValueError(f"{len(pairs)} pairs, needs {FEWEST}")
    centre, error, freedom = trimmed(pairs)
    # a pair's ratio has the noise of two processes
    spread = 2 * deviation(error, freedom) / math.sqrt(2)
    return effect_of(centre, error, freedom, spread=spread, rounds=len(pairs))


def apart(before: Sequence[float], after: Sequence[float], better: Better) -> Effect:
    """The effect where the sides ran at two times: a pooled t-test on logarithms.

    What differed between the two times is in the effect, and not in its interval.
    Raises `ValueError` below `FEWEST` rounds of a side.
    """
    fewest = min(len(before), len(after))
    if fewest < FEWEST:
        raise ValueError(f"{fewest} rounds, needs {FEWEST}")
    old, new = ([gain(1.0, value, better) for value in side] for side in (before, after))
    freedom = len(old) + len(new) - 2
    error = math.sqrt((_squares(old) + _squares(new)) / freedom * (1 / len(old) + 1 / len(new)))
    centre = statistics.fmean(new) - statistics.fmean(old)
    spread = 2 * max(math.sqrt(_squares(side) / (len(side) - 1)) for side in (old, new))
    return effect_of(centre, error, freedom, spread=spread, rounds=fewest)


def trimmed(values: Sequence[float]) -> tuple[float, float, int]:
    """Trimmed mean, its standard error (Yuen) and degrees of freedom, of at least two values."""
    ordered = sorted(values)
    count = len(ordered)
    cut = int(count * CUT)
    kept = ordered[cut : count - cut]
    drawn_in = [kept[0]] * cut + kept + [kept[-1]] * cut  # winsorised
    error = math.sqrt(_squares(drawn_in) / (len(kept) * (len(kept) - 1)))
    return statistics.fmean(kept), error, len(kept) - 1


def deviation(error: float, freedom: int) -> float:
    """Standard deviation of single values, from what `trimmed` says of them."""
    return error * math.sqrt(freedom + 1) / TRIMMED_SHARE


def discoveries(p_values: Iterable[float], false_share: float) -> list[bool]:
    """Which of many p-values are discoveries, of which `false_share` may be false on average.

    Benjamini and Hochberg (1995): the largest k of which k values are at most k/m · q.
    """
    values = list(p_values)
    limit = -1.0
    for rank, p in enumerate(sorted(values), start=1):
        if p <= rank / len(values) * false_share:
            limit = p
    return [p <= limit for p in values]


def confirms(again: Effect, *, better: bool, limits: Limits = DEFAULT) -> bool:
    """Whether a second pass shows what was suspected: better or worse, and clearly so."""
    same_way = (again.ratio > 1) == better
    clear = again.p < limits.p_again and again.size >= limits.smallest
    return same_way and clear and again.size > again.spread


def _squares(values: Sequence[float]) -> float:
    """Sum of squared distances from the mean; `statistics.variance` counts in slow fractions."""
    centre = statistics.fmean(values)
    return math.fsum((value - centre) ** 2 for value in values)


def effect_of(centre: float, error: float, freedom: int, *, spread: float, rounds: int) -> Effect:
    """An effect from a mean gain, its error and degrees of freedom; `spread` in logarithms."""
    reach = student.quantile(CONFIDENCE, freedom) * error
    certain = 0.0 if centre else 1.0
    p = student.two_sided(centre / error, freedom) if error else certain
    return Effect(
        ratio=math.exp(centre),
        low=math.exp(centre - reach),
        high=math.exp(centre + reach),
        p=p,
        spread=math.expm1(spread),
        rounds=rounds,
    )
