"""Products of eight- and four-bit floating point with scales, in the recipes of checkpoints."""

import torch

from matrix.inside import Refusal, assert_relative, feature, randn
from matrix.inside.fp8 import (
    NO_CPU_KERNEL,
    OLD_DEVICE,
    SCALED_MM,
    e4m3,
    lacks,
    quantised,
    scaled_mm,
)

PUBLIC = (lacks("float8_e4m3fn", "scaled_mm", "ScalingType"), NO_CPU_KERNEL, OLD_DEVICE)
NO_MX = Refusal(
    "NotImplementedError",
    r"Block-wise scaling for Float8_e8m0fnu (is only supported on gfx|requires ROCm)",
    "aten/src/ATen/native/cuda/ScaledBlas.cpp",
)
FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def check(out, a, b, codes):
    """Against the product of what was quantised (``codes``: both in float64) and what was meant."""
    exact = codes[0] @ codes[1]
    assert_relative(out, exact, limit=0.01, why="the result is rounded to bfloat16")
    assert_relative(out, a.double() @ b.double(), limit=0.05, why="e4m3 keeps three bits")


def product(device, rng, *, row, fast=False):
    """``torch._scaled_mm`` with scales per tensor or per row and column, checked."""
    kind = e4m3()
    a, b = randn(rng, 48, 128), randn(rng, 128, 64)
    qa, sa = quantised(a, kind, 1 if row else None)
    qb, sb = quantised(b, kind, 0 if row else None)
    there = (item.to(device) for item in (qa, qb, sa, sb))
    out = scaled_mm(*there, fast=fast)
    check(out, a, b, (qa.float().double() * sa.double(), qb.float().double() * sb.double()))


@feature(
    "fp8-scaled-mm",
    "fp8 product, a scale per tensor (torch._scaled_mm)",
    purpose="Linear layers of fp8 checkpoints with static scales run on it.",
    refusals=SCALED_MM,
)
def test_per_tensor(device, rng):
    """The product of what was quantised is right, and near that of what was meant."""
    product(device, rng, row=False)


@feature(
    "fp8-scaled-mm-row",
    "fp8 product, a scale per row and column (torch._scaled_mm)",
    purpose="Per-token activations and per-channel weights: how fp8 is quantised on the fly.",
    refusals=[
        *SCALED_MM,
        Refusal(
            "RuntimeError",
            r"Now _scaled_mm only supports per-tensor scaling for CPU backend",
            "aten/src/ATen/native/Blas.cpp: its first kernel for CPUs, until 2.12",
        ),
    ],
)
def test_per_row(device, rng):
    """Each row and column has a scale of its own."""
    product(device, rng, row=True)


@feature(
    "fp8-fast-accum",
    "fp8 product with fast accumulation (use_fast_accum)",
    purpose="Inference trades a few bits of the sums for the full rate of the fp8 unit.",
    refusals=[
        *SCALED_MM,
        Refusal(
            "TypeError",
            r"^_scaled_mm\(\) got an unexpected keyword argument 'use_fast_accum'",
            "aten/src/ATen/native/native_functions.yaml: an argument since 2.2",
        ),
    ],
)
def test_fast_accumulation(device, rng):
    """The sums lose bits, but fewer than the result's rounding to bfloat16."""
    product(device, rng, row=False, fast=True)


@feature(
    "scaled-mm-api",
    "Public scaled product (torch.nn.functional.scaled_mm)",
    purpose="The documented successor of torch._scaled_mm, which names the recipe.",
    refusals=PUBLIC,
)
def test_public(device, rng):
    """The same product by its public name."""
    functional, kind = torch.nn.functional, e4m3()
    a, b = randn(rng, 48, 128), randn(rng, 128, 64)
    (qa, sa), (qb, sb) = quantised(a, kind), quantised(b, kind)
    out = functional.scaled_mm(
        qa.to(device),
        qb.t().contiguous().t().to(device),
        scale_a=sa.to(device),
        scale_recipe_a=functional.ScalingType.TensorWise,
        scale_b=sb.to(device),
        scale_recipe_b=functional.ScalingType.TensorWise,
        output_dtype=torch.bfloat16,
    )
    check(out, a, b, (qa.float().double() * sa.double(), qb.float().double() * sb.double()))


def in_blocks(values, kind, high, wide, scales=lambda peak, top: peak / top):
    """Codes, a scale per block of ``high`` x ``wide``, and what both mean, in float64."""
    rows, columns = values.shape
    blocks = values.double().view(rows // high, high, columns // wide, wide)
    peak = blocks.abs().amax((1, 3), keepdim=True)
    scale = scales(peak, torch.finfo(kind).max).float()
    codes = (blocks / scale.double()).float().to(kind)
    meant = (codes.float().double() * scale.double()).view(rows, columns)
    return codes.view(rows, columns), scale.view(rows // high, columns // wide), meant


@feature(
    "fp8-scaled-mm-block",
    "fp8 product, scales per 1x128 and 128x128 block (scaled_mm)",
    purpose="DeepSeek's checkpoints: activations in 1x128 groups, weights in 128x128 blocks.",
    refusals=[
        *PUBLIC,
        Refusal(
            "ValueError",
            # where there are kernels for blocks, the message of a mistaken call names them
            r"(?s)^Invalid scaling configuration(?!.*[Bb]lock)",
            "aten/src/ATen/native/Blas.cpp: on the CPU scales are per tensor or per row",
        ),
        Refusal(
            "NotImplementedError",
            r"DeepSeek style \(1x128, 128x128\) scaling (only supported in CUDA for SM90"
            r"|requires cublasLt)|1x128 and 128x128 scaling not available with ROCm",
            "aten/src/ATen/native/cuda/ScaledBlas.cpp",
        ),
    ],
)
def test_blocks(device, rng):
    """Scales of activations lie column by column; a block's scale belongs to that block."""
    functional, kind = torch.nn.functional, e4m3()
    spread = torch.exp2(torch.arange(4.0)).repeat_interleave(128)  # no two blocks in a row alike
    a, weight = randn(rng, 256, 512) * spread, randn(rng, 384, 512) * spread.flip(0)
    qa, sa, meant_a = in_blocks(a, kind, 1, 128)
    qw, sw, meant_w = in_blocks(weight, kind, 128, 128)
    out = functional.scaled_mm(
        qa.to(device),
        qw.to(device).t(),
        scale_a=sa.to(device).t().contiguous().t(),
        scale_recipe_a=functional.ScalingType.BlockWise1x128,
        scale_b=sw.to(device).t(),
        scale_recipe_b=functional.ScalingType.BlockWise128x128,
        output_dtype=torch.bfloat16,
    )
    check(out, a, weight.t(), (meant_a, meant_w.t()))


def swizzled(scales):
    """Scales as NVIDIA's units read them: tiles of 128 x 4, in each four rows 32 apart together.

    https://docs.nvidia.com/cuda/cublas/#d-block-scaling-factors-layout
    """
    if torch.version.hip:
        return scales
    rows, columns = scales.shape
    tiles = scales.view(rows // 128, 4, 32, columns // 4, 4).permute(0, 3, 2, 1, 4)
    return tiles.contiguous().view(-1)


def swizzle():
    """How this vendor wants MX scales to lie."""
    kinds = torch.nn.functional.SwizzleType
    return kinds.NO_SWIZZLE if torch.version.hip else kinds.SWIZZLE_32_4_4


@feature(
    "mxfp8-scaled-mm",
    "MXFP8 product, power-of-two scales per 32 values (scaled_mm)",
    purpose="MXFP8 checkpoints on Blackwell and MI350.",
    refusals=[lacks("float8_e8m0fnu", "scaled_mm", "ScalingType", "SwizzleType"), NO_MX],
    needs=["capability:10.0"],
)
def test_mx(device, rng):
    """A scale per 32 values, itself a power of two."""
    functional, kind = torch.nn.functional, torch.float8_e4m3fn
    a, weight = randn(rng, 128, 256), randn(rng, 256, 256)

    def powers(peak, top):
        return torch.exp2(torch.log2(peak / top).ceil())

    qa, sa, meant_a = in_blocks(a, kind, 1, 32, powers)
    qw, sw, meant_w = in_blocks(weight, kind, 1, 32, powers)
    recipe = functional.ScalingType.BlockWise1x32
    out = functional.scaled_mm(
        qa.to(device),
        qw.to(device).t(),
        scale_a=swizzled(sa.to(torch.float8_e8m0fnu).view(torch.uint8))
        .view(torch.float8_e8m0fnu)
        .to(device),
        scale_recipe_a=recipe,
        scale_b=swizzled(sw.to(torch.float8_e8m0fnu).view(torch.uint8))
        .view(torch.float8_e8m0fnu)
        .to(device),
        scale_recipe_b=recipe,
        swizzle_a=swizzle(),
        swizzle_b=swizzle(),
        output_dtype=torch.bfloat16,
    )
    check(out, a, weight.t(), (meant_a, meant_w.t()))


def nvfp4(values):
    """Packed codes, an e4m3 scale per 16 values, the tensor's own scale, and what they mean."""
    rows, columns = values.shape
    blocks = values.double().view(rows, columns // 16, 16)
    whole = values.abs().max().double() / (6 * 448)
    scale = (blocks.abs().amax(2, keepdim=True) / 6 / whole).float().to(torch.float8_e4m3fn)
    unit = scale.float().double() * whole
    table = torch.tensor(FP4).double()
    nearest = ((blocks / unit).abs()[..., None] - table).abs().argmin(-1)
    meant = (table[nearest] * blocks.sign() * unit).view(rows, columns)
    codes = (nearest + 8 * (blocks < 0)).to(torch.uint8).view(rows, columns)
    packed = (codes[:, 1::2] << 4 | codes[:, ::2]).view(torch.float4_e2m1fn_x2)
    return packed, scale.view(rows, -1), whole.float(), meant


@feature(
    "nvfp4-scaled-mm",
    "NVFP4 product, scales per 16 values and per tensor (scaled_mm)",
    purpose="NVFP4 checkpoints on Blackwell.",
    refusals=[
        lacks("float4_e2m1fn_x2", "scaled_mm", "ScalingType", "SwizzleType"),
        Refusal(
            "NotImplementedError",
            r"NVFP4 scaling not supported on ROCM",
            "aten/src/ATen/native/cuda/ScaledBlas.cpp",
        ),
    ],
    needs=["capability:10.0"],
)
def test_nvfp4(device, rng):
    """Two levels of scales and two values to a byte."""
    functional = torch.nn.functional
    a, weight = randn(rng, 128, 256), randn(rng, 256, 256)
    qa, sa, whole_a, meant_a = nvfp4(a)
    qw, sw, whole_w, meant_w = nvfp4(weight)
    kinds = functional.ScalingType
    recipes = [kinds.BlockWise1x16, kinds.TensorWise]
    swizzles = [swizzle(), functional.SwizzleType.NO_SWIZZLE]
    out = functional.scaled_mm(
        qa.to(device),
        qw.to(device).t(),
        scale_a=[swizzled(sa).to(device), whole_a.to(device)],
        scale_recipe_a=recipes,
        scale_b=[swizzled(sw).to(device), whole_w.to(device)],
        scale_recipe_b=recipes,
        swizzle_a=swizzles,
        swizzle_b=swizzles,
        output_dtype=torch.bfloat16,
    )
    assert_relative(out, meant_a @ meant_w.t(), limit=0.01, why="rounded to bfloat16")
    meant = a.double() @ weight.double().t()
    assert_relative(out, meant, limit=0.2, why="fp4 keeps one bit, about 9% for each factor")


@feature(
    "fp8-grouped-mm",
    "fp8 grouped product (torch._scaled_grouped_mm)",
    purpose="fp8 mixture of experts: each expert's tokens meet its weights in one launch.",
    refusals=[
        lacks("float8_e4m3fn", "_scaled_grouped_mm"),
        Refusal(
            "NotImplementedError",
            r"Could not run 'aten::_scaled_grouped_mm' with arguments from the 'CPU' backend",
            "added for CUDA devices only",
        ),
        OLD_DEVICE,
        Refusal(
            "ValueError",
            r"_scaled_grouped_mm is only supported on CUDA devices with compute capability",
            "aten/src/ATen/native/cuda/GroupedBlas.cpp: CC 9.0 and 10.0, or MI300 and later",
        ),
    ],
)
def test_grouped(device, rng):
    """Each group of rows meets its own expert's matrix, with a scale per row and column."""
    rows, kind = (16, 32, 16, 64), e4m3()
    a, weights = randn(rng, sum(rows), 128), randn(rng, len(rows), 64, 128)
    qa, sa = quantised(a, kind, 1)
    qw, sw = quantised(weights, kind, 2)
    ends = torch.tensor(rows).cumsum(0).to(torch.int32)
    out = torch._scaled_grouped_mm(
        qa.to(device),
        qw.to(device).transpose(1, 2),
        sa.view(-1).to(device),
        sw.view(len(rows), -1).to(device),
        offs=ends.to(device),
        out_dtype=torch.bfloat16,
    )
    parts = (qa.float().double() * sa.double()).split(rows)
    experts = (qw.float().double() * sw.double()).transpose(1, 2)
    exact = torch.cat([part @ expert for part, expert in zip(parts, experts)])
    assert_relative(out, exact, limit=0.01, why="the result is rounded to bfloat16")
