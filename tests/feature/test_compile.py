"""torch.compile: right numbers, few compilations, and a cache that outlives the process."""

import importlib.util
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
    """A new process finds this one's code: a miss here, a hit there, the same right numbers."""
    from torch._inductor import config  # noqa: PLC0415 - slow to import

    # A constant that no cache has seen: whatever was compiled before, the first one misses.
    constant = 1 + float(torch.rand((), generator=rng, dtype=torch.float64))
    # Not the default everywhere; the other process is told by the environment.
    with config.patch({"fx_graph_cache": True}):
        here = first_process(device, constant)
    there = second_process(device, constant)
    if not here["events"]:
        raise NotImplementedError("this torch has no FX graph cache with counters")
    assert count(here) == {"hit": 0, "miss": 1, "bypass": 0}
    assert count(there) == {"hit": 1, "miss": 0, "bypass": 0}
    assert_close(
        torch.tensor(there["out"], dtype=torch.float64),
        torch.tensor(there["expected"], dtype=torch.float64),
        rtol=1e-5,
        atol=1e-5,
        why="float32 elementwise",
    )


def count(found):
    """The cache's events by their short names."""
    return {
        name: found["events"].get(f"fxgraph_cache_{name}", 0) for name in ("hit", "miss", "bypass")
    }


def first_process(device, constant):
    """Compile in this process."""
    spec = importlib.util.spec_from_file_location("compile_cache", CHILD)
    child = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(child)
    return child.compile_and_count(device.type, constant)


def second_process(device, constant):
    """Compile the same in a process of its own."""
    env = dict(os.environ, TORCHINDUCTOR_FX_GRAPH_CACHE="1")
    done = subprocess.run(
        [sys.executable, str(CHILD), device.type, repr(constant)],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    sys.stderr.write(done.stderr)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1:]
    return json.loads(done.stdout.splitlines()[-1])
