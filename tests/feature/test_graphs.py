"""Captured device graphs: what makes small-batch decoding fast."""

import gc
import math
import re

import torch
from processes import run_child

from matrix.inside import Refusal, assert_close, assert_relative, feature, randn

BATCHES = (768, 256, 64, 8, 4, 2, 1)  # largest first, as the engines capture them
WIDTH = 2048  # an activation of 3 MiB: more than the smallest pieces that the allocator asks for


def warmed(call):
    """Run ``call`` on a side stream, so that capturing it meets no first use of a library."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)


@feature(
    "cuda-graphs",
    "Captured device graphs (torch.cuda.CUDAGraph)",
    purpose="Every decode step of an engine is a replay; without it launching costs more.",
    needs=["accelerator"],
)
def test_replay(device, rng):
    """A replay reads the inputs of now and writes all of its output."""
    weight = randn(rng, 64, 64)
    there = weight.to(device)
    x, out = torch.zeros(8, 64, device=device), torch.zeros(8, 64, device=device)
    warmed(lambda: out.copy_(torch.relu(x @ there)))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out.copy_(torch.relu(x @ there))
    for _ in range(3):
        values = randn(rng, 8, 64)
        x.copy_(values)
        out.fill_(math.nan)
        graph.replay()
        expected = torch.relu(values.double() @ weight.double())
        assert_close(out, expected, rtol=1e-4, atol=1e-4, why="float32, sums over 64 terms")


@feature(
    "cuda-graphs-pool",
    "Graphs of batch sizes 1 to 768 in one memory pool",
    purpose="One graph per batch size: only a shared pool keeps their memory that of the largest.",
    needs=["accelerator"],
)
def test_shared_pool(device, rng, measure):
    """Captured from large to small, replayed in another order; memory as of one graph."""
    weight = randn(rng, WIDTH, WIDTH, dtype=torch.bfloat16)
    there = weight.to(device)
    x = torch.zeros(768, WIDTH, device=device, dtype=torch.bfloat16)
    warmed(lambda: [layers(x[:batch], there) for batch in BATCHES])
    gc.collect()  # what is freed meanwhile would count against the graphs
    pool, graphs, grown = torch.cuda.graph_pool_handle(), {}, []
    for batch in BATCHES:
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            out = layers(x[:batch], there)
        grown.append(max(0, torch.cuda.memory_reserved() - before))
        graphs[batch] = graph, out
    assert grown[0] > 0
    assert sum(grown) < 2 * grown[0], grown
    measure.record("graph-memory", [sum(grown) / len(BATCHES)], unit="B", better="lower")
    for batch in (4, 768, 1, 256, 2, 64, 8):
        values = randn(rng, 768, WIDTH, dtype=torch.bfloat16)
        x.copy_(values)
        graph, out = graphs[batch]
        out.fill_(math.nan)
        graph.replay()
        expected = layers(values[:batch].double(), weight.double())
        assert_relative(out, expected, limit=2e-2, why="two bfloat16 products")


def layers(x, weight):
    """Two products with room between them that a later graph may use again."""
    return torch.relu(x @ weight) @ weight / 16


@feature(
    "cuda-graphs-rng",
    "Random numbers inside a device graph",
    purpose="Sampling in a graph: a replay that repeats its numbers repeats its tokens.",
    needs=["accelerator"],
)
def test_random(device, rng):
    """Fresh in each replay, and the same again from the same seed."""
    out = torch.zeros(10000, device=device)
    warmed(out.uniform_)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out.uniform_()

    def three(seed):
        torch.cuda.manual_seed(seed)
        replays = []
        for _ in range(3):
            out.fill_(math.nan)
            graph.replay()
            replays.append(out.clone())
        return replays

    seed = int(torch.randint(2**31, (), generator=rng))
    first, again, other = three(seed), three(seed), three(seed + 1)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])
    values = torch.stack(first)
    assert ((values >= 0) & (values < 1)).all()
    half = torch.full((), 0.5, dtype=torch.float64)
    assert_close(values.mean(), half, rtol=0, atol=0.02, why="12 deviations of 30000 numbers")


@feature(
    "cuda-graphs-gemm",
    "Matrix products of cuBLAS or hipBLAS inside a device graph",
    purpose="Their workspace must belong to the graph, or another product overwrites it.",
    needs=["accelerator"],
)
def test_gemm(device, rng):
    """The graph stays right while the same library works outside it."""
    a, b = randn(rng, 48, 4096, dtype=torch.bfloat16), randn(rng, 4096, 64, dtype=torch.bfloat16)
    x, there = torch.zeros_like(a, device=device), b.to(device)
    warmed(lambda: x @ there)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = x @ there
    other = torch.zeros(256, 4096, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        values = randn(rng, 48, 4096, dtype=torch.bfloat16)
        x.copy_(values)
        out.fill_(math.nan)
        graph.replay()
        torch.mm(other, there)
        expected = values.double() @ b.double()
        assert_relative(out, expected, limit=1e-2, why="bfloat16, sums over 4096 terms")


@feature(
    "cuda-graphs-keep",
    "Graphs that can be looked at before they are instantiated (keep_graph)",
    purpose="Finding graphs that are alike and sharing one executable among them.",
    needs=["accelerator"],
    refusals=[
        Refusal(
            "TypeError",
            r"unexpected keyword argument 'keep_graph'|__new__\(\): incompatible .* arguments",
            "https://github.com/pytorch/pytorch/pull/155164: access to the graph before it is run",
        )
    ],
)
def test_keep_graph(device, rng):
    """Captured, instantiated by hand, replayed."""
    x, out = torch.zeros(1000, device=device), torch.zeros(1000, device=device)
    warmed(lambda: torch.mul(x, 3, out=out))
    graph = torch.cuda.CUDAGraph(keep_graph=True)
    with torch.cuda.graph(graph):
        torch.mul(x, 3, out=out)
    assert graph.raw_cuda_graph()
    graph.instantiate()
    values = randn(rng, 1000)
    x.copy_(values)
    out.fill_(math.nan)
    graph.replay()
    assert_close(out, values.double() * 3, rtol=1e-6, atol=0, why="float32 elementwise")


@feature(
    "cuda-graphs-thread-local",
    "Capturing while another thread uses the device (capture_error_mode)",
    purpose="A loader or a transfer thread goes on while the engine captures.",
    needs=["accelerator"],
)
def test_thread_local(device, rng):
    """What would end a capture if the capturing thread did it is none of its business here."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - for this test alone

    x, out = torch.zeros(1000, device=device), torch.zeros(1000, device=device)
    warmed(lambda: torch.mul(x, 3, out=out))
    values, graph = randn(rng, 1000), torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()

    def elsewhere():
        with torch.cuda.stream(side):
            copied = (values.to(device) + 1).cpu()
        side.synchronize()
        return copied

    with ThreadPoolExecutor(1) as threads:
        threads.submit(elsewhere).result(timeout=60)
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            torch.mul(x, 3, out=out)
            copied = threads.submit(elsewhere).result(timeout=60)
    assert_close(copied, values.double() + 1, rtol=1e-6, atol=1e-6, why="float32 elementwise")
    x.copy_(values)
    out.fill_(math.nan)
    graph.replay()
    assert_close(out, values.double() * 3, rtol=1e-6, atol=0, why="float32 elementwise")


@feature(
    "cuda-graphs-illegal",
    "A forbidden call while capturing raises and does no harm",
    purpose="An engine falls back to eager mode when a model cannot be captured.",
    needs=["accelerator"],
    refusals=[
        Refusal(
            "RuntimeError",
            r"^after the failed capture: Offset increment outside graph capture",
            "https://github.com/ace-step/ACE-Step-1.5/issues/587: the generator still thinks that"
            " it is captured",
        )
    ],
)
def test_illegal():
    """Waiting for a value cannot be captured; afterwards the device computes and captures."""
    found = run_child("illegal_capture")
    assert re.search(r"captur|CUDA error|HIP error", found["raised"]), found["raised"]
    expected = torch.arange(1000, dtype=torch.float64) * 3
    for how in ("eager", "replayed"):
        assert_close(torch.tensor(found[how]), expected, rtol=0, atol=0, why="whole numbers")
    if found["unrandom"]:
        raise RuntimeError(f"after the failed capture: {found['unrandom']}")
    assert all(0.3 < mean < 0.7 for mean in found["random"])
    assert found["random"][0] != found["random"][1]
