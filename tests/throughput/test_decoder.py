"""Tokens per second of a small Llama-shaped decoder at batch 1."""

import copy

import pytest
import torch

from matrix.inside import assert_relative, workload
from matrix.inside.decoder import Decoder, Shape

SHAPES = {
    "cpu": Shape(
        layers=4, hidden=512, inner=1408, heads=8, kv_heads=2, vocabulary=4096, context=256
    ),
    "cuda": Shape(
        layers=16, hidden=2048, inner=8192, heads=32, kv_heads=8, vocabulary=32768, context=1024
    ),
}
DTYPE = {"cpu": torch.float32, "cuda": torch.bfloat16}
LIMIT = {"cpu": 1e-4, "cuda": 3e-2}


@pytest.fixture
def model(device, rng):
    """A decoder with random weights; ``rng`` has seeded torch."""
    with torch.device(device):
        decoder = Decoder(SHAPES[device.type]).to(DTYPE[device.type]).eval()
    return decoder.requires_grad_(requires_grad=False)


def check(step, model, device, rng):
    """Twelve tokens through ``step`` give the logits of a float64 copy of the model."""
    reference = copy.deepcopy(model).double()
    tokens = torch.randint(0, model.shape.vocabulary, (12,), generator=rng).to(device)
    for position in range(len(tokens)):
        at = torch.tensor([position], device=device)
        token = tokens[position : position + 1]
        logits, expected = step(token, at).clone(), reference(token, at)
    assert_relative(logits, expected, limit=LIMIT[device.type], why="the last of 12 tokens")


def decode(step, device, steps=8):
    """A callable that decodes ``steps`` tokens greedily, each from the one before."""
    token = torch.zeros(1, dtype=torch.long, device=device)
    places = [torch.tensor([100 + step], device=device) for step in range(steps)]

    def run():
        current = token
        for at in places:
            current = step(current, at).argmax(-1)
        return current

    return run


@workload("decoder", "Small Llama-shaped decoder, batch 1, tokens per second")
def test_eager(device, rng, measure, model):
    """Operator by operator: on a GPU this is the time to launch kernels."""
    with torch.inference_mode():
        check(model, model, device, rng)
        measure(decode(model, device), work={"tokens": 8}, params={"mode": "eager"})


# On a CPU compiling it takes up to a minute, and nobody serves from there.
@workload(
    "decoder",
    "Small Llama-shaped decoder, batch 1, tokens per second",
    needs=["accelerator", "compiler"],
)
def test_compiled(device, rng, measure, model):
    """Compiled and captured in graphs; the first call's time is a metric of its own."""
    mode = "reduce-overhead"
    step = torch.compile(model, fullgraph=True, mode=mode)
    with torch.no_grad():
        zero = torch.zeros(1, dtype=torch.long, device=device)
        measure.once(lambda: step(zero, zero), metric="first-call")
        check(step, model, device, rng)
        measure(decode(step, device), work={"tokens": 8}, params={"mode": mode})
