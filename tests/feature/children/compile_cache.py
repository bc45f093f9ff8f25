"""Compile one function; print its result and how often the FX graph cache was hit and missed.

Usage: compile_cache.py DEVICE CONSTANT
"""

import json
import sys

import torch
from torch._dynamo.utils import counters

CONSTANT = float(sys.argv[2])


def scale_and_shift(x):
    """Something Inductor makes a kernel of."""
    return torch.nn.functional.gelu(x * CONSTANT + 1).sum(-1)


x = torch.linspace(-2, 2, 64, device=sys.argv[1]).reshape(4, 16)
out = torch.compile(scale_and_shift)(x)
inductor = counters["inductor"]
known = any(name.startswith("fxgraph_cache") for name in inductor)
found = {
    "hits": inductor["fxgraph_cache_hit"] if known else None,
    "misses": inductor["fxgraph_cache_miss"] if known else None,
    "bypasses": inductor["fxgraph_cache_bypass"] if known else None,
    "out": out.tolist(),
    "expected": scale_and_shift(x.double().cpu()).tolist(),
}
sys.stdout.write(json.dumps(found) + "\n")
