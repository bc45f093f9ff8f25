"""A tiny decoder without a tokenizer: all an engine does for a request, in small."""

import copy
from dataclasses import replace

import pytest
import torch

from matrix.inside import assert_close, feature, poisoned
from matrix.inside.decoder import Decoder, Shape

SHAPE = Shape(layers=2, hidden=64, inner=176, heads=4, kv_heads=2, vocabulary=500, context=40)
PROMPT, STEPS = 9, 12
FLOAT32 = {"rtol": 1e-4, "atol": 1e-4, "why": "float32 through two layers of width 64"}


@pytest.fixture
def model(device, rng):
    """A decoder in float32; its random weights come from ``rng``'s seed, alike on every device."""
    decoder = Decoder(SHAPE).eval().requires_grad_(requires_grad=False)
    return decoder.to(device)


@pytest.fixture
def tokens(rng):
    """A prompt and what follows it."""
    return torch.randint(0, SHAPE.vocabulary, (PROMPT + STEPS,), generator=rng)


def places(first, last, device):
    """Positions ``first`` to ``last``, the latter not among them."""
    return torch.arange(first, last, device=device)


def reference(model, tokens):
    """Logits of all tokens in float64 on the CPU, in one pass that needs no cache."""
    double = copy.deepcopy(model).cpu().double()
    return double(tokens, places(0, len(tokens), "cpu"))


def check(step, model, tokens, device):
    """Prefill by the model, then the given tokens one by one through ``step``."""
    there = tokens.to(device)
    out = poisoned(STEPS, SHAPE.vocabulary, device=device, dtype=torch.float32)
    model(there[:PROMPT], places(0, PROMPT, device))
    for row, at in enumerate(range(PROMPT, PROMPT + STEPS)):
        out[row] = step(there[at : at + 1], places(at, at + 1, device))[0]
    assert_close(out, reference(model, tokens)[PROMPT:], **FLOAT32)


@feature(
    "decoder-kv-cache",
    "Prefill and decode with a KV cache equal a full forward pass",
    purpose="The promise on which all serving rests: a cached token counts as one computed anew.",
)
def test_greedy(device, model):
    """In float64, where no rounding can change a token: the same tokens and the same logits."""
    cached, whole = copy.deepcopy(model).double(), copy.deepcopy(model).double()
    tokens = torch.randint(0, SHAPE.vocabulary, (PROMPT,)).to(device)
    logits = cached(tokens, places(0, PROMPT, device))
    for at in range(PROMPT, PROMPT + STEPS):
        full = whole(tokens, places(0, at, device))
        assert_close(logits[-1], full[-1].cpu(), rtol=1e-9, atol=1e-9, why="float64, other order")
        assert torch.equal(logits[-1].argmax(), full[-1].argmax())
        token = logits[-1:].argmax(-1)
        tokens = torch.cat([tokens, token])
        logits = cached(token, places(at, at + 1, device))


@feature("decoder-kv-cache", "Prefill and decode with a KV cache equal a full forward pass")
def test_float32(device, model, tokens):
    """In float32 within its rounding."""
    check(model, model, tokens, device)


@feature(
    "decoder-compiled",
    "A compiled decode step equals the eager one",
    purpose="What `--enable-torch-compile` does to each token.",
    needs=["compiler"],
)
def test_compiled(device, tokens):
    """One compilation serves all positions, and writes the cache that the next token reads."""
    # One layer: the second would cost as much compiling and show nothing new.
    model = Decoder(replace(SHAPE, layers=1)).eval().requires_grad_(requires_grad=False).to(device)
    check(torch.compile(model, fullgraph=True, dynamic=False), model, tokens, device)


@feature(
    "decoder-graph",
    "A decode step captured in a device graph equals the eager one",
    purpose="Decoding at small batch: one launch for all kernels of a token.",
    needs=["accelerator"],
)
def test_graph(device, model, tokens):
    """Token and position change under the graph; the cache outside it is read and written."""
    token, at = tokens[:1].to(device), places(0, 1, device)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(token, at)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = model(token, at)

    def step(new, place):
        token.copy_(new)
        at.copy_(place)
        logits.fill_(float("nan"))
        graph.replay()
        return logits

    check(step, model, tokens, device)
