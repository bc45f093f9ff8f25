"""Captured device graphs: what makes small-batch decoding fast."""

import math

import torch

from matrix.inside import assert_close, feature, randn


@feature("cuda-graphs", "Captured device graphs (torch.cuda.CUDAGraph)", needs=["accelerator"])
def test_replay(device, rng):
    """A replay reads the inputs of now and writes all of its output."""
    weight = randn(rng, 64, 64)
    there = weight.to(device)
    x, out = torch.zeros(8, 64, device=device), torch.zeros(8, 64, device=device)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            out.copy_(torch.relu(x @ there))
    torch.cuda.current_stream().wait_stream(side)
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
    "cuda-graphs-pool", "Graphs of several batch sizes in one memory pool", needs=["accelerator"]
)
def test_shared_pool(device, rng):
    """Captured from large to small as the engines do; replayed in another order."""
    pool = torch.cuda.graph_pool_handle()
    x = torch.zeros(8, 32, device=device)
    torch.sin(x).mul(2)
    torch.cuda.synchronize()
    graphs = {}
    for batch in (8, 4, 1):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            out = torch.sin(x[:batch]).mul(2)
        graphs[batch] = graph, out
    for batch in (1, 8, 4):
        values = randn(rng, 8, 32)
        x.copy_(values)
        graph, out = graphs[batch]
        out.fill_(math.nan)
        graph.replay()
        expected = values[:batch].double().sin() * 2
        assert_close(out, expected, rtol=1e-5, atol=1e-6, why="float32 elementwise")


@feature("pinned-memory", "Pinned host memory and asynchronous copies", needs=["accelerator"])
def test_pinned(device, rng):
    """A copy that does not block arrives whole."""
    values = randn(rng, 1 << 16)
    pinned = values.pin_memory()
    assert pinned.is_pinned()
    there = pinned.to(device, non_blocking=True)
    torch.cuda.synchronize()
    assert_close(there, values.double(), rtol=0, atol=0, why="a copy")
