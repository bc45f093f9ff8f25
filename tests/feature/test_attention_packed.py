"""Attention as engines batch it: sequences of unlike length, packed or in pages of a cache."""

import inspect

import pytest
import torch
from textbook import TOLERANCE, attention, future, inputs

from matrix.inside import Refusal, assert_close, feature, poisoned, randn

sdpa = torch.nn.functional.scaled_dot_product_attention
LENGTHS = (3, 31, 17)


@feature(
    "sdpa-jagged",
    "Attention over a jagged batch (torch.nested)",
    purpose="A batch of prompts of unlike length without padding, by torch's own means.",
    refusals=[
        Refusal(
            "AttributeError",
            r"^module 'torch' has no attribute 'jagged'$",
            "torch/__init__.py: the jagged layout is new in 2.2",
        ),
        Refusal(
            "RuntimeError",
            r"^No viable backend for scaled_dot_product_attention was found",
            "torch/nested/_internal/sdpa.py: its math path, all that a CPU has, is never causal",
        ),
        Refusal(
            "RuntimeError",
            r"^CUDA error: CUDA driver version is insufficient",
            "torch/nested/_internal/sdpa.py: a CUDA build asks for the GPU's kernels even on a CPU",
        ),
    ],
)
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.filterwarnings("ignore")
def test_jagged(device, rng, causal):
    """Each sequence as if it were alone."""
    parts = [inputs(rng, torch.bfloat16, length=length) for length in LENGTHS]
    q, k, v = (
        torch.nested.nested_tensor(
            [part[which][0].transpose(0, 1).to(device) for part in parts], layout=torch.jagged
        ).transpose(1, 2)
        for which in range(3)
    )
    # unbound as it was bound: until 2.4 only the first dimension of a sequence may be jagged
    out = sdpa(q, k, v, is_causal=causal).transpose(1, 2)
    for got, part, length in zip(out.unbind(), parts, LENGTHS):
        hidden = future(length) if causal else None
        expected = attention(*(each[0] for each in part), hidden=hidden)
        assert_close(got.transpose(0, 1), expected, **TOLERANCE["bfloat16"])


@feature(
    "varlen-attention",
    "Attention over packed sequences (torch.nn.attention.varlen)",
    purpose="Prefill as engines batch it: prompts one after another and where each begins.",
    refusals=[
        Refusal(
            "ModuleNotFoundError",
            r"No module named 'torch\.nn\.attention(\.varlen)?'",
            "https://github.com/pytorch/pytorch/pull/164502: first in 2.10",
        ),
        Refusal(
            "NotImplementedError",
            r"Could not run 'aten::_flash_attention_forward' .* 'CPU' backend",
            "torch/nn/attention/varlen.py: FlashAttention or cuDNN, so no CPU",
        ),
    ],
)
def test_varlen(device, rng):
    """Causal, which each release spells in its own way."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - absent in old torch

    spelled = inspect.signature(varlen_attn).parameters
    causal = {"is_causal": True} if "is_causal" in spelled else {"window_size": (-1, 0)}
    starts = torch.tensor([0, *LENGTHS]).cumsum(0).int().to(device)
    q, k, v = (randn(rng, sum(LENGTHS), 4, 64, dtype=torch.bfloat16) for _ in range(3))
    packed = [each.to(device) for each in (q, k, v)]
    out = varlen_attn(*packed, starts, starts, max(LENGTHS), max(LENGTHS), **causal)
    for got, *part in zip(*(each.split(LENGTHS) for each in (out, q, k, v))):
        expected = attention(*(each.transpose(0, 1) for each in part), hidden=future(len(got)))
        assert_close(got.transpose(0, 1), expected, **TOLERANCE["bfloat16"])


@feature(
    "paged-kv",
    "Attention over a paged cache (index_copy_, index_select)",
    purpose="Tokens of a sequence lie in pages anywhere in the cache; a table says where.",
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_paged(device, rng, dtype):
    """A decode step of each sequence; what nobody wrote into the cache is NaN."""
    page, pages, lengths = 16, 12, (5, 64, 33)
    kind = getattr(torch, dtype)
    caches = [poisoned(pages * page, 2, 32, device=device, dtype=kind) for _ in range(2)]
    free = torch.randperm(pages, generator=rng)
    table = [part.repeat_interleave(page) * page for part in free.split([1, 4, 3, 4])[:3]]
    for offsets, length in zip(table, lengths):
        slots = (offsets + torch.arange(len(offsets)) % page)[:length].to(device)
        q, k, v = inputs(rng, kind, heads=8, kv_heads=2, length=1, keys=length)
        for cache, new in zip(caches, (k, v)):
            cache.index_copy_(0, slots, new[0].transpose(0, 1).to(device))
        found = [
            cache.index_select(0, slots).transpose(0, 1).repeat_interleave(4, 0)[None]
            for cache in caches
        ]
        out = sdpa(q[:1].to(device), *found)
        assert_close(out, attention(q[:1], k[:1], v[:1]), **TOLERANCE[dtype])
