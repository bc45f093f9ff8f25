"""A small decoder with the shape of Llama, without a tokenizer: prefill and decode with a cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder; ``heads`` share ``kv_heads`` keys and values."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int

    @property
    def width(self) -> int:
        """Elements of one head."""
        return self.hidden // self.heads


class Norm(nn.Module):
    """Root mean square norm, computed in at least float32."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape whose last dimension is ``size``."""
        wide = x if x.dtype == torch.float64 else x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x) * self.weight


class Block(nn.Module):
    """Attention over a cache of keys and values, then a gated MLP."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv = shape.kv_heads * shape.width
        self.norms = nn.ModuleList([Norm(shape.hidden), Norm(shape.hidden)])
        self.qkv = nn.Linear(shape.hidden, shape.hidden + 2 * kv, bias=False)
        self.out = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.gate_up = nn.Linear(shape.hidden, 2 * shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, shape.hidden, bias=False)
        for name in ("keys", "values"):
            cache = torch.zeros(1, shape.kv_heads, shape.context, shape.width)
            self.register_buffer(name, cache)

    def forward(self, x: torch.Tensor, at: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """Tokens [1, length, hidden] at positions ``at`` [length]; ``turn`` is their rotation."""
        shape, length = self.shape, x.shape[1]
        kv = shape.kv_heads * shape.width
        q, k, v = self.qkv(self.norms[0](x)).split([shape.hidden, kv, kv], -1)
        q = rotate(q.view(1, length, shape.heads, shape.width).transpose(1, 2), turn)
        k = rotate(k.view(1, length, shape.kv_heads, shape.width).transpose(1, 2), turn)
        self.keys.index_copy_(2, at, k)
        self.values.index_copy_(2, at, v.view(1, length, shape.kv_heads, -1).transpose(1, 2))
        seen = (torch.arange(shape.context, device=x.device) <= at[:, None])[None, None]
        # Repeated by hand: enable_gqa is a feature of its own, and absent in old releases.
        repeats = shape.heads // shape.kv_heads
        mixed = functional.scaled_dot_product_attention(
            q,
            self.keys.repeat_interleave(repeats, 1),
            self.values.repeat_interleave(repeats, 1),
            attn_mask=seen,
        )
        x = x + self.out(mixed.transpose(1, 2).reshape(1, length, shape.hidden))
        gate, up = self.gate_up(self.norms[1](x)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * up)


class Decoder(nn.Module):
    """Embedding, blocks, norm and head; one sequence, any number of its tokens at a time."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.hidden)
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.layers)])
        self.norm = Norm(shape.hidden)
        self.head = nn.Linear(shape.hidden, shape.vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """Logits [length, vocabulary] after ``tokens`` [length] at positions ``at`` [length].

        The cache must hold all positions before the first of ``at``.
        """
        half = self.shape.width // 2
        speeds = 10000.0 ** (-torch.arange(half, device=at.device, dtype=torch.float64) / half)
        angles = at.double()[:, None] * speeds
        x = self.embedding(tokens)[None]
        turn = torch.stack([angles.cos(), angles.sin()]).to(x.dtype)
        for block in self.blocks:
            x = block(x, at, turn)
        return self.head(self.norm(x))[0]


def rotate(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding of [.., length, width]; ``turn`` is cosines and sines.

    ``turn`` is shaped [2, length, width / 2].
    """
    cosine, sine = turn
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)
