"""The eight-bit product of quantised layers, against the ceiling of the unit that does it."""

import pytest
import torch

from matrix.inside import assert_relative, drawn, workload
from matrix.inside.fp8 import SCALED_MM, e4m3

SIZE = {"cpu": 512, "cuda": 8192}
ROWS = 64  # of the result are checked before it is timed


def codes_and_scale(values, dim):
    """fp8 codes and the float32 scale that gives the values back, computed where they lie."""
    kind = e4m3()
    peak = values.abs().max() if dim is None else values.abs().amax(dim, keepdim=True)
    scale = (peak / torch.finfo(kind).max).float()
    return (values / scale).to(kind), scale


@workload("fp8-gemm", "Square fp8 product with scales", refusals=SCALED_MM)
@pytest.mark.parametrize("scales", ["tensor", "row"])
def test_fp8_gemm(device, rng, measure, scales):
    """n x n times n x n into bfloat16; one scale each, or one per row and per column."""
    if device.type == "cpu" and scales == "row":
        pytest.skip("row-wise on a CPU is timed by no engine's recipe")
    n = SIZE[device.type]
    row = scales == "row"
    a, scale_a = codes_and_scale(drawn(rng, n, n, device=device), 1 if row else None)
    b, scale_b = codes_and_scale(drawn(rng, n, n, device=device), 0 if row else None)
    columns = b.t().contiguous().t()  # what the units want: the second one column by column

    def product():
        out = torch._scaled_mm(
            a, columns, scale_a=scale_a, scale_b=scale_b, out_dtype=torch.bfloat16
        )
        return out[0] if isinstance(out, tuple) else out  # two results before 2.5

    rows = slice(n - ROWS, n)
    scale = scale_a[rows] if row else scale_a
    exact = (a[rows].float().double() * scale.double()) @ (b.float().double() * scale_b.double())
    assert_relative(product()[rows], exact, limit=0.01, why="the result is rounded to bfloat16")
    measure(product, work={"flop": 2 * n**3}, params={"n": n, "dtype": "e4m3"})
