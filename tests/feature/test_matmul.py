"""Matrix products in the types that serving engines use."""

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, poisoned, randn

# Unit roundoff: the relative error of storing a value once.
ROUNDOFF = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}


@feature("matmul", "Dense matrix product")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_matmul(device, rng, dtype):
    """A product accumulates in float32: its error is that of rounding the result."""
    kind = getattr(torch, dtype)
    a, b = randn(rng, 96, 256, dtype=kind), randn(rng, 256, 80, dtype=kind)
    out = poisoned(96, 80, device=device, dtype=kind)
    torch.mm(a.to(device), b.to(device), out=out)
    assert_close(
        out,
        a.double() @ b.double(),
        rtol=2 * ROUNDOFF[dtype],
        atol=256 * 2.0**-24 * 16,
        why="rounding the result (twice if split over the depth), and 256 terms in float32",
    )


@feature(
    "int8-matmul",
    "int8 matrix product with int32 result (torch._int_mm)",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"Could not run 'aten::_int_mm' with arguments from the 'CPU' backend",
            "https://github.com/pytorch/pytorch/pull/121792 added it for CPUs",
        ),
        Refusal(
            "RuntimeError",
            r"_int_mm_out_cuda not compiled for (this platform|CUDA)",
            "aten/src/ATen/native/cuda/Blas.cpp",
        ),
    ],
)
def test_int8(device, rng):
    """Integer products are exact."""
    a = torch.randint(-128, 128, (32, 64), generator=rng, dtype=torch.int8)
    b = torch.randint(-128, 128, (64, 48), generator=rng, dtype=torch.int8)
    out = torch._int_mm(a.to(device), b.to(device))
    assert out.dtype == torch.int32
    assert_close(out, a.long() @ b.long(), rtol=0, atol=0, why="integer arithmetic")


@feature(
    "grouped-mm",
    "Grouped matrix product for mixture of experts (torch._grouped_mm)",
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch' has no attribute '_grouped_mm'",
            "seen to be absent from torch 2.6.0",
        ),
        Refusal(
            "NotImplementedError",
            r"Could not run 'aten::_grouped_mm' with arguments from the 'CPU' backend",
            "added for CUDA first",
        ),
        Refusal(
            "RuntimeError",
            r"[Gg]rouped gemm is supported only on CUDA devices",
            "aten/src/ATen/native/cuda/Blas.cpp",
        ),
    ],
)
def test_grouped_mm(device, rng):
    """Each group of rows meets its own expert's matrix."""
    rows, depth, width = (16, 32, 8, 24), 64, 48
    a = randn(rng, sum(rows), depth, dtype=torch.bfloat16)
    experts = randn(rng, len(rows), width, depth, dtype=torch.bfloat16).transpose(1, 2)
    ends = torch.tensor(rows).cumsum(0).to(torch.int32)
    product = torch._grouped_mm
    out = product(a.to(device), experts.to(device), offs=ends.to(device))
    parts = zip(a.double().split(rows), experts.double())
    assert_close(
        out,
        torch.cat([part @ expert for part, expert in parts]),
        rtol=2 * ROUNDOFF["bfloat16"],
        atol=64 * 2.0**-24 * 16,
        why="rounding the result to bfloat16, twice if split over the depth",
    )
