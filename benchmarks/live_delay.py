"""The judge on a live GPU: three series with 3 % more work on one side, and with none.

    PYTHONPATH=. python benchmarks/live_delay.py [TRIALS]

A trial is a comparison as `run --compare` makes it: six pairs in turn, and twelve more of what
stands out. Both sides are timed in one warmed-up process, which leaves the spread between processes
out. The delay is a kernel that waits on the device for a share of the call; how long is found by
timing, so the ratio that comes out is shown beside the verdicts. Prints Markdown, and leaves every
sample in `live_delay.json`.
"""

import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import torch
from common import ROOT  # noqa: F401  puts the checkout on the path
from device_timer import attention, copy, gemm
from intervals import interval

from matrix.inside.gates import Gate
from matrix.inside.timer import synchronised, warm_up
from matrix.judge.comparisons import compare_cells
from matrix.judge.effects import PAIRS_AGAIN
from matrix.judge.verdicts import Judgement, suspects
from matrix.rows import AFTER, AGAIN, BEFORE, FIRST, Row

DELAY, PAIRS, TRIALS = 0.03, 6, 10
READINGS, SAMPLE_SECONDS = 6, 0.3
SERIES = {"gemm": gemm, "copy": copy, "attention": attention}
CELL = "this-gpu"
Call = Callable[[], object]


def readings(call: Call, seconds: float) -> list[float]:
    """Seconds per call of a few loops that last `seconds` together."""
    calls = max(1, int(SAMPLE_SECONDS / READINGS / seconds))
    found = []
    for _ in range(READINGS):
        begun = synchronised()
        for _ in range(calls):
            call()
        found.append((synchronised() - begun) / calls)
    return found


def delayed(call: Call, seconds: float) -> Call:
    """The call with a wait of `DELAY` of it; the clock that counts the wait is that under load."""
    cycles = int(DELAY * seconds * 1.5e9)

    def both() -> None:
        call()
        torch.cuda._sleep(cycles)  # noqa: SLF001  there is no public one

    for _ in range(3):
        plain, slower = (statistics.median(readings(c, seconds)) for c in (call, both))
        cycles = max(1, int(cycles * DELAY / max(slower / plain - 1, DELAY / 10)))
    return both


def sample(call: Call, seconds: float, side: str, number: int, phase: str, test: str) -> Row:
    """One side of a pair, as a row."""
    gate = Gate()
    gate.read()
    samples = readings(call, seconds)
    gate.read()
    return Row(
        run="live", cell=CELL, torch=torch.__version__, variant="", accelerator="cuda", python="",
        execution="host-cuda", backend="host", runner="local", device="cuda:0", suite="throughput",
        device_model=torch.cuda.get_device_name(), test=test, workload=test, metric="time",
        unit="s", better="lower", kind="steady", median=statistics.median(samples),
        samples=samples, reason=gate.disturbance(samples), round=number, phase=phase, side=side,
    )  # fmt: skip


def pairs(
    sides: dict[str, Call], seconds: float, count: int, phase: str, test: str
) -> Iterator[Row]:
    """Both sides in turn; every second pair runs the other way round."""
    for number in range(1, count + 1):
        for side in (BEFORE, AFTER) if number % 2 else (AFTER, BEFORE):
            yield sample(sides[side], seconds, side, number, phase, test)


def trial(sides: dict[str, Call], seconds: float, test: str) -> tuple[list[Row], Judgement]:
    """One comparison."""

    def judged() -> tuple[Judgement, ...]:
        return compare_cells(rows, rows, (CELL, CELL)).judgements

    rows = list(pairs(sides, seconds, PAIRS, FIRST, test))
    if suspects(judged()):
        rows += pairs(sides, seconds, PAIRS_AGAIN, AGAIN, test)
    return rows, judged()[0]


def main() -> None:
    """Run all trials; print a table."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: {trials} trials of each\n")
    print("| series | delay | regressed | otherwise | ratios |\n|---|---|---|---|---|")
    kept = []
    for (name, make), share in product(SERIES.items(), (DELAY, 0.0)):
        call = make()
        seconds = warm_up(call, 5.0, "cuda")
        sides = {BEFORE: call, AFTER: delayed(call, seconds) if share else call}
        found = [trial(sides, seconds, name) for _ in range(trials)]
        told = Counter(judgement.verdict for _, judgement in found)
        ratios = [judgement.effect.ratio for _, judgement in found if judgement.effect]
        others = ", ".join(f"{v} {n}" for v, n in told.items() if v != "regressed") or "-"
        spread = f"{min(ratios):.4f}-{max(ratios):.4f}" if ratios else "-"
        called = interval(told["regressed"], trials)
        print(f"| {name} | {share:.0%} | {called} | {others} | {spread} |", flush=True)
        kept += [
            {"series": name, "delay": share, "verdict": judgement.verdict, "why": judgement.why}
            | {"rows": [[r.phase, r.round, r.side, r.median, r.reason] for r in rows]}
            for rows, judgement in found
        ]
    Path("live_delay.json").write_text(json.dumps(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
