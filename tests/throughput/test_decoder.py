"""Tokens per second of a small Llama-shaped decoder: one sequence, its prompt and its decoding."""

import copy

import pytest
import torch
from torch import nn

from matrix.inside import Refusal, assert_relative, workload
from matrix.inside.capture import Captured
from matrix.inside.decoder import Decoder, Shape
from matrix.inside.fp8 import SCALED_MM, e4m3

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
PROMPT = {"cpu": 128, "cuda": 1024}
FEWEST_ROWS = 32  # of an int8 product on CUDA: more than 16, and engines pad
NO_INT8 = Refusal(
    "RuntimeError",
    r"_int_mm_out_cuda not compiled for (this platform|CUDA)",
    "aten/src/ATen/native/cuda/Blas.cpp",
)


@pytest.fixture
def model(device, rng):
    """A decoder with random weights; ``rng`` has seeded torch."""
    with torch.device(device):
        decoder = Decoder(SHAPES[device.type]).to(DTYPE[device.type]).eval()
    return decoder.requires_grad_(requires_grad=False)


def check(step, model, device, rng, limit=None):
    """Twelve tokens through ``step`` give the logits of a float64 copy of ``model``."""
    reference = copy.deepcopy(model).double()
    tokens = torch.randint(0, model.shape.vocabulary, (12,), generator=rng).to(device)
    for position in range(len(tokens)):
        at = torch.tensor([position], device=device)
        token = tokens[position : position + 1]
        logits, expected = step(token, at).clone(), reference(token, at)
    assert_relative(
        logits, expected, limit=limit or LIMIT[device.type], why="the last of 12 tokens"
    )


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


class Replayed:
    """A step of the decoder in a graph that feeds itself: the next token, the next place."""

    def __init__(self, step, device, context):
        self.token = torch.zeros(1, dtype=torch.long, device=device)
        self.at = torch.full((1,), 100, device=device)

        def feed():
            logits = step(self.token, self.at)
            self.token.copy_(logits.argmax(-1))
            self.at.copy_((self.at + 1) % context)
            return logits

        self.graph = Captured(feed)

    def __call__(self, token, at):
        """The logits of one token at one place."""
        self.token.copy_(token)
        self.at.copy_(at)
        self.graph()
        return self.graph.result


class Int8(nn.Module):
    """A linear layer whose activations are quantised per token as they come (w8a8)."""

    def __init__(self, linear):
        super().__init__()
        weight = linear.weight.float()
        self.scale = weight.abs().amax(1, keepdim=True).t() / 127
        self.codes = (weight.t() / self.scale).round().to(torch.int8).t().contiguous().t()

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        scale = rows.float().abs().amax(-1, keepdim=True) / 127
        codes = (rows.float() / scale).round().to(torch.int8)
        count = len(codes)
        if count < FEWEST_ROWS:
            codes = nn.functional.pad(codes, (0, 0, 0, FEWEST_ROWS - count))
        sums = torch._int_mm(codes, self.codes)[:count]
        return (sums.float() * scale * self.scale).to(x.dtype).view(*x.shape[:-1], -1)


class Fp8(nn.Module):
    """A linear layer with a scale per token and per channel, quantised as they come."""

    def __init__(self, linear):
        super().__init__()
        self.kind = e4m3()
        self.top = torch.finfo(self.kind).max
        weight = linear.weight.float()
        self.scale = weight.abs().amax(1, keepdim=True).t().contiguous() / self.top
        self.codes = (weight / self.scale.t()).to(self.kind).t()

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        scale = rows.float().abs().amax(-1, keepdim=True) / self.top
        codes = (rows.float() / scale).to(self.kind)
        out = torch._scaled_mm(
            codes, self.codes, scale_a=scale, scale_b=self.scale, out_dtype=torch.bfloat16
        )
        out = out[0] if isinstance(out, tuple) else out  # two results before 2.5
        return out.view(*x.shape[:-1], -1)


def quantised(model, layer):
    """A copy of ``model`` whose blocks have ``layer`` for their linear layers."""
    found = copy.deepcopy(model)
    for block in found.blocks:
        for name in ("qkv", "out", "gate_up", "down"):
            setattr(block, name, layer(getattr(block, name)))
    return found


DECODING = "Small Llama-shaped decoder, one sequence, decoding"


@workload("decoder", DECODING)
def test_eager(device, rng, measure, model):
    """Operator by operator: on a GPU this is the time to launch kernels."""
    with torch.inference_mode():
        check(model, model, device, rng)
        measure(decode(model, device), work={"tokens": 1}, calls=8, params={"mode": "eager"})


@workload("decoder", DECODING, needs=["accelerator"])
def test_graph(device, rng, measure, model):
    """One graph per step, which feeds itself."""
    with torch.inference_mode():
        step = Replayed(model, device, model.shape.context)
        check(step, model, device, rng)
        measure(step.graph, work={"tokens": 1}, params={"mode": "graph"})


# On a CPU compiling it takes up to a minute, and nobody serves from there.
@workload("decoder", DECODING, needs=["accelerator", "compiler"])
def test_compiled(device, rng, measure, model):
    """Each block compiled, once for all of them, and one graph per step around them."""
    compiled = copy.deepcopy(model)
    for block in compiled.blocks:
        block.forward = torch.compile(block.forward)
    # no_grad: Dynamo guards on inference mode, and old releases break the graph at it
    with torch.no_grad():
        zero = torch.zeros(1, dtype=torch.long, device=device)
        measure.once(lambda: compiled(zero, zero), metric="first-call")
        step = Replayed(compiled, device, model.shape.context)
        check(step, model, device, rng)
        measure(step.graph, work={"tokens": 1}, params={"mode": "graph, compiled"})


@workload("decoder", DECODING, needs=["accelerator"], refusals=[NO_INT8])
def test_int8(device, rng, measure, model):
    """Weights and activations in int8, in one graph per step."""
    with torch.inference_mode():
        step = Replayed(quantised(model, Int8), device, model.shape.context)
        check(step, model, device, rng, limit=0.06)
        measure(step.graph, work={"tokens": 1}, params={"mode": "graph, int8"})


@workload("decoder", DECODING, needs=["accelerator"], refusals=SCALED_MM)
def test_fp8(device, rng, measure, model):
    """Weights and activations in fp8, in one graph per step."""
    with torch.inference_mode():
        step = Replayed(quantised(model, Fp8), device, model.shape.context)
        check(step, model, device, rng, limit=0.15)
        measure(step.graph, work={"tokens": 1}, params={"mode": "graph, fp8"})


PREFILL = "Small Llama-shaped decoder, one sequence, its prompt"


def measure_prompt(measure, model, run, device, rng, mode, limit=None):
    """Check the logits of the last tokens of a prompt, and time it."""
    length = PROMPT[device.type]
    tokens = torch.randint(0, model.shape.vocabulary, (length,), generator=rng).to(device)
    places = torch.arange(length, device=device)
    expected = copy.deepcopy(model).double()(tokens, places)[-8:]
    logits = run(tokens, places)[-8:]
    assert_relative(logits, expected, limit=limit or LIMIT[device.type], why="the last 8 tokens")
    measure(
        lambda: run(tokens, places),
        work={"tokens": length},
        params={"mode": mode, "length": length},
    )


@workload("decoder-prefill", PREFILL)
def test_prompt(device, rng, measure, model):
    """Operator by operator."""
    with torch.inference_mode():
        measure_prompt(measure, model, model, device, rng, "eager")


@workload("decoder-prefill", PREFILL, needs=["accelerator"], refusals=[NO_INT8])
def test_prompt_int8(device, rng, measure, model):
    """Weights and activations in int8."""
    with torch.inference_mode():
        run = quantised(model, Int8)
        measure_prompt(measure, model, run, device, rng, "eager, int8", limit=0.06)


@workload("decoder-prefill", PREFILL, needs=["accelerator"], refusals=SCALED_MM)
def test_prompt_fp8(device, rng, measure, model):
    """Weights and activations in fp8."""
    with torch.inference_mode():
        run = quantised(model, Fp8)
        measure_prompt(measure, model, run, device, rng, "eager, fp8", limit=0.15)
