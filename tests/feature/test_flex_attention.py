"""FlexAttention: a score function or a mask of one's own inside a fused kernel."""

import math

import pytest
import torch
from textbook import TOLERANCE, attention, future, inputs

from matrix.inside import Refusal, assert_close, feature, poisoned

NO_FLEX = Refusal(
    "ModuleNotFoundError",
    r"No module named 'torch\.nn\.attention(\.flex_attention)?'",
    "https://pytorch.org/blog/flexattention/: new in 2.5",
)
NOT_HERE = Refusal(
    "Exception",
    r"FlexAttention.*(CPU|cpu).*not supported|flex attention.*only.*CUDA|"
    r"torch\.compile on current platform is not supported for CPU|"
    r"LoweringException: RuntimeError: Found no NVIDIA driver",
    "torch/_inductor/kernel/flex_attention.py: CPU since 2.6, with AVX2 or AVX-512; 2.5 has only"
    " the template for GPUs",
)
FUSED = {"rtol": 5e-3, "atol": 5e-3, "why": "the kernel may use TF32 products"}


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


@feature(
    "flex-attention",
    "FlexAttention, eager",
    purpose="The reference for a new attention variant before its kernel is compiled.",
    refusals=[NO_FLEX],
)
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
    purpose="Attention variants (ALiBi, soft caps, sinks) without a kernel written by hand.",
    needs=["compiler"],
    refusals=[NO_FLEX, NOT_HERE],
)
def test_flex_compiled(device, rng):
    """The same score function fused into a kernel."""
    flex_attention = torch.compile(flex_or_refusal(), fullgraph=True)
    q, k, v = inputs(rng, torch.float32, length=128)
    with torch.no_grad():
        out = flex_attention(q.to(device), k.to(device), v.to(device), score_mod=alibi)
    assert_close(out, textbook_alibi(q, k, v), **FUSED)


@feature(
    "flex-block-mask",
    "Block masks of FlexAttention (create_block_mask)",
    purpose="Packed prompts: blocks in which nothing is seen cost no work.",
    refusals=[NO_FLEX],
)
@pytest.mark.filterwarnings("ignore")
def test_block_mask(device, rng):
    """Three packed documents; the mask keeps only the blocks that a document touches."""
    flex_attention = flex_or_refusal()
    from torch.nn.attention.flex_attention import create_block_mask  # noqa: PLC0415 - as above

    document = torch.arange(3).repeat_interleave(torch.tensor([128, 256, 128]))
    there = document.to(device)

    def visible(_batch, _head, query, key):
        return (there[query] == there[key]) & (query >= key)

    mask = create_block_mask(visible, None, None, 512, 512, device=device.type, BLOCK_SIZE=128)
    kept = mask.to_dense()[0, 0].cpu().tolist()
    assert kept == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    q, k, v = inputs(rng, torch.float32, length=512)
    out = flex_attention(q.to(device), k.to(device), v.to(device), block_mask=mask)
    hidden = future(512) | (document[:, None] != document[None, :])
    assert_close(out, attention(q, k, v, hidden=hidden), **TOLERANCE["float32"])


@feature(
    "flex-paged-kv",
    "FlexAttention over a paged cache, compiled",
    purpose="Decoding from pages without copying them together first.",
    needs=["compiler"],
    refusals=[NO_FLEX, NOT_HERE],
)
def test_paged(device, rng):
    """The mask turns a place in the cache back into a position of the sequence."""
    flex_attention = torch.compile(flex_or_refusal(), fullgraph=True)
    from torch.nn.attention.flex_attention import create_block_mask  # noqa: PLC0415 - as above

    page, pages, length, queries = 128, 6, 300, 128
    table = torch.randperm(pages, generator=rng)[:3]  # the physical page of each logical one
    q, k, v = inputs(rng, torch.float32, length=queries, keys=length)
    slots = table.repeat_interleave(page)[:length] * page + torch.arange(length) % page
    # Not NaN: a weight of zero does not silence it. Unwritten keys that count would still show.
    caches = [torch.full((2, 4, pages * page, 32), 50.0, device=device) for _ in range(2)]
    for cache, new in zip(caches, (k, v)):
        cache.index_copy_(2, slots.to(device), new.to(device))
    logical = torch.full((pages,), -1)
    logical[table] = torch.arange(3)
    logical = logical.to(device)

    def visible(_batch, _head, query, slot):
        owner = logical[slot // page]
        key = owner * page + slot % page
        return (owner >= 0) & (key <= query + (length - queries))

    mask = create_block_mask(
        visible, None, None, queries, pages * page, device=device.type, BLOCK_SIZE=page
    )
    out = poisoned(2, 4, queries, 32, device=device, dtype=torch.float32)
    with torch.no_grad():
        out.copy_(flex_attention(q.to(device), *caches, block_mask=mask))
    hidden = future(queries, length, seen_before=length - queries)
    assert_close(out, attention(q, k, v, hidden=hidden), **FUSED)
