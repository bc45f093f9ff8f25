"""Eight-bit floating point: the types bit by bit, and the scaled products built on them."""

import math

import pytest
import torch

from matrix.inside import Refusal, assert_close, assert_relative, feature, randn

# exponent bits, mantissa bits, exponent bias, and whether the all-ones exponent means special
# values as in IEEE 754, only its last code (fn), or only the code of minus zero (fnuz).
FORMATS = {
    "float8_e4m3fn": (4, 3, 7, "fn"),
    "float8_e5m2": (5, 2, 15, "ieee"),
    "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
}


def decode(code, exponent_bits, mantissa_bits, bias, special):
    """The value of an 8-bit code by the definition of its format."""
    sign = -1.0 if code & 0x80 else 1.0
    exponent = (code & 0x7F) >> mantissa_bits
    mantissa = code & (2**mantissa_bits - 1)
    if special == "fnuz" and code == 0x80:
        return math.nan
    if special == "fn" and code & 0x7F == 0x7F:
        return math.nan
    if special == "ieee" and exponent == 2**exponent_bits - 1:
        return math.nan if mantissa else sign * math.inf
    if exponent == 0:
        return sign * math.ldexp(mantissa, 1 - bias - mantissa_bits)
    return sign * math.ldexp(2**mantissa_bits + mantissa, exponent - bias - mantissa_bits)


def lacks(*names):
    """Refusals of a torch that has not heard of these types or functions."""
    pattern = "|".join(names)
    return Refusal(
        "AttributeError",
        rf"module 'torch(\.nn\.functional)?' has no attribute '({pattern})'",
        "https://pytorch.org/docs/stable/tensors.html: not in this release",
    )


@feature("fp8-dtypes", "fp8 types", refusals=[lacks(*FORMATS)])
@pytest.mark.parametrize("name", list(FORMATS))
def test_decode(device, name):
    """All 256 codes mean what the format says."""
    dtype = getattr(torch, name)
    codes = torch.arange(256, dtype=torch.uint8, device=device)
    expected = torch.tensor([decode(code, *FORMATS[name]) for code in range(256)]).double()
    assert_close(codes.view(dtype).float(), expected, rtol=0, atol=0, why="the format's definition")


@feature("fp8-dtypes", "fp8 types", refusals=[lacks(*FORMATS)])
@pytest.mark.parametrize("name", list(FORMATS))
def test_round(device, rng, name):
    """A value becomes its nearest neighbour in the format."""
    dtype = getattr(torch, name)
    values = randn(rng, 4000) * 8
    table = torch.tensor([decode(code, *FORMATS[name]) for code in range(256)]).double()
    table = table[table.isfinite()]
    nearest = (values.double()[:, None] - table[None, :]).abs().min(1).values
    error = (values.to(device).to(dtype).float().cpu().double() - values.double()).abs()
    assert_close(error, nearest, rtol=0, atol=0, why="round to nearest")


@feature(
    "mx-scale-dtype", "Power-of-two scales of MX formats (e8m0)", refusals=[lacks("float8_e8m0fnu")]
)
def test_e8m0(device):
    """A code is an exponent with bias 127; the last is NaN."""
    codes = torch.arange(256, dtype=torch.uint8, device=device)
    expected = torch.tensor([*(2.0 ** (code - 127) for code in range(255)), math.nan]).double()
    out = codes.view(torch.float8_e8m0fnu).float()
    # The smallest is below float32's normal numbers, where devices may flush to zero.
    assert_close(out, expected, rtol=0, atol=2.0**-126, why="the format's definition")


UNSUPPORTED_DEVICE = [
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


def quantised(values, dtype, dim=None):
    """fp8 codes and the float32 scale that gives the values back, per tensor or along ``dim``."""
    peak = values.abs().max() if dim is None else values.abs().amax(dim, keepdim=True)
    scale = (peak / torch.finfo(dtype).max).float()
    return (values.double() / scale.double()).float().to(dtype), scale


def fp8_type():
    """What this device multiplies: AMD's gfx94x has its own e4m3."""
    if torch.version.hip and torch.cuda.is_available():
        arch = torch.cuda.get_device_properties(0).gcnArchName
        return torch.float8_e4m3fnuz if "gfx94" in arch else torch.float8_e4m3fn
    return torch.float8_e4m3fn


@feature(
    "fp8-scaled-mm",
    "fp8 product with scales (torch._scaled_mm)",
    refusals=[lacks("float8_e4m3fn", "_scaled_mm"), *UNSUPPORTED_DEVICE],
)
@pytest.mark.parametrize("scaling", ["tensor", "row"])
def test_scaled_mm(device, rng, scaling):
    """The product of what was quantised is right, and near that of what was meant."""
    dtype, rowwise = fp8_type(), scaling == "row"
    a, b = randn(rng, 48, 128), randn(rng, 128, 64)
    qa, sa = quantised(a, dtype, 1 if rowwise else None)
    qb, sb = quantised(b, dtype, 0 if rowwise else None)
    out = torch._scaled_mm(
        qa.to(device),
        qb.t().contiguous().t().to(device),
        scale_a=sa.to(device),
        scale_b=sb.to(device),
        out_dtype=torch.bfloat16,
    )
    # Before 2.5 it also returned the largest magnitude of the result.
    out = out[0] if isinstance(out, tuple) else out
    exact = (qa.float().double() * sa.double()) @ (qb.float().double() * sb.double())
    assert_relative(out, exact, limit=0.01, why="the result is rounded to bfloat16")
    assert_relative(out, a.double() @ b.double(), limit=0.05, why="e4m3 keeps three bits")


@feature(
    "scaled-mm-api",
    "Public scaled product (torch.nn.functional.scaled_mm)",
    refusals=[lacks("float8_e4m3fn", "scaled_mm", "ScalingType"), *UNSUPPORTED_DEVICE],
)
def test_public_scaled_mm(device, rng):
    """The same product by its public name."""
    functional, dtype = torch.nn.functional, fp8_type()
    a, b = randn(rng, 48, 128), randn(rng, 128, 64)
    (qa, sa), (qb, sb) = quantised(a, dtype), quantised(b, dtype)
    out = functional.scaled_mm(
        qa.to(device),
        qb.t().contiguous().t().to(device),
        scale_a=sa.to(device),
        scale_recipe_a=functional.ScalingType.TensorWise,
        scale_b=sb.to(device),
        scale_recipe_b=functional.ScalingType.TensorWise,
        output_dtype=torch.bfloat16,
    )
    exact = (qa.float().double() * sa.double()) @ (qb.float().double() * sb.double())
    assert_relative(out, exact, limit=0.01, why="the result is rounded to bfloat16")
