"""Attention over a whole prompt, bound by compute."""

import math

import pytest
import torch

from matrix.inside import assert_relative, randn, workload

SHAPE = {"cpu": (1, 4, 512, 64), "cuda": (1, 32, 8192, 128)}


@workload("prefill-attention", "Causal attention over a prompt (SDPA)")
@pytest.mark.parametrize("dtype", ["bfloat16"])
def test_prefill(device, rng, measure, dtype):
    """Half the score matrix is masked, so the work is half of 4 b h n^2 d."""
    batch, heads, length, width = SHAPE[device.type]
    kind = getattr(torch, dtype)
    q, k, v = (randn(rng, *SHAPE[device.type], dtype=kind).to(device) for _ in range(3))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    out = sdpa(q, k, v, is_causal=True)
    tail = slice(length - 32, length)
    assert_relative(out[:, :1, tail], last_rows(q, k, v, tail), limit=2e-2, why="bfloat16 weights")
    measure(
        lambda: sdpa(q, k, v, is_causal=True),
        work={"flop": 2 * batch * heads * length**2 * width},
        params={"batch": batch, "heads": heads, "length": length, "width": width},
    )


def last_rows(q, k, v, tail):
    """The first head's last rows in float64."""
    q, k, v = (values[:, :1].double() for values in (q, k, v))
    scores = q[:, :, tail] @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    ahead = torch.arange(k.shape[2], device=k.device) > torch.arange(
        tail.start, tail.stop, device=k.device
    ).unsqueeze(1)
    return scores.masked_fill(ahead, -math.inf).softmax(-1) @ v
