"""torch.compile with captured graphs: mode reduce-overhead and its cudagraph trees."""

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, randn

FLOAT32 = {"rtol": 1e-5, "atol": 1e-5, "why": "float32 elementwise"}


@pytest.fixture(autouse=True)
def _forget():
    """Captured graphs of other tests, and their counts, are gone."""
    from torch._dynamo.utils import counters  # noqa: PLC0415 - slow to import

    torch.compiler.reset()
    counters.clear()


NO_STEPS = Refusal(
    "AttributeError",
    r"^module 'torch\.compiler' has no attribute 'cudagraph_mark_step_begin'$",
    "torch/compiler/__init__.py: new in 2.2",
)


def step(x, scale):
    """Elementwise work in two kernels' worth of code."""
    return torch.nn.functional.gelu(x * scale).cos() + 1


def captured(device):
    """How many graphs the trees of a device have recorded."""
    from torch._inductor import cudagraph_trees  # noqa: PLC0415 - slow to import

    index = torch.cuda.current_device() if device.index is None else device.index
    manager = cudagraph_trees.get_manager(index, create_if_none_exists=False)
    return 0 if manager is None else manager.new_graph_id().id


def skipped():
    """How often Inductor decided against capturing."""
    from torch._dynamo.utils import counters  # noqa: PLC0415 - slow to import

    return counters["inductor"]["cudagraph_skips"]


@feature(
    "compile-reduce-overhead",
    "torch.compile, mode reduce-overhead",
    purpose="Removes launch overhead from small decode batches without capturing by hand.",
    needs=["compiler"],
    refusals=[NO_STEPS],
)
def test_reduce_overhead(device, rng):
    """Warm-up, capture and replay give the numbers of their own inputs."""
    compiled = torch.compile(step, mode="reduce-overhead", fullgraph=True)
    scale = randn(rng, 12)
    there = scale.to(device)
    for _ in range(4):
        x = randn(rng, 5, 12)
        torch.compiler.cudagraph_mark_step_begin()
        assert_close(compiled(x.to(device), there), step(x.double(), scale.double()), **FLOAT32)


@feature(
    "cudagraph-trees",
    "Cudagraph trees over two shapes",
    purpose="Keeps one captured graph for each batch size in a shared memory pool.",
    needs=["accelerator", "compiler"],
    refusals=[NO_STEPS],
)
def test_trees(device, rng):
    """Both shapes are captured, and replayed in any order on the inputs of now."""
    compiled = torch.compile(step, mode="reduce-overhead", fullgraph=True, dynamic=False)
    scale = randn(rng, 12)
    there = scale.to(device)
    for rows in (8, 8, 8, 3, 3, 3, 8, 3, 8):
        x = randn(rng, rows, 12)
        torch.compiler.cudagraph_mark_step_begin()
        out = compiled(x.to(device), there)
        assert_close(out, step(x.double(), scale.double()), **FLOAT32)
    assert skipped() == 0
    assert captured(device) >= 2


@feature(
    "cudagraph-mutation",
    "Cudagraph trees that write into a static buffer",
    purpose="Updates the key-value cache from inside an automatically captured decode step.",
    needs=["accelerator", "compiler"],
    refusals=[
        NO_STEPS,
        Refusal(
            "NotImplementedError",
            r"^this torch does not capture code that changes its inputs",
            "torch/_inductor/config.py: triton.cudagraph_support_input_mutation",
        ),
    ],
)
def test_mutation(device, rng):
    """Every replay writes its own keys into its own slots, and nothing else."""

    def append(cache, slots, keys):
        cache.index_copy_(0, slots, keys * 2)
        return cache.sum(-1)

    compiled = torch.compile(append, mode="reduce-overhead", fullgraph=True)
    expected = randn(rng, 24, 16).double()
    cache = expected.float().to(device)
    torch._dynamo.mark_static_address(cache)
    for _ in range(5):
        slots, keys = torch.randperm(24, generator=rng)[:4], randn(rng, 4, 16)
        torch.compiler.cudagraph_mark_step_begin()
        sums = compiled(cache, slots.to(device), keys.to(device))
        expected[slots] = keys.double() * 2
        assert_close(sums, expected.sum(-1), **FLOAT32)
        assert_close(cache, expected, rtol=1e-6, atol=1e-6, why="float32 copies")
    if skipped():
        raise NotImplementedError("this torch does not capture code that changes its inputs")
    assert captured(device) >= 1
