"""The eight-bit product of quantised layers, against the ceiling of the unit that does it."""

import torch

from matrix.inside import Refusal, assert_relative, randn, workload

SIZE = {"cpu": 512, "cuda": 8192}
REFUSALS = [
    Refusal(
        "AttributeError",
        r"module 'torch' has no attribute '(float8_e4m3fn|float8_e4m3fnuz|_scaled_mm)'",
        "https://pytorch.org/docs/stable/tensors.html: not in this release",
    ),
    Refusal(
        "NotImplementedError",
        r"Could not run 'aten::_scaled_mm(_v2)?' with arguments from the 'CPU' backend",
        "https://github.com/pytorch/pytorch/pull/139878 added it for CPUs",
    ),
    Refusal(
        "RuntimeError",
        r"(only supported on|requires).*(compute capability|MI300|gfx9)",
        "aten/src/ATen/native/cuda/ScaledBlas.cpp: CC >= 8.9, or MI300 and later",
    ),
]


def eight_bits(values):
    """Codes in the format this device multiplies (AMD's gfx94x has its own), and their scale."""
    amd = torch.version.hip and torch.cuda.is_available()
    gfx94 = amd and "gfx94" in torch.cuda.get_device_properties(0).gcnArchName
    dtype = torch.float8_e4m3fnuz if gfx94 else torch.float8_e4m3fn
    scale = (values.abs().max() / torch.finfo(dtype).max).float()
    return (values / scale).to(dtype), scale


@workload("fp8-gemm", "Square fp8 product with one scale per tensor", refusals=REFUSALS)
def test_fp8_gemm(device, rng, measure):
    """n x n times n x n into bfloat16, checked on 64 of its rows before it is timed."""
    n = SIZE[device.type]
    a, scale_a = eight_bits(randn(rng, n, n).to(device))
    b, scale_b = eight_bits(randn(rng, n, n).to(device))
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
