"""The textbook formula of attention in float64, and inputs for it."""

import math

import torch

from matrix.inside import randn

TOLERANCE = {
    "float32": {"rtol": 1e-5, "atol": 1e-5, "why": "float32, 70 terms"},
    "bfloat16": {"rtol": 2e-2, "atol": 2e-2, "why": "weights and result rounded to bfloat16"},
}


def attention(q, k, v, *, hidden=None):
    """softmax(q k^T / sqrt(d)) v in float64, shaped [.., heads, length, width].

    Heads of ``k`` and ``v`` are repeated for those of ``q``; scores are dropped where ``hidden``
    (a mask that broadcasts to [.., query length, key length]) is true.
    """
    q, k, v = q.double(), k.double(), v.double()
    groups = q.shape[-3] // k.shape[-3]
    k, v = k.repeat_interleave(groups, -3), v.repeat_interleave(groups, -3)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if hidden is not None:
        scores = scores.masked_fill(hidden, -math.inf)
    return scores.softmax(-1) @ v


def future(length, keys=None, *, seen_before=0):
    """Which of ``keys`` come after each of ``length`` queries.

    ``seen_before`` keys precede the first query's own, as in a cache.
    """
    return torch.ones(length, keys or length, dtype=torch.bool).triu(1 + seen_before)


def inputs(rng, dtype, *, heads=4, kv_heads=4, length=70, keys=None, width=32):
    """Query, key and value of a batch of 2 on the CPU, shaped [batch, heads, length, width]."""
    return (
        randn(rng, 2, heads, length, width, dtype=dtype),
        randn(rng, 2, kv_heads, keys or length, width, dtype=dtype),
        randn(rng, 2, kv_heads, keys or length, width, dtype=dtype),
    )
