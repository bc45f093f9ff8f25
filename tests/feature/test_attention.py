"""Scaled dot product attention against the textbook formula in float64."""

import pytest
import torch
from textbook import TOLERANCE, attention, future, inputs

from matrix.inside import Refusal, assert_close, feature

sdpa = torch.nn.functional.scaled_dot_product_attention
NO_MODULE = Refusal(
    "ModuleNotFoundError",
    r"No module named 'torch\.nn\.attention'",
    "https://pytorch.org/docs/stable/nn.attention.html: new in 2.3",
)
NO_KERNEL = Refusal(
    "RuntimeError",
    r"No available kernel|No viable backend",
    "the kernel is not built in, or not for this device",
)


@feature(
    "sdpa",
    "Scaled dot product attention",
    purpose="Attention where an engine has no kernel of its own, and the encoder of vision models.",
)
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sdpa(device, rng, dtype, causal):
    """The kernel torch chooses by itself."""
    q, k, v = inputs(rng, getattr(torch, dtype))
    out = sdpa(q.to(device), k.to(device), v.to(device), is_causal=causal)
    assert out.dtype == q.dtype
    hidden = future(q.shape[2]) if causal else None
    assert_close(out, attention(q, k, v, hidden=hidden), **TOLERANCE[dtype])


def one_kernel(name, device, rng):
    """The kernel ``name`` alone, in bfloat16."""
    from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: PLC0415 - absent in old torch

    q, k, v = inputs(rng, torch.bfloat16, width=64)
    with sdpa_kernel(getattr(SDPBackend, name)):
        out = sdpa(q.to(device), k.to(device), v.to(device), is_causal=True)
    assert_close(out, attention(q, k, v, hidden=future(q.shape[2])), **TOLERANCE["bfloat16"])


@feature(
    "sdpa-math",
    "Attention by separate operators (SDPBackend.MATH)",
    purpose="The reference that an engine compares its own kernels with.",
    refusals=[NO_MODULE],
)
def test_math(device, rng):
    """There on every device: no refusal of the kernel itself is allowed."""
    one_kernel("MATH", device, rng)


@feature(
    "sdpa-flash",
    "Attention by FlashAttention alone (SDPBackend.FLASH_ATTENTION)",
    purpose="Prefill of the torch-native backends: memory grows with the length, not its square.",
    refusals=[NO_MODULE, NO_KERNEL],
)
def test_flash(device, rng):
    """CUDA, ROCm and the CPU have one each."""
    one_kernel("FLASH_ATTENTION", device, rng)


@feature(
    "sdpa-efficient",
    "Attention by the memory-efficient kernel alone (SDPBackend.EFFICIENT_ATTENTION)",
    purpose="The fused kernel that takes an explicit mask, which FlashAttention does not.",
    refusals=[NO_MODULE, NO_KERNEL],
)
def test_efficient(device, rng):
    """Of GPUs only."""
    one_kernel("EFFICIENT_ATTENTION", device, rng)


@feature(
    "sdpa-cudnn",
    "Attention by cuDNN alone (SDPBackend.CUDNN_ATTENTION)",
    purpose="What torch prefers on Hopper and newer, and what was switched off after regressions.",
    refusals=[
        NO_MODULE,
        NO_KERNEL,
        Refusal(
            "AttributeError",
            r"CUDNN_ATTENTION",
            "https://github.com/pytorch/pytorch/releases/tag/v2.5.0: cuDNN attention",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_cudnn(device, rng):
    """Of NVIDIA GPUs only."""
    one_kernel("CUDNN_ATTENTION", device, rng)


@feature(
    "sdpa-gqa",
    "Grouped-query attention (enable_gqa)",
    purpose="Llama-like models share keys and values among heads; without it they are copied.",
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
    assert_close(out, attention(q, k, v, hidden=future(q.shape[2])), **TOLERANCE[dtype])


@feature(
    "sdpa-causal-lengths",
    "Causal attention of fewer queries than keys (is_causal)",
    purpose="An engine must know which corner is_causal means before it prefills into a cache.",
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_upper_left(device, rng, dtype):
    """Query i sees keys 0 to i, as documented: not what a continued prefill needs."""
    q, k, v = inputs(rng, getattr(torch, dtype), length=24, keys=70)
    out = sdpa(q.to(device), k.to(device), v.to(device), is_causal=True)
    assert_close(out, attention(q, k, v, hidden=future(24, 70)), **TOLERANCE[dtype])


@feature(
    "sdpa-lower-right",
    "Causal attention aligned with the end of the cache (causal_lower_right)",
    purpose="Chunked prefill: the queries are the last tokens of a longer sequence.",
    refusals=[NO_MODULE],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lower_right(device, rng, dtype):
    """Query i of 24 sees the 46 keys before them and its own 0 to i."""
    from torch.nn.attention.bias import causal_lower_right  # noqa: PLC0415 - absent in old torch

    q, k, v = inputs(rng, getattr(torch, dtype), length=24, keys=70)
    out = sdpa(q.to(device), k.to(device), v.to(device), attn_mask=causal_lower_right(24, 70))
    expected = attention(q, k, v, hidden=future(24, 70, seen_before=46))
    assert_close(out, expected, **TOLERANCE[dtype])


@feature(
    "sdpa-mask",
    "Attention with an explicit mask",
    purpose="Tree attention of speculative decoding, sliding windows, padded batches.",
)
@pytest.mark.parametrize("kind", ["boolean", "additive"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_mask(device, rng, dtype, kind):
    """A random mask, another for each sequence; every query sees its own key."""
    q, k, v = inputs(rng, getattr(torch, dtype))
    hidden = (torch.rand(2, 1, 70, 70, generator=rng) < 0.5) & ~torch.eye(70, dtype=torch.bool)
    mask = ~hidden
    if kind == "additive":
        mask = torch.zeros(hidden.shape, dtype=q.dtype).masked_fill(hidden, -float("inf"))
    out = sdpa(q.to(device), k.to(device), v.to(device), attn_mask=mask.to(device))
    assert_close(out, attention(q, k, v, hidden=hidden), **TOLERANCE[dtype])


@feature(
    "sdpa-blind-query",
    "A query that may see nothing gives zeros",
    purpose="Padding rows of a batch, whose NaN would spread through the next layer's norm.",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^a query that may see nothing gives NaN$",
            "https://github.com/pytorch/pytorch/pull/133882: zeros instead of NaN, first in 2.5",
        )
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_blind_query(device, rng, dtype):
    """The others are not touched by it."""
    q, k, v = inputs(rng, getattr(torch, dtype))
    hidden = future(70)
    hidden[64:] = True
    out = sdpa(q.to(device), k.to(device), v.to(device), attn_mask=~hidden.to(device)).cpu()
    seeing = attention(q, k, v, hidden=hidden)[:, :, :64]
    assert_close(out[:, :, :64], seeing, **TOLERANCE[dtype])
    if out[:, :, 64:].isnan().all():
        raise NotImplementedError("a query that may see nothing gives NaN")
    nothing = torch.zeros(2, 4, 6, 32, dtype=torch.float64)
    assert_close(out[:, :, 64:], nothing, rtol=0, atol=0, why="nothing is added up")
