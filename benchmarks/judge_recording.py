"""The judge on real noise: 24 recorded rounds of one cell on an H200, split again and again.

    python benchmarks/judge_recording.py [SPLITS]

`recordings/` holds three comparisons of a cell with itself, four pairs of rounds each, eight series
(torch 2.11.0+cu130, driver 580.159.04, one lease). Which rounds were disturbed is found anew in
their samples: the rule was another one when they were recorded. *Resampled*: the twelve pairs are
dealt to the two passes at random, six each, and the rounds of each pair to the two sides; every
call is false then. *Injected*: the same, with the second side of one series made 3 % slower; what
is not called `regressed` is missed. A confirming pass of the product has twelve pairs instead of
six.
"""

import random
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.intervals import interval  # noqa: E402
from matrix.inside.gates import drift  # noqa: E402
from matrix.judge.comparisons import compare_cells  # noqa: E402
from matrix.rowfiles import read_rows  # noqa: E402
from matrix.rows import AFTER, AGAIN, BEFORE, FIRST, Row  # noqa: E402

RECORDINGS = Path(__file__).parent / "recordings"
CALLS = ("regressed", "improved")
DELAY = 0.03


def recorded() -> list[list[Row]]:
    """The rows of each pair of rounds, in the order in which they ran."""
    pairs: dict[tuple[str, int], list[Row]] = {}
    for path in sorted(RECORDINGS.glob("*/rows.parquet")):
        for row in read_rows(path):
            if row.metric == "time":
                judged = replace(row, reason=drift(row.samples))
                pairs.setdefault((row.run, row.round), []).append(judged)
    return list(pairs.values())


def usable(pairs: Iterable[list[Row]]) -> list[str]:
    """Tests of which no round was disturbed."""
    rows = [row for pair in pairs for row in pair]
    return sorted({row.test for row in rows} - {row.test for row in rows if row.reason})


def split(pairs: list[list[Row]], rng: random.Random, slower: str = "") -> list[Row]:
    """One comparison of the recorded rounds; `slower` is a test to delay on the second side."""
    order = rng.sample(pairs, len(pairs))
    half = len(order) // 2
    rows = []
    for place, pair in enumerate(order):
        phase, number = (FIRST, place + 1) if place < half else (AGAIN, place - half + 1)
        swapped = rng.random() < 0.5  # noqa: PLR2004
        for row in pair:
            side = row.side if not swapped else (BEFORE if row.side == AFTER else AFTER)
            late = DELAY if row.test == slower and side == AFTER else 0.0
            median = None if row.median is None else row.median * (1 + late)
            about = {"run": "recorded", "round": number, "phase": phase, "side": side}
            rows.append(replace(row, median=median, **about))
    return rows


def verdicts(rows: list[Row]) -> dict[str, str]:
    """What the judge calls each test of a comparison."""
    cell = rows[0].cell
    judged = compare_cells(rows, rows, (cell, cell)).judgements
    return {judgement.contrast.key.test: judgement.verdict for judgement in judged}


def resampled(splits: int) -> tuple[Counter[str], int]:
    """How often each verdict was given where nothing differs, and of how many."""
    pairs, rng = recorded(), random.Random(1)  # noqa: S311  not for secrets
    told = Counter(v for _ in range(splits) for v in verdicts(split(pairs, rng)).values())
    return told, sum(told.values())


def injected(splits: int) -> dict[str, Counter[str]]:
    """The verdicts on each undisturbed series while it is slower on one side."""
    pairs, rng = recorded(), random.Random(2)  # noqa: S311  not for secrets
    return {
        test: Counter(verdicts(split(pairs, rng, test))[test] for _ in range(splits))
        for test in usable(pairs)
    }


def main() -> None:
    """Print both as Markdown."""
    splits = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    told, count = resampled(splits)
    false = sum(told[call] for call in CALLS)
    print(f"{splits} splits of {len(recorded())} pairs, resampled: {false} false calls of {count} "
          f"series, {interval(false, count)}; {dict(told)}")  # fmt: skip
    print(f"\n| series, {DELAY:.0%} slower on one side | called regressed | otherwise |")
    print("|---|---|---|")
    for test, found in injected(splits).items():
        others = ", ".join(f"{name} {n}" for name, n in found.items() if name != "regressed")
        print(f"| {test} | {interval(found['regressed'], splits)} | {others} |")


if __name__ == "__main__":
    main()
