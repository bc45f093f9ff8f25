"""How often the judge is wrong, and what it finds, on simulated nights; peers' rules beside it.

    python benchmarks/judge_simulation.py [WORLDS]

300 series over 50 nights, after 34 nights of history, in each of WORLDS worlds (default 40), each
with a seed of its own. Nothing is Gaussian but the series that say so. Needs numpy, which pandas
brings. What the judge calls went through both of its stages: suspicion from the history, then
interleaved pairs, whose noise is of the same kind.
"""

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.intervals import interval  # noqa: E402
from matrix.judge.effects import PAIRS_AGAIN, confirms, paired  # noqa: E402
from matrix.judge.steps import WINDOW, suspicious, tonight  # noqa: E402

SERIES, NIGHTS, HISTORY = 300, 50, 34
STEP, STEPPED = 0.05, 0.01  # of the series with a step, in the worlds that have one
NOISE = 0.01
WORLDS_WITH_STEPS = 3  # for each without, over the nights of `SEEN_BY`
# shares of the series; a standard deviation of 1 % beside what the name says: t with 3 degrees of
# freedom; 5 % of the nights 5-30 % slower; two modes, 15 % apart, from process to process; a random
# walk of 0.2 % a night
KINDS = {"gaussian": 0.40, "heavy tails": 0.25, "slow nights": 0.15, "bimodal": 0.1, "drift": 0.1}
SEEN_BY = (1, 2, 3, 7)

Numbers = np.ndarray
Rule = Callable[[Numbers], Numbers]


@dataclass
class Tally:
    """What one rule did: false calls, series measured again, nights to find each kind of noise."""

    false: int = 0
    asked: int = 0
    found: dict[str, list[float]] = field(default_factory=dict)


def noise(rng: np.random.Generator, kinds: Numbers, count: int) -> Numbers:
    """Logarithms of `count` values per series."""
    shape = (len(kinds), count)
    plain = rng.normal(0, NOISE, shape)
    heavy = rng.standard_t(3, shape) * NOISE / math.sqrt(3)
    slow = plain + (rng.random(shape) < 0.05) * rng.uniform(0.05, 0.30, shape)  # noqa: PLR2004
    modes = plain + (rng.random(shape) < 0.5) * 0.15  # noqa: PLR2004
    made = {"heavy tails": heavy, "slow nights": slow, "bimodal": modes}
    out = plain
    for kind, values in made.items():
        out = np.where((kinds == kind)[:, None], values, out)
    return out


def world(seed: int, step: float) -> tuple[np.random.Generator, Numbers, Numbers, Numbers]:
    """Generator, kinds, seconds [series, nights], and the true step of each series.

    On two nights everything is 2-4 % slower, as on another host.
    """
    rng = np.random.default_rng(seed)
    kinds = rng.choice(list(KINDS), SERIES, p=list(KINDS.values()))
    nights = HISTORY + NIGHTS
    logs = noise(rng, kinds, nights)
    walk = np.cumsum(rng.normal(0, 0.002, (SERIES, nights)), axis=1)
    logs += np.where((kinds == "drift")[:, None], walk, 0.0)
    logs[:, rng.integers(HISTORY, nights, 2)] += rng.uniform(0.02, 0.04)
    true = np.where(rng.random(SERIES) < STEPPED, math.log1p(step), 0.0) if step else 0.0
    steps = np.zeros(SERIES) + true
    logs[:, HISTORY:] += steps[:, None]
    return rng, kinds, np.exp(logs), steps


def judged(
    rng: np.random.Generator, kinds: Numbers, values: Numbers, steps: Numbers, tally: Tally
) -> Numbers:
    """Which series are called tonight: suspicion, then interleaved pairs of old and new."""
    nights = [tonight(row[-(WINDOW + 3) :].tolist(), "lower") for row in values]
    called = np.zeros(len(values), bool)
    places = np.flatnonzero(suspicious(nights))
    tally.asked += len(places)
    if not len(places):
        return called
    old, new = (np.exp(noise(rng, kinds[places], PAIRS_AGAIN)) for _ in range(2))
    for place, before, after in zip(places, old, new, strict=True):
        level = math.exp(steps[place])
        again = paired(before.tolist(), (after * level).tolist(), "lower")
        called[place] = confirms(again, better=nights[place].effect.ratio > 1)
    return called


def previous(limit: float) -> Rule:
    """Against the night before."""
    return lambda v: v[:, -1] / v[:, -2] - 1 > limit


def both_ways(limit: float) -> Rule:
    """Against the night before, faster as well as slower."""
    return lambda v: np.abs(v[:, -1] / v[:, -2] - 1) > limit


def fixed(limit: float) -> Rule:
    """Against the mean of the first seven nights, for ever."""
    return lambda v: v[:, -1] / v[:, :7].mean(1) - 1 > limit


def window_sigma(nights: int, sigmas: float, least: float) -> Rule:
    """Against mean and standard deviation of the last nights."""

    def rule(v: Numbers) -> Numbers:
        past = v[:, -nights - 1 : -1]
        mean, sigma = past.mean(1), past.std(1)
        return (v[:, -1] - mean >= sigmas * sigma) & (v[:, -1] / mean - 1 >= least)

    return rule


def two_windows(nights: int, factor: float) -> Rule:
    """The last two of a window all worse than the median of the window before."""

    def rule(v: Numbers) -> Numbers:
        base = np.median(v[:, -2 * nights : -nights], axis=1)
        return (v[:, -2:] > base[:, None] * factor).all(1)

    return rule


def prediction(nights: int, t: float) -> Rule:
    """Student's prediction interval of the last nights."""

    def rule(v: Numbers) -> Numbers:
        past = v[:, -nights - 1 : -1]
        reach = t * past.std(1, ddof=1) * math.sqrt(1 + 1 / nights)
        return v[:, -1] > past.mean(1) + reach

    return rule


RULES: dict[str, Rule] = {
    "previous night, 10 % (github-action-benchmark at 110 %)": previous(0.10),
    "previous night, 7 %, both ways (torchbench)": both_ways(0.07),
    "fixed baseline, 5 % (SuperBench)": fixed(0.05),
    "7 nights, 2 sigma and 1 % (vLLM)": window_sigma(7, 2.0, 0.01),
    "two nights 5 % above 3 nights' median (test-infra)": two_windows(3, 1.05),
    "z > 5 (Conbench)": window_sigma(HISTORY, 5.0, 0.0),
    "prediction interval 99 %, 30 nights (Bencher)": prediction(30, 2.462),
}


def simulate(worlds: int, first_seed: int = 0) -> tuple[dict[str, Tally], dict[str, int]]:
    """Tallies of the judge and of each rule, and how many series of each kind had a step."""
    tallies = {name: Tally() for name in ("judge", *RULES)}
    stepped = dict.fromkeys(KINDS, 0)
    for seed in range(first_seed, first_seed + worlds):
        rng, kinds, values, steps = world(seed, 0.0)
        for night in range(HISTORY, HISTORY + NIGHTS):
            seen = values[:, : night + 1]
            tallies["judge"].false += int(judged(rng, kinds, seen, steps, tallies["judge"]).sum())
            for name, rule in RULES.items():
                tallies[name].false += int(rule(seen).sum())
        for more in range(WORLDS_WITH_STEPS):
            _find(seed + (more + 1) * 100_000, tallies, stepped)
    return tallies, stepped


def _find(seed: int, tallies: dict[str, Tally], stepped: dict[str, int]) -> None:
    """A world with steps: the night on which each rule first calls each of them."""
    rng, kinds, values, steps = world(seed, STEP)
    for kind in KINDS:
        stepped[kind] += int(((kinds == kind) & (steps > 0)).sum())
    first = {name: np.full(SERIES, math.inf) for name in tallies}
    for night in range(1, max(SEEN_BY) + 1):
        seen = values[:, : HISTORY + night]
        for name, nights in first.items():
            if name == "judge":
                called = judged(rng, kinds, seen, steps, Tally())
            else:
                called = RULES[name](seen)
            nights[called & np.isinf(nights)] = night
    for name, nights in first.items():
        for kind in KINDS:
            mine = nights[(kinds == kind) & (steps > 0)]
            tallies[name].found.setdefault(kind, []).extend(mine.tolist())


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("worlds", type=int, nargs="?", default=40)
    worlds: int = parser.parse_args().worlds
    tallies, stepped = simulate(worlds)
    seeds = f"{worlds} worlds (seeds 0 to {worlds - 1})"
    print(f"{SERIES} series, {seeds}, {PAIRS_AGAIN} pairs to confirm\n")
    nights = SERIES * NIGHTS
    print(f"| rule | false calls in {NIGHTS} nights | series measured again in a night |")
    print("|---|---|---|")
    for name, tally in tallies.items():
        false = interval(tally.false, worlds * nights, nights)
        asked = f"{tally.asked / worlds / NIGHTS:.1f}" if name == "judge" else ""
        print(f"| {name} | {false} | {asked} |")
    print(f"\nA step of {STEP:.0%}, found by night …\n")
    print("| rule | noise | steps | " + " | ".join(map(str, SEEN_BY)) + " |")
    print("|---|---|---|" + "---|" * len(SEEN_BY))
    for name, tally in tallies.items():
        for kind, nights in tally.found.items():
            shares = [interval(sum(n <= by for n in nights), len(nights)) for by in SEEN_BY]
            print(f"| {name} | {kind} | {stepped[kind]} | " + " | ".join(shares) + " |")


if __name__ == "__main__":
    main()
