"""Operators of one's own: how engines bring their kernels under torch.compile."""

from typing import Optional

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, poisoned, randn

FLOAT32 = {"rtol": 1e-5, "atol": 1e-5, "why": "float32 elementwise"}
NO_CUSTOM_OP = Refusal(
    "AttributeError",
    r"module 'torch\.library' has no attribute 'custom_op'",
    "https://pytorch.org/docs/stable/library.html: new in 2.4",
)


def inductor_that_sees(name, seen):
    """The Inductor backend, which notes the graph's nodes that call ``name``."""
    from torch._inductor.compile_fx import compile_fx  # noqa: PLC0415 - slow

    def backend(graph, example_inputs):
        seen.extend(node for node in graph.graph.nodes if name in str(node.target))
        return compile_fx(graph, example_inputs)

    return backend


def define_operator():
    """Register an operator with Python inside and a fake for tracing."""

    @torch.library.custom_op("matrix_feature::squared_plus", mutates_args=())
    def squared_plus(x: torch.Tensor, shift: float) -> torch.Tensor:
        return x * x + shift

    @squared_plus.register_fake
    def _(x, _shift):
        return torch.empty_like(x)

    return squared_plus


@feature(
    "custom-op",
    "Custom operators under torch.compile (torch.library.custom_op)",
    purpose="Calls hand-written attention and quantisation kernels from a compiled model.",
    needs=["compiler"],
    refusals=[NO_CUSTOM_OP],
)
def test_custom_op(device, rng):
    """The operator stays one node of a full graph, and its numbers arrive."""
    operator = define_operator()
    seen = []
    backend = inductor_that_sees("squared_plus", seen)
    compiled = torch.compile(lambda x: operator(x.sin(), 0.5) * 2, backend=backend, fullgraph=True)
    x = randn(rng, 40, 8)
    expected = (x.double().sin() ** 2 + 0.5) * 2
    assert_close(compiled(x.to(device)), expected, **FLOAT32)
    assert len(seen) == 1


def define_writer():
    """Register an operator that writes into its first argument and returns nothing."""

    @torch.library.custom_op("matrix_feature::write_scaled", mutates_args={"out"})
    def write_scaled(out: torch.Tensor, x: torch.Tensor, scale: float) -> None:
        out.copy_(x * scale)

    @write_scaled.register_fake
    def _(out, x, scale):
        return None

    return write_scaled


@feature(
    "custom-op-mutating",
    "Custom operators that write into their arguments",
    purpose="Lets kernels fill preallocated outputs and the key-value cache under torch.compile.",
    needs=["compiler"],
    refusals=[NO_CUSTOM_OP],
)
def test_mutating(device, rng):
    """The compiled call fills the caller's buffer, and what is read after it is new."""
    write = define_writer()

    def step(out, x):
        write(out, x.cos(), 2.0)
        return out + 1

    compiled = torch.compile(step, fullgraph=True)
    x = randn(rng, 12, 20)
    buffer = poisoned(12, 20, device=device, dtype=torch.float32)
    after = compiled(buffer, x.to(device))
    expected = x.double().cos() * 2
    assert_close(buffer, expected, **FLOAT32)
    assert_close(after, expected + 1, **FLOAT32)


@feature(
    "custom-op-cacheable",
    "Graphs with writing operators in the compile cache",
    purpose="Restarts a model with custom kernels from the cache; SGLang patches torch for it.",
    needs=["compiler"],
    refusals=[
        NO_CUSTOM_OP,
        Refusal(
            "NotImplementedError",
            r"^this torch (does not cache|bypasses its cache for)",
            "torch/_higher_order_ops/auto_functionalize.py: cacheable since 2.8",
        ),
    ],
)
def test_cacheable(device, rng):
    """A second compilation of the same code comes from the cache, and is right."""
    from torch._dynamo.utils import counters  # noqa: PLC0415 - slow to import
    from torch._functorch import config  # noqa: PLC0415 - slow to import

    if not hasattr(config, "enable_autograd_cache"):
        raise NotImplementedError("this torch does not cache what is before Inductor")
    write, factor = define_writer(), 1 + torch.rand((), generator=rng).item()

    def step(out, x):
        write(out, x * factor, 2.0)
        return out - 1

    counters.clear()
    with config.patch({"enable_autograd_cache": True}):
        for _ in range(2):
            torch.compiler.reset()
            x = randn(rng, 4, 9)
            buffer = poisoned(4, 9, device=device, dtype=torch.float32)
            out = torch.compile(step, fullgraph=True)(buffer, x.to(device))
            assert_close(out, x.double() * factor * 2 - 1, **FLOAT32)
    events = {name: counters["aot_autograd"][f"autograd_cache_{name}"] for name in ("miss", "hit")}
    if counters["aot_autograd"]["autograd_cache_bypass"]:
        raise NotImplementedError("this torch bypasses its cache for writing operators")
    assert events == {"miss": 1, "hit": 1}


@feature(
    "infer-schema",
    "Operator schema from annotations (torch.library.infer_schema)",
    purpose="Registers a kernel from its Python signature alone; SGLang and vLLM build on it.",
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch\.library' has no attribute 'infer_schema'",
            "https://pytorch.org/docs/stable/library.html: public since 2.5",
        )
    ],
)
def test_infer_schema():
    """Types, defaults and mutated arguments end up in the schema."""

    # Optional, not a string: the schema is inferred from the annotations, also on Python 3.8.
    def kernel(
        out: torch.Tensor,
        x: torch.Tensor,
        scale: Optional[float] = None,  # noqa: FA100
        size: int = 4,
    ) -> None:
        pass

    schema = torch.library.infer_schema(kernel, mutates_args={"out"})
    assert schema == "(Tensor(a0!) out, Tensor x, float? scale=None, SymInt size=4) -> ()"


@feature(
    "library-define",
    "Operators through torch.library.Library (define, impl, fake)",
    purpose="Registers kernels with little overhead per call, as vLLM and SGLang do.",
    needs=["compiler"],
    refusals=[
        Refusal(
            "AttributeError",
            r"^module 'torch\.library' has no attribute 'impl_abstract'$",
            "torch/library.py: fakes of such operators are new in 2.2",
        )
    ],
)
def test_library(device, rng):
    """Defined, implemented and traced by hand; the op stays one node of a compiled graph."""
    library = torch.library.Library("matrix_feature_library", "FRAGMENT")
    library.define("shifted(Tensor x, float shift) -> Tensor")
    key = "CUDA" if device.type == "cuda" else "CPU"
    library.impl("shifted", lambda x, shift: x + shift, key)
    # Its first name, until 2.4.
    fake = getattr(torch.library, "register_fake", None) or torch.library.impl_abstract
    fake("matrix_feature_library::shifted")(lambda x, _shift: torch.empty_like(x))
    operator = torch.ops.matrix_feature_library.shifted

    seen = []
    backend = inductor_that_sees("shifted", seen)
    compiled = torch.compile(lambda x: operator(x.exp(), 3.0) * 2, backend=backend, fullgraph=True)
    x = randn(rng, 6, 10)
    assert_close(compiled(x.to(device)), (x.double().exp() + 3) * 2, **FLOAT32)
    assert len(seen) == 1


@feature(
    "opcheck",
    "Operators checked for torch.compile (torch.library.opcheck)",
    purpose="Finds a wrong schema or fake of a kernel in its unit tests, before a model uses it.",
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch\.library' has no attribute '(custom_op|opcheck)'",
            "https://pytorch.org/docs/stable/library.html: new in 2.4",
        )
    ],
)
def test_opcheck(device, rng):
    """A sound operator passes; a hidden write and a fake of the wrong shape are found."""
    good = define_operator()
    check = torch.library.opcheck
    x = randn(rng, 3, 4).to(device)
    checks = ("test_schema", "test_faketensor")
    found = check(good, (x, 0.5), test_utils=checks)
    assert found == dict.fromkeys(checks, "SUCCESS")

    @torch.library.custom_op("matrix_feature::secret_writer", mutates_args=())
    def secret_writer(x: torch.Tensor) -> torch.Tensor:
        x.zero_()
        return x + 1

    @torch.library.custom_op("matrix_feature::wrong_fake", mutates_args=())
    def wrong_fake(x: torch.Tensor) -> torch.Tensor:
        return x[:2].clone()

    wrong_fake.register_fake(torch.empty_like)
    for bad, what in ((secret_writer, "test_schema"), (wrong_fake, "test_faketensor")):
        with pytest.raises(Exception, match=what):
            check(bad, (x.clone(),), test_utils=what)
