"""The small operators between the products: eager they cost launches and trips to memory."""

import pytest
import torch

from matrix.inside import assert_relative, drawn, workload
from matrix.inside.capture import Captured
from matrix.inside.decoder import Norm, rotate

TOKENS, HIDDEN, INNER, HEADS, WIDTH = 64, 4096, 14336, 32, 128
CALLS = 50  # in one graph, so that a replay is longer than its launch


def rmsnorm(rng, device):
    """The norm before each block, over ``TOKENS`` x ``HIDDEN``."""
    norm = Norm(HIDDEN).to(device, torch.bfloat16).requires_grad_(requires_grad=False)
    return norm, (drawn(rng, TOKENS, HIDDEN, device=device).to(torch.bfloat16),)


def rotary(rng, device):
    """The rotation of queries by their positions."""
    angles = drawn(rng, TOKENS, WIDTH // 2, device=device)
    turn = torch.stack([angles.cos(), angles.sin()]).to(torch.bfloat16)
    return rotate, (drawn(rng, HEADS, TOKENS, WIDTH, device=device).to(torch.bfloat16), turn)


def swiglu(rng, device):
    """The gate of the MLP, over ``TOKENS`` x 2 ``INNER``."""

    def gated(both):
        gate, up = both.chunk(2, -1)
        return torch.nn.functional.silu(gate) * up

    return gated, (drawn(rng, TOKENS, 2 * INNER, device=device).to(torch.bfloat16),)


OPERATORS = {"rmsnorm": rmsnorm, "rotary": rotary, "swiglu": swiglu}


@workload("pointwise", "Operators between the products, replayed from a graph",
          needs=["accelerator", "compiler"])  # fmt: skip
@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_operator(device, rng, measure, operator, mode):
    """As the kernels of a captured decoding step take it, without launches."""
    function, arguments = OPERATORS[operator](rng, device)
    exact = (function.double() if operator == "rmsnorm" else function)(
        *(argument.double() for argument in arguments)
    )
    if operator == "rmsnorm":
        function.to(torch.bfloat16)
    step = torch.compile(function, fullgraph=True) if mode == "compiled" else function
    with torch.no_grad():
        if mode == "compiled":
            measure.once(lambda: step(*arguments), metric="first-call")
        graph = Captured(lambda: step(*arguments), CALLS)
        graph.result.fill_(float("nan"))
        graph()
        assert_relative(graph.result, exact, limit=1e-2, why="bfloat16 operators")
        measure(graph, calls=CALLS, params={"tokens": TOKENS})
