"""The linear layers of decoding: few rows against a large weight, bound by memory bandwidth."""

import pytest
import torch

from matrix.inside import assert_relative, poisoned, randn, workload

HIDDEN = {"cpu": (2048, 5632), "cuda": (8192, 28672)}


@workload("decode-linear", "Linear layer of one decoding step")
@pytest.mark.parametrize("batch", [1, 8])
def test_decode_linear(device, rng, measure, batch):
    """batch x hidden times the up projection; the bytes are those of weight, input and output."""
    hidden, inner = HIDDEN[device.type]
    weight = (randn(rng, inner, hidden) / hidden**0.5).to(device, torch.bfloat16)
    x = randn(rng, batch, hidden, dtype=torch.bfloat16).to(device)
    out = poisoned(batch, inner, device=device, dtype=torch.bfloat16)
    torch.mm(x, weight.t(), out=out)
    columns = slice(inner - 256, inner)
    expected = x.double() @ weight[columns].double().t()
    assert_relative(out[:, columns], expected, limit=5e-3, why="bfloat16 result")
    moved = 2 * (weight.numel() + x.numel() + out.numel())
    measure(
        lambda: torch.mm(x, weight.t(), out=out),
        work={"bytes": moved},
        params={"hidden": hidden, "inner": inner, "dtype": "bfloat16"},
    )


@workload("copy", "Copy within memory: the bandwidth ceiling")
def test_copy(device, rng, measure):
    """A copy larger than the caches; bytes read and written both count."""
    megabytes = {"cpu": 128, "cuda": 4096}[device.type]
    source = randn(rng, 1 << 20).to(device).repeat(megabytes // 4)
    target = poisoned(source.numel(), device=device, dtype=torch.float32)
    target.copy_(source)
    assert torch.equal(target, source)
    measure(
        lambda: target.copy_(source),
        work={"bytes": 2 * source.numel() * 4},
        params={"megabytes": megabytes},
    )
