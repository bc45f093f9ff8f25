"""torch.compile: right numbers, few compilations, and a cache that outlives the process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from matrix.inside import Refusal, assert_close, feature, randn

CHILD = Path(__file__).parent / "children" / "compile_cache.py"


def gated_norm(x, gate):
    """RMS norm, then a SiLU gate: the shape of most fused code in a decoder."""
    normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
    return normed * torch.nn.functional.silu(gate)


@feature("compile", "torch.compile with Inductor", needs=["compiler"])
def test_compile(device, rng):
    """Compiled code computes what the float64 original does."""
    x, gate = randn(rng, 33, 130), randn(rng, 33, 130)
    compiled = torch.compile(gated_norm, fullgraph=True)
    assert_close(
        compiled(x.to(device), gate.to(device)),
        gated_norm(x.double(), gate.double()),
        rtol=1e-5,
        atol=1e-5,
        why="float32 elementwise and a mean over 130 values",
    )


@feature("compile-dynamic", "torch.compile with dynamic shapes", needs=["compiler"])
def test_dynamic(device, rng):
    """One compilation serves several batch sizes."""
    from torch._dynamo.testing import CompileCounterWithBackend  # noqa: PLC0415 - slow to import

    counter = CompileCounterWithBackend("inductor")
    compiled = torch.compile(gated_norm, backend=counter, dynamic=True, fullgraph=True)
    for batch in (7, 19, 64):
        x, gate = randn(rng, batch, 48), randn(rng, batch, 48)
        assert_close(
            compiled(x.to(device), gate.to(device)),
            gated_norm(x.double(), gate.double()),
            rtol=1e-5,
            atol=1e-5,
            why="float32 elementwise and a mean over 48 values",
        )
    assert counter.frame_count == 1


@feature(
    "compile-cache",
    "Compiled code reused by a new process (FX graph cache)",
    needs=["compiler"],
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^this torch has no FX graph cache",
            "torch/_inductor/config.py: fx_graph_cache since 2.1, with counters since 2.3",
        )
    ],
)
def test_cache(device, rng):
    """A second process finds the first one's code: a hit, no miss, the same numbers."""
    # A constant that no cache has seen: the first process misses whatever was compiled before.
    constant = repr(1 + float(torch.rand((), generator=rng, dtype=torch.float64)))
    first, second = (run_child(device, constant) for _ in range(2))
    if first["hits"] is None:
        raise NotImplementedError("this torch has no FX graph cache with counters")
    assert (first["hits"], first["misses"]) == (0, 1)
    assert (second["hits"], second["misses"]) == (1, 0)
    assert_close(
        torch.tensor(second["out"], dtype=torch.float64),
        torch.tensor(second["expected"], dtype=torch.float64),
        rtol=1e-5,
        atol=1e-5,
        why="float32 elementwise",
    )


def run_child(device, constant):
    """Compile in a process of its own; returns what the child printed last."""
    # One thread: a pool of compile workers would be started for a single kernel.
    env = dict(os.environ, TORCHINDUCTOR_FX_GRAPH_CACHE="1", TORCHINDUCTOR_COMPILE_THREADS="1")
    done = subprocess.run(
        [sys.executable, str(CHILD), device.type, constant],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=110,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
