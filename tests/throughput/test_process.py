"""What a fresh process pays before its first token: importing torch, a first kernel, compiling."""

import json
import os
import subprocess
import sys
import tempfile

from matrix.inside import workload

IMPORT = """
import json, time
begun = time.perf_counter()
import torch
imported = time.perf_counter()
device = "cuda" if torch.cuda.is_available() else "cpu"
value = torch.ones(256, 256, device=device)
total = float((value @ value).sum())
assert total == 256**3, total
ready = time.perf_counter()
import resource
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"import": imported - begun, "first-kernel": ready - imported, "peak": peak}))
"""
COMPILE = """
import json, time
import torch
device = "cuda" if torch.cuda.is_available() else "cpu"
def gated(x, w):
    gate, up = (x @ w).chunk(2, -1)
    return torch.nn.functional.silu(gate) * up
x, w = torch.randn(64, 256, device=device), torch.randn(256, 512, device=device)
expected = gated(x, w)
begun = time.perf_counter()
out = torch.compile(gated)(x, w)
if device == "cuda":
    torch.cuda.synchronize()
seconds = time.perf_counter() - begun
torch.testing.assert_close(out, expected, rtol=1e-2, atol=1e-2)
print(json.dumps({"compile": seconds}))
"""


def told_by(code, **environment):
    """What a new process with this code printed as JSON; it dies with a message where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@workload("process", "A fresh process up to its first result")
def test_import(measure):
    """Import, first kernel, and peak memory of the host."""
    run = told_by(IMPORT)
    for metric in ("import", "first-kernel"):
        measure.record(metric, [run[metric]], unit="s", better="lower", kind="once")
    measure.record("host-memory", [run["peak"]], unit="B", better="lower")


# On a CPU the compiler's time is that of g++, and nobody serves from there.
@workload("process", "A fresh process up to its first result", needs=["accelerator", "compiler"])
def test_compile(measure):
    """A gated MLP through torch.compile: with an empty cache, then with what that process left."""
    with tempfile.TemporaryDirectory() as folder:
        caches = {"TORCHINDUCTOR_CACHE_DIR": folder, "TRITON_CACHE_DIR": f"{folder}/triton"}
        for metric in ("compile-cold", "compile-warm"):
            seconds = told_by(COMPILE, **caches)["compile"]
            measure.record(metric, [seconds], unit="s", better="lower", kind="once")
