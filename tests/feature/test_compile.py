"""torch.compile: right numbers, as few compilations as promised, breaks where they must be."""

import pytest
import torch

from matrix.inside import Refusal, assert_close, assert_relative, feature, randn

FLOAT32 = {"rtol": 1e-5, "atol": 1e-5, "why": "float32 elementwise and a mean over a row"}


@pytest.fixture(autouse=True)
def _forget():
    """What another test compiled counts towards no limit of this one."""
    torch.compiler.reset()


def gated_norm(x, gate):
    """RMS norm, then a SiLU gate: the shape of most fused code in a decoder."""
    normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
    return normed * torch.nn.functional.silu(gate)


def check(compiled, device, rng, *shape):
    """``compiled`` computes what the float64 original of ``gated_norm`` does."""
    x, gate = randn(rng, *shape), randn(rng, *shape)
    out = compiled(x.to(device), gate.to(device))
    assert_close(out, gated_norm(x.double(), gate.double()), **FLOAT32)


@feature(
    "compile",
    "torch.compile with Inductor",
    purpose="Fuses the elementwise parts of a decoder layer into few kernels.",
    needs=["compiler"],
)
def test_compile(device, rng):
    """Compiled code computes what the float64 original does, also of the second inputs."""
    compiled = torch.compile(gated_norm, fullgraph=True)
    check(compiled, device, rng, 33, 130)
    check(compiled, device, rng, 33, 130)


def counting(backend):
    """A backend that counts the graphs it is given."""
    from torch._dynamo.testing import CompileCounterWithBackend  # noqa: PLC0415 - slow to import

    return CompileCounterWithBackend(backend)


@feature(
    "compile-dynamic",
    "torch.compile with dynamic shapes",
    purpose="Serves every batch size with one compiled graph, where recompiling stalls requests.",
    needs=["compiler"],
)
def test_dynamic(device, rng):
    """One compilation serves several batch sizes."""
    counter = counting("inductor")
    compiled = torch.compile(gated_norm, backend=counter, dynamic=True, fullgraph=True)
    for batch in (7, 19, 64):
        check(compiled, device, rng, batch, 48)
    assert counter.frame_count == 1


@feature("compile-dynamic", "torch.compile with dynamic shapes")
def test_automatic_dynamic(device, rng):
    """Left to itself, Dynamo compiles for the first size, then once for all the others."""
    counter = counting("eager")  # how many graphs there are is Dynamo's decision alone
    compiled = torch.compile(gated_norm, backend=counter, fullgraph=True)
    for batch in (7, 19, 64, 33):
        check(compiled, device, rng, batch, 48)
    assert counter.frame_count == 2


@feature(
    "compile-mark-dynamic",
    "A dimension promised to be dynamic (mark_dynamic)",
    purpose="Marks the token dimension alone, so that the others stay compile-time constants.",
)
def test_mark_dynamic(device, rng):
    """One graph for all sizes of the dimension; code that would fix its size is refused."""
    counter = counting("eager")
    compiled = torch.compile(gated_norm, backend=counter, fullgraph=True)
    for batch in (7, 19, 64):
        x, gate = randn(rng, batch, 48), randn(rng, batch, 48)
        inputs = x.to(device), gate.to(device)
        for given in inputs:
            torch._dynamo.mark_dynamic(given, 0)
        assert_close(compiled(*inputs), gated_norm(x.double(), gate.double()), **FLOAT32)
    assert counter.frame_count == 1

    marked = randn(rng, 7, 48).to(device)
    torch._dynamo.mark_dynamic(marked, 0)
    fixed = torch.compile(lambda x: x.view(7, 6, 8) * 2, backend="eager", fullgraph=True)
    with pytest.raises(Exception, match=r"(?i)constraints? violat|marked.*dynamic"):
        fixed(marked)


@feature(
    "compile-graph-breaks",
    "Graph breaks: counted, harmless, refused by fullgraph",
    purpose="Falls back to Python where a model does what cannot be traced, or says so.",
)
def test_graph_break(device, rng):
    """A branch on data splits the graph in two; both its sides are right."""

    def branching(x):
        y = x.sin()
        if y.sum() > 0:
            return y * 2
        return y - 1

    counter = counting("eager")
    compiled = torch.compile(branching, backend=counter)
    # A constant, so that the sign of the sum does not hang on rounding.
    for shift in (1.0, -1.0):
        x = shift + randn(rng, 6, 8) / 100
        assert_close(compiled(x.to(device)), branching(x.double()), **FLOAT32)
    # Up to the branch, and one for each of its sides.
    assert counter.frame_count == 3
    with pytest.raises(Exception, match=r"(?i)dynamic control flow|data-dependent|branching"):
        torch.compile(branching, backend="eager", fullgraph=True)(torch.ones(2, device=device))


@feature(
    "compile-disable",
    "A function kept out of graphs (torch.compiler.disable)",
    purpose="Keeps communication and third-party kernels out of an otherwise compiled model.",
)
def test_disable(device, rng):
    """The function runs in Python at every call, between two graphs."""
    calls = []

    @torch.compiler.disable
    def untraceable(x):
        calls.append(
            torch.compiler.is_compiling() if hasattr(torch.compiler, "is_compiling") else 0
        )
        return x * 3

    def model(x):
        return untraceable(x.sin()).cos()

    counter = counting("eager")
    compiled = torch.compile(model, backend=counter)
    for _ in range(3):
        x = randn(rng, 9, 5)
        expected = (x.double().sin() * 3).cos()
        assert_close(compiled(x.to(device)), expected, **FLOAT32)
    assert calls == [False] * 3
    assert counter.frame_count == 2


@feature(
    "compile-mutation",
    "Compiled writes into a caller's buffer",
    purpose="Appends keys and values to the paged cache inside the compiled step.",
    needs=["compiler"],
)
def test_cache_update(device, rng):
    """The named slots hold the new keys, every other slot what it held."""

    def append(cache, slots, keys):
        cache[slots] = torch.nn.functional.normalize(keys, dim=-1)
        return cache.sum(-1)

    compiled = torch.compile(append, fullgraph=True)
    held, slots, keys = randn(rng, 24, 16), torch.randperm(24, generator=rng)[:5], randn(rng, 5, 16)
    cache = held.to(device)
    where = cache.data_ptr()
    sums = compiled(cache, slots.to(device), keys.to(device))
    expected = held.double()
    expected[slots] = torch.nn.functional.normalize(keys.double(), dim=-1)
    assert cache.data_ptr() == where
    assert_close(cache, expected, **FLOAT32)
    assert_close(sums, expected.sum(-1), **FLOAT32)
    untouched = torch.ones(24, dtype=torch.bool).index_fill(0, slots, False)
    assert_close(cache.cpu()[untouched], held[untouched], rtol=0, atol=0, why="not written to")


@feature(
    "compile-autocast",
    "torch.compile under autocast to bfloat16",
    purpose="Runs float32 checkpoints in bfloat16 without converting the model.",
    needs=["compiler"],
)
def test_autocast(device, rng):
    """The product is in bfloat16, and as near as bfloat16 can be."""

    def layer(x, weight, gain):
        # A mean keeps float32 under autocast; the product does not.
        return (torch.relu(x @ weight) * gain), x.pow(2).sum(-1)

    compiled = torch.compile(layer, fullgraph=True)
    x, weight, gain = randn(rng, 24, 64), randn(rng, 64, 32), randn(rng, 32)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        out, squares = compiled(x.to(device), weight.to(device), gain.to(device).bfloat16())
    assert out.dtype is torch.bfloat16
    expected = torch.relu(x.double() @ weight.double()) * gain.double()
    assert_relative(out, expected, limit=0.02, why="factors and result rounded to bfloat16")
    assert squares.dtype is torch.float32
    assert_close(squares, x.double().pow(2).sum(-1), rtol=1e-5, atol=1e-5, why="float32 sum of 64")


@feature(
    "compile-max-autotune",
    "torch.compile, max-autotune without graphs",
    purpose="Chooses the fastest of several kernels for each product; SGLang's default mode.",
    needs=["compiler"],
)
def test_max_autotune(device, rng):
    """Whichever kernel wins, the numbers are right."""

    def layer(x, weight):
        return torch.relu(x @ weight) + 1

    compiled = torch.compile(layer, mode="max-autotune-no-cudagraphs", fullgraph=True)
    x, weight = (randn(rng, 64, 64, dtype=torch.bfloat16) for _ in range(2))
    expected = torch.relu(x.double() @ weight.double()) + 1
    out = compiled(x.to(device), weight.to(device))
    assert_relative(out, expected, limit=0.01, why="the result is rounded to bfloat16")


NO_REGION = Refusal(
    "AttributeError",
    r"module 'torch\.compiler' has no attribute 'nested_compile_region'",
    "https://pytorch.org/docs/stable/torch.compiler_api.html: new in 2.8",
)


@feature(
    "compile-nested-region",
    "A repeated layer compiled once (nested_compile_region)",
    purpose="Compiles one of a model's identical layers and reuses its code for all of them.",
    needs=["compiler"],
    refusals=[NO_REGION],
)
def test_nested_region(device, rng):
    """Three layers are three calls of one subgraph."""
    from torch._inductor.compile_fx import compile_fx  # noqa: PLC0415 - slow

    @torch.compiler.nested_compile_region
    def layer(x, weight):
        return x + torch.tanh(x @ weight)

    def stack(x, weights):
        for weight in weights:
            x = layer(x, weight)
        return x

    called = []

    def backend(graph, example_inputs):
        nodes = [node for node in graph.graph.nodes if "invoke_subgraph" in str(node.target)]
        called.extend(getattr(graph, node.args[0].target) for node in nodes)
        return compile_fx(graph, example_inputs)

    x, weights = randn(rng, 8, 16), [randn(rng, 16, 16) / 4 for _ in range(3)]
    compiled = torch.compile(stack, backend=backend, fullgraph=True)
    with torch.no_grad():
        out = compiled(x.to(device), [weight.to(device) for weight in weights])
    expected = x.double()
    for weight in weights:
        expected = expected + torch.tanh(expected @ weight.double())
    # TF32 is off unless asked for, so the products are float32 everywhere.
    assert_close(out, expected, rtol=1e-4, atol=1e-4, why="float32, three sums over 16 terms")
    assert len(called) == 3
    assert len({id(subgraph) for subgraph in called}) == 1
