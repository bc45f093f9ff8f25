"""Operators of one's own: how engines bring their kernels under torch.compile."""

from typing import Optional

import torch

from matrix.inside import Refusal, assert_close, feature, randn

NO_CUSTOM_OP = Refusal(
    "AttributeError",
    r"module 'torch\.library' has no attribute 'custom_op'",
    "https://pytorch.org/docs/stable/library.html: new in 2.4",
)


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
    needs=["compiler"],
    refusals=[NO_CUSTOM_OP],
)
def test_custom_op(device, rng):
    """The operator stays one node of a full graph, and its numbers arrive."""
    operator = define_operator()
    seen = []

    def count(graph, example_inputs):
        seen.extend(node for node in graph.graph.nodes if "squared_plus" in str(node.target))
        return inductor(graph, example_inputs)

    from torch._inductor.compile_fx import compile_fx as inductor  # noqa: PLC0415 - slow

    compiled = torch.compile(lambda x: operator(x.sin(), 0.5) * 2, backend=count, fullgraph=True)
    x = randn(rng, 40, 8)
    expected = (x.double().sin() ** 2 + 0.5) * 2
    assert_close(compiled(x.to(device)), expected, rtol=1e-5, atol=1e-5, why="float32 elementwise")
    assert len(seen) == 1


@feature(
    "infer-schema",
    "Operator schema from annotations (torch.library.infer_schema)",
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
