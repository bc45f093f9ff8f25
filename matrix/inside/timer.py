"""Timing a callable with the device synchronised, on top of pytest-benchmark."""

from __future__ import annotations

import math
import statistics
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, TypeVar

import pytest

from matrix.inside.neighbours import disturbance, usage

ROUNDS = 30
FEWEST_ROUNDS = 5
ROUND_SECONDS = {"cpu": 0.002, "cuda": 0.010}
WARM_SECONDS = {"cpu": 0.6, "cuda": 3.0}
MEASURE_SECONDS = 1.5
STEADY = 0.02

Result = TypeVar("Result")


def synchronised() -> float:
    """Seconds of a monotonic clock, read once the device has nothing left to do."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


class Measure:
    """The ``measure`` fixture: call it with what is to be timed, once the numbers are checked.

    The metrics reach the event file only if the test passes.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self.metrics: List[Dict[str, Any]] = []

    def __call__(
        self,
        call: Callable[[], Any],
        *,
        work: Mapping[str, float] | None = None,
        rounds: int | None = None,
        metric: str = "time",
        params: Mapping[str, Any] | None = None,
    ) -> List[float]:
        """Time ``call`` in its steady state; seconds per call, one sample per round.

        ``work`` is what one call does, in one unit: ``flop``, ``bytes`` or ``tokens``. Each round
        repeats ``call`` often enough to outlast the clock's and the launch queue's noise. Without
        ``rounds`` there are as many as fit into about ``MEASURE_SECONDS``, at least 5.
        """
        kind = "cuda" if _uses_device() else "cpu"
        seconds = warm_up(call, WARM_SECONDS[kind])
        iterations = max(1, math.ceil(ROUND_SECONDS[kind] / seconds))
        fitting = int(MEASURE_SECONDS / (seconds * iterations))
        chosen = rounds or max(FEWEST_ROUNDS, min(ROUNDS, fitting))
        self._request.node.add_marker(pytest.mark.benchmark(timer=synchronised))
        benchmark = self._request.getfixturevalue("benchmark")
        before = usage()
        benchmark.pedantic(call, rounds=chosen, iterations=iterations)
        unstable = disturbance(before, usage()) if kind == "cpu" else ""
        if benchmark.stats is None:
            raise pytest.UsageError("pytest-benchmark is disabled: nothing was measured")
        samples = [float(sample) for sample in benchmark.stats.stats.data]
        self.record(
            metric, samples, unit="s", better="lower", work=work, params=params, unstable=unstable
        )
        # beside the parameters: how often a round repeats the call is not what is measured
        self.metrics[-1]["iterations"] = iterations
        return samples

    def once(self, call: Callable[[], Result], *, metric: str) -> Result:
        """Time a single ``call``, such as the first one of a compiled function."""
        begun = synchronised()
        result = call()
        self.record(metric, [synchronised() - begun], unit="s", better="lower")
        return result

    def record(
        self,
        metric: str,
        samples: List[float],
        *,
        unit: str,
        better: str,
        work: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        unstable: str = "",
    ) -> None:
        """Add a metric that was measured in another way; ``better`` is `higher` or `lower`.

        ``unstable`` says why the samples are no number to act on.
        """
        self.metrics.append(
            {
                "metric": metric,
                "unit": unit,
                "better": better,
                "samples": samples,
                "reason": unstable,
                "work": dict(work or {}),
                "params": dict(params or {}),
            }
        )


def warm_up(call: Callable[[], Any], limit: float) -> float:
    """Repeat ``call`` until its time is steady or ``limit`` seconds have passed.

    Steady means that the medians of two neighbouring windows agree within 2 %. Returns seconds per
    call in the last window, each window synchronised as a whole.
    """
    call()
    begun = synchronised()
    call()
    once = max(synchronised() - begun, 1e-7)
    per_reading = max(1, math.ceil(0.001 / once))
    end = begun + limit
    before = math.inf
    while True:
        readings = []
        for _ in range(5):
            start = synchronised()
            for _ in range(per_reading):
                call()
            readings.append((synchronised() - start) / per_reading)
            if start > end:
                break
        now = statistics.median(readings)
        if abs(now - before) <= STEADY * now or synchronised() > end:
            return max(now, 1e-9)
        before = now


def _uses_device() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
