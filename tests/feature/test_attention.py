"""Scaled dot product attention against the textbook formula in float64."""

import math

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, randn

sdpa = torch.nn.functional.scaled_dot_product_attention


def textbook(q, k, v, *, causal=False):
    """softmax(q k^T / sqrt(d)) v in float64; heads of k and v are repeated for those of q."""
    q, k, v = q.double(), k.double(), v.double()
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, -math.inf)
    return scores.softmax(-1) @ v


def inputs(rng, dtype, *, heads=4, kv_heads=4, length=70, width=32):
    """Query, key and value on the CPU, shaped [batch, heads, length, width]."""
    return (
        randn(rng, 2, heads, length, width, dtype=dtype),
        randn(rng, 2, kv_heads, length, width, dtype=dtype),
        randn(rng, 2, kv_heads, length, width, dtype=dtype),
    )


TOLERANCE = {
    "float32": {"rtol": 1e-5, "atol": 1e-5, "why": "float32, 70 terms"},
    "bfloat16": {"rtol": 2e-2, "atol": 2e-2, "why": "weights and result rounded to bfloat16"},
}


@feature("sdpa", "Scaled dot product attention")
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sdpa(device, rng, dtype, causal):
    """The kernel torch chooses by itself."""
    q, k, v = inputs(rng, getattr(torch, dtype))
    out = sdpa(q.to(device), k.to(device), v.to(device), is_causal=causal)
    assert_close(out, textbook(q, k, v, causal=causal), **TOLERANCE[dtype])


@feature(
    "sdpa-backends",
    "Choice of the attention kernel (torch.nn.attention.sdpa_kernel)",
    refusals=[
        Refusal(
            "ModuleNotFoundError",
            r"No module named 'torch\.nn\.attention'",
            "https://pytorch.org/docs/stable/nn.attention.html: new in 2.3",
        ),
        Refusal(
            "RuntimeError",
            r"No available kernel|No viable backend",
            "the kernel is not built in, or not for this device",
        ),
    ],
)
@pytest.mark.parametrize("backend", ["MATH", "FLASH_ATTENTION"])
def test_backends(device, rng, backend):
    """A named kernel alone, in bfloat16."""
    from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: PLC0415 - absent in old torch

    q, k, v = inputs(rng, torch.bfloat16)
    with sdpa_kernel(getattr(SDPBackend, backend)):
        out = sdpa(q.to(device), k.to(device), v.to(device), is_causal=True)
    assert_close(out, textbook(q, k, v, causal=True), **TOLERANCE["bfloat16"])


@feature(
    "sdpa-gqa",
    "Grouped-query attention (enable_gqa)",
    refusals=[
        Refusal(
            "TypeError",
            r"unexpected keyword argument '?enable_gqa",
            "https://github.com/pytorch/pytorch/pull/132689: new in 2.5",
        )
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gqa(device, rng, dtype):
    """Eight query heads share two key and value heads."""
    q, k, v = inputs(rng, getattr(torch, dtype), heads=8, kv_heads=2)
    out = sdpa(q.to(device), k.to(device), v.to(device), is_causal=True, enable_gqa=True)
    assert_close(out, textbook(q, k, v, causal=True), **TOLERANCE[dtype])


def flex_or_refusal():
    """FlexAttention's entry point; old torch has no such module."""
    from torch.nn.attention.flex_attention import flex_attention  # noqa: PLC0415

    return flex_attention


def alibi(score, _batch, head, query, key):
    """A causal mask and a penalty for distance: what a fixed kernel cannot do."""
    penalty = (query - key) * 2.0 ** -(head + 1.0)
    return torch.where(query >= key, score - penalty, -float("inf"))


def textbook_alibi(q, k, v):
    """The same in float64."""
    length = q.shape[2]
    distance = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    slopes = 2.0 ** -(torch.arange(q.shape[1]) + 1.0)
    scores = q.double() @ k.double().transpose(-2, -1) / math.sqrt(q.shape[-1])
    scores = scores - distance.double() * slopes.double()[:, None, None]
    return scores.masked_fill(distance < 0, -math.inf).softmax(-1) @ v.double()


NO_FLEX = Refusal(
    "ModuleNotFoundError",
    r"No module named 'torch\.nn\.attention(\.flex_attention)?'",
    "https://pytorch.org/blog/flexattention/: new in 2.5",
)


@feature("flex-attention", "FlexAttention, eager", refusals=[NO_FLEX])
@pytest.mark.filterwarnings("ignore")
def test_flex_eager(device, rng):
    """A score function of our own, interpreted."""
    flex_attention = flex_or_refusal()
    q, k, v = inputs(rng, torch.float32, length=128)
    out = flex_attention(q.to(device), k.to(device), v.to(device), score_mod=alibi)
    assert_close(out, textbook_alibi(q, k, v), **TOLERANCE["float32"])


@feature(
    "flex-attention-compiled",
    "FlexAttention, compiled",
    needs=["compiler"],
    refusals=[
        NO_FLEX,
        Refusal(
            "Exception",
            r"FlexAttention.*(CPU|cpu).*not supported|flex attention.*only.*CUDA|"
            r"torch\.compile on current platform is not supported for CPU",
            "torch/_inductor/kernel/flex_attention.py: CPU since 2.6, with AVX2 or AVX-512",
        ),
    ],
)
def test_flex_compiled(device, rng):
    """The same score function fused into a kernel."""
    flex_attention = torch.compile(flex_or_refusal(), fullgraph=True)
    q, k, v = inputs(rng, torch.float32, length=128)
    with torch.no_grad():
        out = flex_attention(q.to(device), k.to(device), v.to(device), score_mod=alibi)
    assert_close(
        out, textbook_alibi(q, k, v), rtol=5e-3, atol=5e-3, why="the kernel may use TF32 products"
    )
