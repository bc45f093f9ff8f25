"""The types of serving engines one by one: what a value becomes when it is stored."""

import math

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, randn
from matrix.inside.fp8 import lacks

# exponent bits, mantissa bits, exponent bias, and whether the all-ones exponent means special
# values as in IEEE 754, only its last code (fn), or only the code of minus zero (fnuz).
FORMATS = {
    "float8_e4m3fn": (4, 3, 7, "fn"),
    "float8_e5m2": (5, 2, 15, "ieee"),
    "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
}
ENDS = {"bfloat16": (7, 127), "float16": (10, 15)}  # mantissa bits, largest exponent
FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
FP4_NOT_COPIED = Refusal(
    "RuntimeError",
    r"\"copy_\w*\" not implemented for 'Float4_e2m1fn_x2'",
    "aten/src/ATen/native/cpu/CopyKernel.cpp, cuda/Copy.cu: neither converted, nor, in its first"
    " releases, copied",
)


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


def nearest_even(values, mantissa_bits):
    """Float64 values rounded to so many bits behind the leading one, ties to the even one."""
    mantissa, exponent = torch.frexp(values)  # 0.5 <= |mantissa| < 1
    steps = 2.0 ** (mantissa_bits + 1)
    return torch.ldexp((mantissa * steps).round() / steps, exponent)


SIXTEEN_BITS = [
    pytest.param(
        "bfloat16",
        marks=feature(
            "bf16",
            "bfloat16 arithmetic",
            purpose="Weights, activations and KV caches of nearly every model are it.",
        ),
    ),
    pytest.param(
        "float16",
        marks=feature(
            "fp16",
            "float16 arithmetic",
            purpose="AWQ and GPTQ checkpoints and GPUs without bfloat16 compute in it.",
        ),
    ),
]


@pytest.mark.parametrize("name", SIXTEEN_BITS)
def test_store(device, rng, name):
    """A float32 value is stored as its nearest neighbour, a tie as the even one."""
    mantissa_bits, _ = ENDS[name]
    values = randn(rng, 4096)
    ties = 1.0 + (2 * torch.arange(64) + 1) * 2.0 ** -(mantissa_bits + 1)
    values = torch.cat([values[values.abs() > 2.0**-10], ties])  # float16 is subnormal below
    out = values.to(device).to(getattr(torch, name))
    expected = nearest_even(values.double(), mantissa_bits)
    assert_close(out, expected, rtol=0, atol=0, why="round to nearest, ties to even")


@pytest.mark.parametrize("name", SIXTEEN_BITS)
def test_arithmetic(device, rng, name):
    """An elementwise operation is rounded once; sums are kept in float32; the range ends in inf."""
    kind = getattr(torch, name)
    mantissa_bits, top = ENDS[name]
    a, b = randn(rng, 4096, dtype=kind), randn(rng, 4096, dtype=kind)
    there, other = a.to(device), b.to(device)
    for out, exact in (
        (there + other, a.double() + b.double()),
        (there * other, a.double() * b.double()),
    ):
        sound = exact.abs() > 2.0**-10
        expected = nearest_even(exact, mantissa_bits)[sound]
        assert_close(out.cpu()[sound], expected, rtol=0, atol=0, why="one rounding")
    ones = torch.ones(4096, dtype=kind, device=device)
    expected = torch.tensor(4096.0).double()  # a 16-bit sum would stand still long before
    assert_close(ones.sum(), expected, rtol=0, atol=0, why="sums of ones are exact in float32")
    largest = torch.tensor(math.ldexp(2 - 2.0**-mantissa_bits, top)).double()
    end = torch.full((), largest.item(), dtype=kind, device=device)
    assert_close(end, largest, rtol=0, atol=0, why="the largest value")
    assert_close(end * 2, largest * math.inf, rtol=0, atol=0, why="overflow is infinity")


@feature(
    "fp8-dtypes",
    "fp8 types",
    purpose="fp8 checkpoints and KV caches are read, written and converted as these types.",
    refusals=[lacks(*FORMATS)],
)
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
    "mx-scale-dtype",
    "Power-of-two scales of MX formats (e8m0)",
    purpose="Scales of MXFP4 and MXFP8 checkpoints are stored in it.",
    refusals=[lacks("float8_e8m0fnu")],
)
def test_e8m0(device):
    """A code is an exponent with bias 127; the last is NaN."""
    codes = torch.arange(256, dtype=torch.uint8, device=device)
    expected = torch.tensor([*(2.0 ** (code - 127) for code in range(255)), math.nan]).double()
    out = codes.view(torch.float8_e8m0fnu).float()
    # The smallest is below float32's normal numbers, where devices may flush to zero.
    assert_close(out, expected, rtol=0, atol=2.0**-126, why="the format's definition")


@feature(
    "fp4-dtype",
    "Packed fp4 (float4_e2m1fn_x2): storing and moving",
    purpose="NVFP4 and MXFP4 weights are loaded, joined and sliced as this type, two to a byte.",
    refusals=[lacks("float4_e2m1fn_x2"), FP4_NOT_COPIED],
)
def test_fp4_moves(device, rng):
    """Bytes survive being seen as pairs of fp4, joined, sliced and copied."""
    codes = torch.randint(0, 256, (6, 32), generator=rng, dtype=torch.uint8)
    packed = codes.to(device).view(torch.float4_e2m1fn_x2)
    assert packed.element_size() == 1
    joined = torch.cat([packed[:2], packed[2:].clone()])
    out = torch.empty_like(joined).copy_(joined)
    assert_close(out.view(torch.uint8), codes.long(), rtol=0, atol=0, why="moved bytes")


@feature(
    "fp4-convert",
    "Packed fp4 (float4_e2m1fn_x2): converting to float",
    purpose="An engine without an fp4 kernel would like torch to unpack NVFP4 and MXFP4 weights.",
    refusals=[lacks("float4_e2m1fn_x2"), FP4_NOT_COPIED],
)
def test_fp4_values(device):
    """Each byte gives two values, the lower half first."""
    codes = torch.arange(256, dtype=torch.uint8, device=device)
    out = codes.view(torch.float4_e2m1fn_x2).float()
    table = torch.tensor([*FP4, *(-value for value in FP4)]).double()
    index = torch.arange(256)
    expected = torch.stack([table[index % 16], table[index // 16]], 1).flatten()
    assert_close(out, expected, rtol=0, atol=0, why="the format's definition")


@feature(
    "unsigned-dtypes",
    "Unsigned 16 and 32 bit integers: storing and moving",
    purpose="Token bitmasks, packed weights and safetensors files hold them.",
    refusals=[lacks("uint16", "uint32")],
)
@pytest.mark.parametrize("bits", [16, 32])
def test_unsigned(device, rng, bits):
    """The upper half of the range is no negative number."""
    kind = getattr(torch, f"uint{bits}")
    values = torch.randint(0, 2**bits, (6, 32), generator=rng)
    values[0, 0] = 2**bits - 1
    there = values.to(device).to(kind)
    out = torch.cat([there[:2], there[2:].clone()])
    assert_close(out.to(torch.int64), values, rtol=0, atol=0, why="integers")
    signed = torch.where(values < 2 ** (bits - 1), values, values - 2**bits)
    seen = out.view(getattr(torch, f"int{bits}"))
    assert_close(seen.to(torch.int64), signed, rtol=0, atol=0, why="the same bits")


@feature(
    "unsigned-arithmetic",
    "Unsigned 16 and 32 bit integers: adding, shifting, comparing",
    purpose="Unpacking bit-packed weights or masks needs shifts of the type they are stored in.",
    refusals=[
        lacks("uint16", "uint32"),
        Refusal(
            "RuntimeError",
            r"\"\w+\" not implemented for 'UInt(16|32)'",
            "https://github.com/pytorch/pytorch/issues/58734: limited support outside of compile",
        ),
    ],
)
@pytest.mark.parametrize("bits", [16, 32])
def test_unsigned_arithmetic(device, rng, bits):
    """Sums wrap around, shifts bring in zeros, comparisons see no sign."""
    kind = getattr(torch, f"uint{bits}")
    a, b = (torch.randint(0, 2**bits, (64,), generator=rng) for _ in range(2))
    there, other = a.to(device).to(kind), b.to(device).to(kind)
    total = (there + other).to(torch.int64)
    assert_close(total, (a + b) % 2**bits, rtol=0, atol=0, why="integers modulo their range")
    shifted = (there >> 3).to(torch.int64)
    assert_close(shifted, a >> 3, rtol=0, atol=0, why="integers")
    assert torch.equal((there < other).cpu(), a < b)
