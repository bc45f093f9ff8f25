"""The eight-bit product of quantised layers, against the ceiling of the unit that does it."""

import torch

from matrix.inside import assert_relative, randn, workload
from matrix.inside.fp8 import SCALED_MM, e4m3, quantised

SIZE = {"cpu": 512, "cuda": 8192}


@workload("fp8-gemm", "Square fp8 product with one scale per tensor", refusals=SCALED_MM)
def test_fp8_gemm(device, rng, measure):
    """n x n times n x n into bfloat16, checked on 64 of its rows before it is timed."""
    n = SIZE[device.type]
    a, scale_a = quantised(randn(rng, n, n).to(device), e4m3())
    b, scale_b = quantised(randn(rng, n, n).to(device), e4m3())
    columns = b.t().contiguous().t()  # what the units want: the second one column by column

    def product():
        out = torch._scaled_mm(
            a, columns, scale_a=scale_a, scale_b=scale_b, out_dtype=torch.bfloat16
        )
        return out[0] if isinstance(out, tuple) else out  # two results before 2.5

    rows = slice(n - 64, n)
    exact = (a[rows].float().double() * scale_a.double()) @ (b.float().double() * scale_b.double())
    assert_relative(product()[rows], exact, limit=0.01, why="the result is rounded to bfloat16")
    measure(product, work={"flop": 2 * n**3}, params={"n": n, "dtype": "e4m3"})
