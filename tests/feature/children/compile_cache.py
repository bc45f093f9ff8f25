"""Compile one function, and say how often the FX graph cache was hit and missed.

Imported by the first process, run by the second: compile_cache.py DEVICE CONSTANT.
"""

import json
import sys

import torch
from torch._dynamo.utils import counters

EVENTS = ("fxgraph_cache_hit", "fxgraph_cache_miss", "fxgraph_cache_bypass")


def compile_and_count(device, constant):
    """The result for fixed inputs, the one expected, and the cache's events meanwhile.

    ``events`` is empty where torch does not count any.
    """

    def scale_and_shift(x):
        return torch.nn.functional.gelu(x * constant + 1).sum(-1)

    x = torch.linspace(-2, 2, 64, device=device).reshape(4, 16)
    before = dict(counters["inductor"])
    out = torch.compile(scale_and_shift)(x)
    now = dict(counters["inductor"])
    return {
        "out": out.tolist(),
        "expected": scale_and_shift(x.double().cpu()).tolist(),
        "events": {name: now[name] - before.get(name, 0) for name in EVENTS if name in now},
    }


if __name__ == "__main__":
    found = compile_and_count(sys.argv[1], float(sys.argv[2]))
    sys.stdout.write(json.dumps(found) + "\n")
