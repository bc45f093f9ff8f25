"""Timing a callable with the device synchronised, on top of pytest-benchmark."""

from __future__ import annotations

import math
import statistics
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, TypeVar

import pytest

from matrix.inside.gates import Gate, Settling
from matrix.inside.neighbours import disturbance, usage

ROUNDS = 30
FEWEST_ROUNDS = 5
ROUND_SECONDS = 0.002
WARM_SECONDS = {"cpu": 0.6, "cuda": 2.0}
MEASURE_SECONDS = {"cpu": 1.5, "cuda": 0.6}
CAPPED_SECONDS = 1.2  # under a power cap the clock swings for longer than that
WINDOW_SECONDS = {"cpu": 0.005, "cuda": 0.1}
STEADY = {"cpu": 0.02, "cuda": 0.005}

STEADY_STATE, ONCE, SIZE = "steady", "once", "size"

Result = TypeVar("Result")


def synchronised() -> float:
    """Seconds of a monotonic clock, read once the device has nothing left to do."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


class Timer:
    """:func:`synchronised` for pytest-benchmark, with a reading of the gate before each round."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._running = False

    def __call__(self) -> float:
        """Seconds; called in turn at the beginning and at the end of a round."""
        if not self._running:
            self._gate.read()
        self._running = not self._running
        return synchronised()


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
        calls: int = 1,
        metric: str = "time",
        params: Mapping[str, Any] | None = None,
    ) -> List[float]:
        """Time ``call`` in its steady state; seconds per call, one sample per round.

        ``work`` is what one call does, in one unit: ``flop``, ``bytes`` or ``tokens``. Where
        ``call`` does the same several times, such as a graph of ``calls`` calls, time and work are
        those of one. Each round repeats ``call`` often enough to outlast the clock's and the
        launch queue's noise. Without ``rounds`` there are as many as fit into about
        ``MEASURE_SECONDS``, at least 5.
        """
        kind = "cuda" if _uses_device() else "cpu"
        seconds = warm_up(call, WARM_SECONDS[kind], kind)
        gate = Gate()
        whole = CAPPED_SECONDS if gate.capped() else MEASURE_SECONDS[kind]
        lasting = whole / ROUNDS if kind == "cuda" else ROUND_SECONDS
        iterations = max(1, math.ceil(lasting / seconds))
        fitting = int(whole / (seconds * iterations))
        chosen = rounds or max(FEWEST_ROUNDS, min(ROUNDS, fitting))
        self._request.node.add_marker(pytest.mark.benchmark(timer=Timer(gate)))
        benchmark = self._request.getfixturevalue("benchmark")
        before = usage()
        benchmark.pedantic(call, rounds=chosen, iterations=iterations)
        gate.read()
        after = usage()
        if benchmark.stats is None:
            raise pytest.UsageError("pytest-benchmark is disabled: nothing was measured")
        samples = [float(sample) / calls for sample in benchmark.stats.stats.data]
        unstable = disturbance(before, after) if kind == "cpu" else gate.disturbance(samples)
        self.record(
            metric, samples, unit="s", better="lower", work=work, params=params, unstable=unstable,
            kind=STEADY_STATE,
        )  # fmt: skip
        # beside the parameters: neither how often a round repeats the call nor what the device did
        # meanwhile is what is measured
        self.metrics[-1].update(iterations=iterations * calls, **gate.summary())
        return samples

    def once(self, call: Callable[[], Result], *, metric: str) -> Result:
        """Time a single ``call``, such as the first one of a compiled function."""
        begun = synchronised()
        result = call()
        self.record(metric, [synchronised() - begun], unit="s", better="lower", kind=ONCE)
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
        kind: str = SIZE,
    ) -> None:
        """Add a metric that was measured in another way; ``better`` is `higher` or `lower`.

        ``unstable`` says why the samples are no number to act on; ``kind`` is ``STEADY_STATE``,
        ``ONCE`` (such as a first call) or ``SIZE``.
        """
        self.metrics.append(
            {
                "metric": metric,
                "unit": unit,
                "better": better,
                "kind": kind,
                "samples": samples,
                "reason": unstable,
                "work": dict(work or {}),
                "params": dict(params or {}),
            }
        )


def warm_up(call: Callable[[], Any], limit: float, kind: str = "cpu") -> float:
    """Repeat ``call`` until its time is steady or ``limit`` seconds have passed.

    Steady means that the medians of three neighbouring windows agree within ``STEADY``, and that
    the power of a GPU has settled. Returns seconds per call in the last window, each reading
    synchronised as a whole.
    """
    call()
    begun = synchronised()
    call()
    once = max(synchronised() - begun, 1e-7)
    per_reading = max(1, math.ceil(WINDOW_SECONDS[kind] / 5 / once))
    end = begun + limit
    medians: List[float] = []
    settling = Settling()
    while True:
        readings = []
        for _ in range(5):
            start = synchronised()
            for _ in range(per_reading):
                call()
            readings.append((synchronised() - start) / per_reading)
            if start > end:
                break
        medians.append(statistics.median(readings))
        last = medians[-3:]
        settled = settling.over()
        steady = len(last) == 3 and max(last) - min(last) <= STEADY[kind] * last[-1]  # noqa: PLR2004
        if (steady and settled) or synchronised() > end:
            return max(last[-1], 1e-9)


def _uses_device() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
