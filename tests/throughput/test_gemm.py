"""Square matrix products: the device's compute ceiling as torch reaches it."""

import pytest
import torch

from matrix.inside import assert_relative, poisoned, randn, workload

SIZE = {"cpu": 768, "cuda": 8192}
LIMIT = {"float32": 1e-5, "bfloat16": 5e-3}


@workload("gemm", "Square matrix product")
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_gemm(device, rng, measure, dtype):
    """n x n times n x n, checked on 64 of its rows before it is timed."""
    n, kind = SIZE[device.type], getattr(torch, dtype)
    a = randn(rng, n, n, dtype=kind).to(device)
    b = randn(rng, n, n, dtype=kind).to(device)
    out = poisoned(n, n, device=device, dtype=kind)
    torch.mm(a, b, out=out)
    rows = slice(n - 64, n)
    assert_relative(out[rows], a[rows].double() @ b.double(), limit=LIMIT[dtype])
    measure(lambda: torch.mm(a, b, out=out), work={"flop": 2 * n**3}, params={"n": n})
