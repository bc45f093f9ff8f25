"""Compile one function, and say how often the FX graph cache was hit and missed.

Run as compile_cache.py DEVICE CONSTANT [OPTION VALUE]... with the options --load FILE (artefacts to
start from), --save FILE (where to leave them) and --version NAME (call torch so).
"""

import argparse
import json
import sys
from pathlib import Path

import torch

EVENTS = ("fxgraph_cache_hit", "fxgraph_cache_miss", "fxgraph_cache_bypass")


def compile_and_count(device, constant):
    """The result for fixed inputs, the one expected, and the cache's events meanwhile.

    ``events`` is empty where torch does not count any.
    """
    from torch._dynamo.utils import counters  # noqa: PLC0415 - after the version has been set

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


def main():
    """Do as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("device")
    parser.add_argument("constant", type=float)
    parser.add_argument("--load", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--version")
    asked = parser.parse_args()
    if asked.version:
        # Before anything has computed a key from it.
        torch.__version__ = torch.torch_version.TorchVersion(asked.version)
    if asked.load:
        torch.compiler.load_cache_artifacts(asked.load.read_bytes())
    found = compile_and_count(asked.device, asked.constant)
    if asked.save and hasattr(torch.compiler, "save_cache_artifacts"):
        data, _about = torch.compiler.save_cache_artifacts()
        asked.save.write_bytes(data)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
