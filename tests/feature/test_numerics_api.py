"""Numbers and number types that changed between releases."""

import pytest
import torch

from matrix.inside import Refusal, assert_close, assert_relative, feature, randn

RELEASES = "https://github.com/pytorch/pytorch/releases/tag/"


@pytest.fixture
def precision():
    """The switches of float32 products, put back afterwards."""
    switches = torch.backends.cuda.matmul
    if not hasattr(torch.backends, "fp32_precision"):
        yield switches
        return
    before = switches.fp32_precision
    yield switches
    switches.fp32_precision = before


NO_PRECISION = [
    Refusal(
        error,
        r"^Unknown attribute fp32_precision$|has no attribute 'fp32_precision'",
        f"{RELEASES}v2.9.0: new; torch/backends/cuda/__init__.py of 2.1 asserts what later raises",
    )
    for error in ("AttributeError", "AssertionError")
]


@feature(
    "fp32-precision",
    "Precision of float32 products (fp32_precision)",
    purpose="Engines allow TF32 for throughput or forbid it for reproducible logits.",
    refusals=NO_PRECISION,
)
def test_fp32_precision(device, rng, precision):
    """`ieee` keeps float32's digits."""
    assert precision.fp32_precision in {"none", "ieee", "tf32"}
    precision.fp32_precision = "ieee"
    a, b = randn(rng, 96, 200), randn(rng, 200, 64)
    out = a.to(device) @ b.to(device)
    assert_relative(out, a.double() @ b.double(), limit=1e-6, why="float32; TF32 is at 3e-4")


@feature(
    "fp32-precision",
    "Precision of float32 products (fp32_precision)",
    refusals=NO_PRECISION,
)
def test_mixing_precision(precision):
    """Who sets the new switch and reads the old one is told."""
    precision.fp32_precision = "tf32"
    with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
        _ = precision.allow_tf32


@feature(
    "fp8-qlinear",
    "fp8 linear layer on CPUs (onednn.qlinear_pointwise)",
    purpose="CPU engines run fp8 checkpoints through this operator.",
    refusals=[
        Refusal(
            "RuntimeError",
            r"qlinear with mkldnn tensor: data type of input should be uint8",
            f"{RELEASES}v2.9.0: fp8 is new",
        ),
        Refusal(
            "AttributeError",
            r"'_OpNamespace' 'onednn' object has no attribute 'qlinear_p|"
            r"module 'torch' has no attribute 'float8_e4m3fn'",
            "https://pytorch.org/docs/stable/quantization.html: not in this release",
        ),
        Refusal(
            "RuntimeError",
            r"onednn::qlinear_pointwise\(\) (expected at most|Expected a value of type)",
            "aten/src/ATen/native/quantized/cpu/qlinear.cpp: another signature before 2.2",
        ),
    ],
)
def test_fp8_qlinear(rng):
    """The product of the codes with their scale."""
    x = randn(rng, 4, 32).to(torch.float8_e4m3fn)
    weight = randn(rng, 16, 32).to(torch.float8_e4m3fn)
    scales, zeros = torch.full((16,), 0.5), torch.zeros(16, dtype=torch.int64)
    packed = torch.ops.onednn.qlinear_prepack(weight, [4, 32])
    run = torch.ops.onednn.qlinear_pointwise
    plain = (1.0, 0, torch.float32, "none", [], "")
    out = run(x, 2.0, 0, packed, scales, zeros, None, *plain)
    expected = x.float().double() @ weight.float().double().t()
    assert_relative(out, expected, limit=5e-3, why="the codes are exact, sums may be in bfloat16")


@feature(
    "clamp-gradient",
    "clamp passes the gradient at its limits",
    purpose="Fake quantisation trains codes at the ends of the range, which clamp produces.",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^clamp stops the gradient at its limits$",
            f"{RELEASES}v2.14.0: other subgradients",
        )
    ],
)
def test_clamp_gradient(device):
    """One inside and at the limits, nought outside; at the limits newer torch has nought."""
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0], device=device, requires_grad=True)
    x.clamp(0, 1).sum().backward()
    inside = x.grad.cpu().double()
    if inside.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]:
        raise NotImplementedError("clamp stops the gradient at its limits")
    expected = torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]).double()
    assert_close(inside, expected, rtol=0, atol=0, why="the derivative, one at the limits")


@feature(
    "bcomplex32",
    "Complex numbers of two bfloat16 (bcomplex32)",
    purpose="Rotary embeddings written as complex products, in the model's own type.",
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch' has no attribute 'bcomplex32'|'torch\.dtype' object has no attribute",
            f"{RELEASES}v2.14.0: new",
        )
    ],
)
def test_bcomplex32(device, rng):
    """The complex type of bfloat16, with the bits of its parts."""
    parts = randn(rng, 40, 2, dtype=torch.bfloat16)
    assert torch.bfloat16.to_complex() == torch.bcomplex32
    values = parts.to(device).view(torch.bcomplex32)
    assert values.shape == (40, 1)
    back = values.view(torch.bfloat16)
    assert_close(back, parts.double(), rtol=0, atol=0, why="the same bits")
