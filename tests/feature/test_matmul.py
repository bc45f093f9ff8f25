"""Matrix products in the types that serving engines use."""

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, poisoned, randn

# Unit roundoff: the relative error of storing a value once.
ROUNDOFF = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}


@feature(
    "matmul",
    "Dense matrix product",
    purpose="Every linear layer that is not quantised.",
    refusals=[
        Refusal(
            "RuntimeError",
            r"^\"addmm_impl_cpu_\" not implemented for 'Half'$",
            "https://github.com/pytorch/pytorch/releases/tag/v2.2.0: float16 products on CPUs",
        )
    ],
)
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


NO_GROUPED_MM = (
    Refusal(
        "AttributeError",
        r"module 'torch(\.nn\.functional)?' has no attribute '_?grouped_mm'",
        "seen to be absent from older releases",
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
)


def grouped(device, rng, product):
    """Each group of rows meets its own expert's matrix, the third group has no rows."""
    rows, depth, width = (16, 32, 0, 8, 24), 64, 48
    a = randn(rng, sum(rows), depth, dtype=torch.bfloat16)
    experts = randn(rng, len(rows), width, depth, dtype=torch.bfloat16).transpose(1, 2)
    ends = torch.tensor(rows).cumsum(0).to(torch.int32)
    out = product(a.to(device), experts.to(device), offs=ends.to(device))
    parts = zip(a.double().split(rows), experts.double())
    assert_close(
        out,
        torch.cat([part @ expert for part, expert in parts]),
        rtol=2 * ROUNDOFF["bfloat16"],
        atol=64 * 2.0**-24 * 16,
        why="rounding the result to bfloat16, twice if split over the depth",
    )


@feature(
    "grouped-mm",
    "Grouped matrix product for mixture of experts (torch._grouped_mm)",
    purpose="Mixture of experts: each expert's tokens meet its weights in one launch.",
    refusals=NO_GROUPED_MM,
)
def test_grouped_mm(device, rng):
    """By the name that came first."""
    grouped(device, rng, torch._grouped_mm)


@feature(
    "grouped-mm-api",
    "Public grouped matrix product (torch.nn.functional.grouped_mm)",
    purpose="The documented successor of torch._grouped_mm.",
    refusals=NO_GROUPED_MM,
)
def test_public_grouped_mm(device, rng):
    """By its public name."""
    grouped(device, rng, torch.nn.functional.grouped_mm)
