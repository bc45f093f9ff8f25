"""The device timer beside others in one warmed-up window: triton's do_bench, a saturated loop.

On a machine with a GPU, with an interpreter that has torch, triton, pytest and pytest-benchmark:

    PYTHONPATH=. python benchmarks/device_timer.py

Prints a table of ratios, other / ours: the median over pairs whose order changes, with their range.
"""

import statistics
import sys
from collections import defaultdict

import pytest
import torch

from matrix.inside.capture import Captured

PAIRS = 5
SATURATE_SECONDS = 3.0
LOOP_SECONDS = 0.6
SIZE, MEGABYTES, PROMPT = 8192, 4096, (1, 32, 8192, 128)
CALLS = 50  # of the small kernel in one graph
WARM_MS, MEASURE_MS = 100, 600  # of do_bench


def gemm():
    """A square product in bfloat16."""
    a, b = (torch.randn(SIZE, SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def copy():
    """A copy much larger than the caches."""
    source = torch.randn(MEGABYTES << 18, device="cuda")
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def attention():
    """Causal attention over a prompt."""
    q, k, v = (torch.randn(*PROMPT, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    return lambda: sdpa(q, k, v, is_causal=True)


def rmsnorm():
    """A small kernel: 64 x 4096."""
    x = torch.randn(64, 4096, device="cuda", dtype=torch.bfloat16)
    weight = torch.ones(4096, device="cuda", dtype=torch.bfloat16)
    return lambda: torch.nn.functional.rms_norm(x, (4096,), weight)


def loop(call, seconds=LOOP_SECONDS):
    """Seconds per call of a loop that never waits, by events of the device."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def timed(calls):
        begin.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000 / calls

    return timed(max(10, int(seconds / timed(3))))


def do_bench(call):
    """Triton's timer: events around each call, the cache emptied in between."""
    from triton.testing import do_bench  # noqa: PLC0415  not every torch has triton

    times = do_bench(call, warmup=WARM_MS, rep=MEASURE_MS, return_mode="median")
    return times / 1000


def do_bench_graph(call):
    """Triton's timer of graph replays."""
    from triton.testing import do_bench_cudagraph  # noqa: PLC0415  not every torch has triton

    with torch.cuda.stream(torch.cuda.Stream()):
        return do_bench_cudagraph(call, rep=200, return_mode="median") / 1000


CASES = {
    "gemm, do_bench": (gemm, do_bench),
    "gemm, saturated loop": (gemm, loop),
    "copy, do_bench": (copy, do_bench),
    "attention, do_bench": (attention, do_bench),
    "rmsnorm, do_bench_cudagraph": (rmsnorm, do_bench_graph),
}
FOUND = defaultdict(list)


@pytest.fixture(scope="module", autouse=True)
def saturated():
    """Products until the power cap holds the clock, as in the middle of a suite."""
    loop(gemm(), SATURATE_SECONDS)


@pytest.mark.parametrize("pair", range(PAIRS))
@pytest.mark.parametrize("case", CASES)
def test_pair(measure, case, pair):
    """Ours and the other on the same data, one after the other."""
    make, other = CASES[case]
    call = make()
    graph = Captured(call, CALLS) if make is rmsnorm else None

    def ours():
        samples = measure(graph, calls=CALLS) if graph else measure(call)
        return statistics.median(samples)

    order = [ours, lambda: other(call)]
    values = [timer() for timer in (order if pair % 2 else order[::-1])]
    FOUND[case].append(tuple(values if pair % 2 else values[::-1]))
    assert not measure.metrics[-1]["reason"], measure.metrics[-1]["reason"]


def table():
    """The cases as Markdown."""
    lines = ["| case | ours, us | other, us | other / ours (min-max) |", "|---|---|---|---|"]
    for case, found in FOUND.items():
        ratios = [other / ours for ours, other in found]
        ours, others = (statistics.median(side) * 1e6 for side in zip(*found, strict=True))
        spread = f"{min(ratios):.3f}-{max(ratios):.3f}"
        middle = statistics.median(ratios)
        lines.append(f"| {case} | {ours:.2f} | {others:.2f} | {middle:.3f} ({spread}) |")
    return "\n".join(lines)


class Table:
    """Prints the table after everything else."""

    def pytest_terminal_summary(self, terminalreporter):
        """Write what the tests of this module found."""
        terminalreporter.write_line(sys.modules["device_timer"].table())


if __name__ == "__main__":
    options = ["-q", "-c", "/dev/null", "--rootdir", ".", "-p", "matrix.inside.plugin",
               "-p", "no:cacheprovider", "--benchmark-columns=median"]  # fmt: skip
    sys.exit(pytest.main([__file__, *options], plugins=[Table()]))
