"""Integer quantisation as engines build it from torch's own products: int8 and int4 layers."""

import pytest
import torch

from matrix.inside import Refusal, assert_close, assert_relative, feature, randn

GROUP = 64


def no_kernel(name):
    """Refusals of a torch without this operator, or without it for this device."""
    return (
        Refusal(
            "AttributeError",
            rf"^module 'torch' has no attribute '{name}'$",
            "seen to be absent from older releases",
        ),
        Refusal(
            "NotImplementedError",
            rf"Could not run 'aten::{name}' with arguments from the '(CPU|CUDA)' backend",
            "aten/src/ATen/native/native_functions.yaml: its dispatch",
        ),
    )


NO_INT_MM = (
    *no_kernel("_int_mm"),
    Refusal(
        "RuntimeError",
        r"_int_mm_out_cuda not compiled for (this platform|CUDA)",
        "aten/src/ATen/native/cuda/Blas.cpp",
    ),
)


@feature(
    "int8-matmul",
    "int8 matrix product with int32 result (torch._int_mm)",
    purpose="The product under w8a8 layers without a kernel of the engine's own.",
    refusals=NO_INT_MM,
)
def test_int8(device, rng):
    """Integer products are exact."""
    a = torch.randint(-128, 128, (32, 64), generator=rng, dtype=torch.int8)
    b = torch.randint(-128, 128, (64, 48), generator=rng, dtype=torch.int8)
    out = torch._int_mm(a.to(device), b.to(device))
    assert out.dtype == torch.int32
    assert_close(out, a.long() @ b.long(), rtol=0, atol=0, why="integer arithmetic")


@feature(
    "int8-matmul-decode",
    "int8 matrix product of up to 16 rows (torch._int_mm)",
    purpose="Decoding a few sequences has few rows; where this is refused, engines pad to 17.",
    refusals=[
        *NO_INT_MM,
        Refusal(
            "RuntimeError",
            r"self\.size\(0\) needs to be greater than 16, but got",
            "aten/src/ATen/native/cuda/Blas.cpp",
        ),
    ],
)
@pytest.mark.parametrize("rows", [1, 16])
def test_int8_few_rows(device, rng, rows):
    """Exact as for many rows."""
    a = torch.randint(-128, 128, (rows, 64), generator=rng, dtype=torch.int8)
    b = torch.randint(-128, 128, (64, 48), generator=rng, dtype=torch.int8)
    out = torch._int_mm(a.to(device), b.to(device))
    assert out.dtype == torch.int32
    assert_close(out, a.long() @ b.long(), rtol=0, atol=0, why="integer arithmetic")


def int8_rows(values):
    """int8 codes and the float32 scale of each row, computed as an engine does, on the device."""
    scale = values.float().abs().amax(-1, keepdim=True) / 127
    codes = (values.float() / scale.clamp(min=1e-12)).round().clamp(-127, 127).to(torch.int8)
    return codes, scale


def int8_linear(values, columns, scale):
    """Dynamically quantised layer: ``columns`` are int8 weights [in, out], a scale for each."""
    codes, row = int8_rows(values)
    return (torch._int_mm(codes, columns).float() * row * scale.t()).to(values.dtype)


def int8_case(device, rng):
    """Activations, weights and the quantised weights of a layer on the device."""
    values = randn(rng, 32, 128, dtype=torch.bfloat16)
    weight = randn(rng, 96, 128)
    codes, scale = int8_rows(weight.to(device))
    return values, weight, codes.t(), scale


def int8_exact(values, columns, scale):
    """What the codes of a layer mean, in float64; activations are quantised anew on the CPU."""
    codes, row = int8_rows(values)
    sound = columns.cpu().double() * scale.cpu().double().t()
    return (codes.double() * row.double()) @ sound


def check_int8(out, values, weight, columns, scale):
    """Against the codes' own product, and against the layer that was meant."""
    exact = int8_exact(values, columns, scale)
    # a quotient just between two codes may be rounded either way
    assert_relative(out, exact, limit=0.006, why="rounded to bfloat16, a code in a hundred off")
    meant = values.double() @ weight.double().t()
    assert_relative(out, meant, limit=0.02, why="steps of a 127th of a row's peak, 0.7% each")


@feature(
    "int8-dynamic-linear",
    "Dynamic int8 linear layer (per token, per channel)",
    purpose="w8a8_int8 without calibration: activations are quantised in the forward pass.",
    refusals=NO_INT_MM,
)
def test_int8_linear(device, rng):
    """Near the layer it replaces, and what its codes say."""
    values, weight, columns, scale = int8_case(device, rng)
    out = int8_linear(values.to(device), columns, scale)
    check_int8(out, values, weight, columns, scale)


@feature(
    "int8-dynamic-graph",
    "Dynamic int8 linear layer in a captured graph",
    purpose="Quantised decoding under CUDA graphs; scales must follow the inputs of each replay.",
    refusals=NO_INT_MM,
    needs=["accelerator"],
)
def test_int8_graph(device, rng):
    """Every replay quantises the activations of now, of ever larger scale."""
    values, weight, columns, scale = int8_case(device, rng)
    there = values.to(device)
    out = torch.empty(32, 96, dtype=torch.bfloat16, device=device)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            out.copy_(int8_linear(there, columns, scale))
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out.copy_(int8_linear(there, columns, scale))
    for factor in (1, 10, 100):
        fresh = randn(rng, 32, 128, dtype=torch.bfloat16) * factor
        there.copy_(fresh)
        out.fill_(float("nan"))
        graph.replay()
        check_int8(out, fresh, weight, columns, scale)


@feature(
    "int8-weight-matmul",
    "bfloat16 times int8 weights (torch._weight_int8pack_mm)",
    purpose="Weight-only int8: half the bytes to read for each decoded token.",
    refusals=no_kernel("_weight_int8pack_mm"),
)
def test_int8_weight(device, rng):
    """Weights are scaled per output channel."""
    values, weight = randn(rng, 8, 128, dtype=torch.bfloat16), randn(rng, 96, 128)
    codes, scale = int8_rows(weight)
    scale = scale.view(-1).to(torch.bfloat16)
    out = torch._weight_int8pack_mm(values.to(device), codes.to(device), scale.to(device))
    exact = values.double() @ (codes.double() * scale.double()[:, None]).t()
    assert_relative(out, exact, limit=0.01, why="the result is rounded to bfloat16")


def int4_groups(weight):
    """Codes 0 to 15, scale and zero of each group of a row (bfloat16), and what they mean.

    A code means ``(code - 8) * scale + zero``.
    """
    rows, columns = weight.shape
    groups = weight.double().view(rows, columns // GROUP, GROUP)
    low, high = groups.amin(2), groups.amax(2)
    scale = ((high - low) / 15).to(torch.bfloat16)
    zero = (low + 8 * (high - low) / 15).to(torch.bfloat16)
    steps, middle = scale.double()[..., None], zero.double()[..., None]
    codes = ((groups - middle) / steps + 8).round().clamp(0, 15)
    meant = ((codes - 8) * steps + middle).view(rows, columns)
    pairs = torch.stack([scale, zero], -1).transpose(0, 1).contiguous()
    return codes.view(rows, columns).to(torch.int32), pairs, meant


def int4_case(rng):
    """Activations, weights, and the weights in int4."""
    values, weight = randn(rng, 8, 256, dtype=torch.bfloat16), randn(rng, 64, 256)
    return (values, weight, *int4_groups(weight))


def check_int4(out, values, weight, meant):
    """Against the codes' own product, and against the layer that was meant."""
    exact = values.double() @ meant.t()
    assert_relative(out, exact, limit=0.01, why="weights and result are rounded to bfloat16")
    exact = values.double() @ weight.double().t()
    assert_relative(out, exact, limit=0.13, why="15 steps over some five deviations, 9%")


def int4_packed(codes):
    """Codes laid out for the unit; the operator first took int32, later bytes of two codes."""
    try:
        pairs = (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8)
        return torch._convert_weight_to_int4pack(pairs, 8)
    except RuntimeError as error:
        if "kInt" not in str(error):
            raise
        return torch._convert_weight_to_int4pack(codes, 8)


@feature(
    "int4-matmul",
    "bfloat16 times int4 weights (torch._weight_int4pack_mm)",
    purpose="Weight-only int4 in groups: what torchao's int4 layers call on GPUs.",
    refusals=[
        *no_kernel("_convert_weight_to_int4pack"),
        Refusal(
            "RuntimeError",
            r"int4pack\w* is (not available for build|only supported on AMD gpu arch)",
            "aten/src/ATen/native/cuda/int4mm.cu: CC >= 8.0, or CDNA2 and later",
        ),
    ],
)
def test_int4(device, rng):
    """Each group of 64 has its scale and zero."""
    values, weight, codes, pairs, meant = int4_case(rng)
    packed = int4_packed(codes.to(device))
    out = torch._weight_int4pack_mm(values.to(device), packed, GROUP, pairs.to(device))
    check_int4(out, values, weight, meant)


@feature(
    "int4-matmul-cpu",
    "bfloat16 times int4 weights on CPUs (torch._weight_int4pack_mm_for_cpu)",
    purpose="Weight-only int4 in groups on a server without GPUs.",
    refusals=no_kernel("_convert_weight_to_int4pack_for_cpu"),
)
def test_int4_cpu(device, rng):
    """The same numbers in the CPU's own layout."""
    values, weight, codes, pairs, meant = int4_case(rng)
    packed = torch._convert_weight_to_int4pack_for_cpu(codes.to(device), 1)
    out = torch._weight_int4pack_mm_for_cpu(values.to(device), packed, GROUP, pairs.to(device))
    check_int4(out, values, weight, meant)
