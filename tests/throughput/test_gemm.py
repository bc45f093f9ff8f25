"""Square matrix products: the device's compute ceilings as torch reaches them."""

import pytest
import torch

from matrix.inside import Refusal, assert_close, assert_relative, drawn, poisoned, workload

SIZE = {"cpu": 768, "cuda": 8192}
ROWS = 64  # of the result are checked before it is timed
LIMIT = {"float32": 1e-5, "bfloat16": 5e-3, "float16": 1e-3}


@workload("gemm", "Square matrix product")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_gemm(device, rng, measure, dtype):
    """n x n times n x n."""
    if device.type == "cpu" and dtype == "float16":
        pytest.skip("no serving engine computes in float16 on a CPU")
    n, kind = SIZE[device.type], getattr(torch, dtype)
    a, b = (drawn(rng, n, n, device=device).to(kind) for _ in range(2))
    out = poisoned(n, n, device=device, dtype=kind)
    torch.mm(a, b, out=out)
    rows = slice(n - ROWS, n)
    assert_relative(out[rows], a[rows].double() @ b.double(), limit=LIMIT[dtype])
    measure(lambda: torch.mm(a, b, out=out), work={"flop": 2 * n**3}, params={"n": n})


@workload(
    "int8-gemm",
    "Square int8 product with int32 result (torch._int_mm)",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"Could not run 'aten::_int_mm' with arguments from the 'CPU' backend",
            "aten/src/ATen/native/native_functions.yaml: its dispatch",
        ),
        Refusal(
            "RuntimeError",
            r"_int_mm_out_cuda not compiled for (this platform|CUDA)",
            "aten/src/ATen/native/cuda/Blas.cpp",
        ),
    ],
)
def test_int8(device, rng, measure):
    """n x n times n x n; the second one lies column by column, as weights do."""
    n = SIZE[device.type]
    a, b = (drawn(rng, n, n, device=device).mul_(40).clamp_(-127, 127).to(torch.int8)
            for _ in range(2))  # fmt: skip
    out = torch._int_mm(a, b.t())
    rows = slice(n - ROWS, n)
    exact = a[rows].double() @ b.t().double()
    assert_close(out[rows], exact, rtol=0, atol=0, why="integer arithmetic")
    measure(
        lambda: torch._int_mm(a, b.t()),
        work={"flop": 2 * n**3},
        params={"n": n, "dtype": "int8"},
    )
