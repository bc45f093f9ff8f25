"""One decoding step over the batch sizes an engine captures: up to which do graphs pay?"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from matrix.inside import assert_relative, drawn, workload
from matrix.inside.capture import Captured
from matrix.inside.decoder import Norm

LAYERS, HIDDEN, INNER, HEADS, KV_HEADS, LENGTH = 8, 2048, 8192, 16, 4, 512
WIDTH = HIDDEN // HEADS
BATCHES = (1, 8, 64, 256, 768)


class Layer(nn.Module):
    """Grouped attention over a full cache of ``LENGTH`` tokens each, then a gated MLP."""

    def __init__(self, batch):
        super().__init__()
        kv = KV_HEADS * WIDTH
        self.norms = nn.ModuleList([Norm(HIDDEN), Norm(HIDDEN)])
        self.qkv = nn.Linear(HIDDEN, HIDDEN + 2 * kv, bias=False)
        self.out = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.gate_up = nn.Linear(HIDDEN, 2 * INNER, bias=False)
        self.down = nn.Linear(INNER, HIDDEN, bias=False)
        for name in ("keys", "values"):
            self.register_buffer(name, torch.randn(batch, KV_HEADS, LENGTH, WIDTH))

    def forward(self, x):
        """One token of each sequence [batch, hidden]; its keys take the last place of the cache."""
        kv = KV_HEADS * WIDTH
        q, k, v = self.qkv(self.norms[0](x)).split([HIDDEN, kv, kv], -1)
        self.keys[:, :, -1] = k.view(-1, KV_HEADS, WIDTH)
        self.values[:, :, -1] = v.view(-1, KV_HEADS, WIDTH)
        # the heads that share keys are the rows of one product
        grouped = q.view(-1, KV_HEADS, HEADS // KV_HEADS, WIDTH)
        mixed = functional.scaled_dot_product_attention(grouped, self.keys, self.values)
        x = x + self.out(mixed.reshape(-1, HIDDEN))
        gate, up = self.gate_up(self.norms[1](x)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * up)


@workload("decode-step", "One decoding step of a batch, launched or replayed from a graph",
          needs=["accelerator"])  # fmt: skip
@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("batch", BATCHES)
def test_step(device, rng, measure, batch, mode):
    """Eight layers in bfloat16, a cache of 512 tokens per sequence."""
    with torch.inference_mode():
        with torch.device(device):
            layers = nn.Sequential(*(Layer(batch) for _ in range(LAYERS))).to(torch.bfloat16)
        x = drawn(rng, batch, HIDDEN, device=device).to(torch.bfloat16)
        # of few sequences: the reference takes four times the memory
        few = copy.deepcopy(layers) if batch == 1 else first_sequences(layers, 2)
        expected = few.double()(x[:2].double())
        if mode == "graph":
            step = Captured(lambda: layers(x))
            measure.record("graph-memory", [max(step.bytes, 1)], unit="B", better="lower")
            step.result.fill_(float("nan"))
            step()
            result = step.result
        else:
            step = lambda: layers(x)  # noqa: E731 - the same call as the graph's
            result = step()
        assert_relative(result[:2], expected, limit=3e-2, why="eight layers in bfloat16")
        measure(step, work={"tokens": batch}, params={"layers": LAYERS, "hidden": HIDDEN})


def first_sequences(layers, count):
    """A copy of the layers with the cache of the first sequences only."""
    caches = [(layer.keys, layer.values) for layer in layers]
    for layer in layers:
        layer.keys, layer.values = layer.keys[:count].clone(), layer.values[:count].clone()
    few = copy.deepcopy(layers)
    for layer, (keys, values) in zip(layers, caches):
        layer.keys, layer.values = keys, values
    return few
