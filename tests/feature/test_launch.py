"""What brings ranks together: the store where they meet, and torchrun."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import torch

from matrix.inside import Refusal, feature

CHILD = Path(__file__).parent / "children" / "torchrun.py"


@feature(
    "tcp-store",
    "TCPStore served by libuv",
    purpose="Ranks of every engine meet at a TCPStore; libuv's serves thousands of them.",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^the store's server is the one without libuv$",
            "https://github.com/pytorch/pytorch/releases/tag/v2.4.0: libuv became the default",
        ),
    ],
)
def test_tcp_store():
    """Two clients see each other's keys, and the default server is the scalable one."""
    store = torch.distributed.TCPStore(
        "127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=20), wait_for_workers=False
    )
    client = torch.distributed.TCPStore(
        "127.0.0.1", store.port, is_master=False, timeout=timedelta(seconds=20)
    )
    client.set("weights", "loaded")
    assert store.get("weights") == b"loaded"
    assert [store.add("ready", 1), client.add("ready", 1)] == [1, 2]
    if not getattr(store, "libuvBackend", False):
        raise NotImplementedError("the store's server is the one without libuv")


# The agent leaves with this process, and ends its workers then.
AGENT = """
import runpy, signal
from matrix.inside.process import end_with_parent
end_with_parent(signal.SIGTERM)
runpy.run_module("torch.distributed.run", run_name="__main__", alter_sys=True)
"""


def torchrun(*arguments):
    """Output of torchrun with these arguments, which ends with this process or after 90 seconds."""
    started = subprocess.Popen(
        [sys.executable, "-c", AGENT, *map(str, arguments)],
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output = started.communicate(timeout=90)[0]
    except subprocess.TimeoutExpired:
        started.terminate()
        output = started.communicate(timeout=40)[0]
    sys.stdout.write(output)
    return started.returncode, output


@feature(
    "torchrun",
    "torchrun with two workers",
    purpose="Starts the workers of offline engines and of training jobs that feed them.",
)
def test_torchrun():
    """Each worker finds its group and its place in it."""
    code, output = torchrun("--standalone", "--nproc-per-node", 2, CHILD)
    assert code == 0, (output.strip().splitlines() or ["no output"])[-1]
    assert sorted(re.findall(r"sum 3\.0 at (\d) (\d) (\d) (\d)", output)) == [
        ("0", "0", "2", "2"),
        ("1", "1", "2", "2"),
    ]


@feature(
    "torchrun-port",
    "torchrun beside a job that has the default port",
    purpose="Two jobs on one host must not collide when nobody has named a port.",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^torchrun took the port of another job$",
            "https://github.com/pytorch/pytorch/releases/tag/v2.12.0: a free port by default",
        )
    ],
)
def test_torchrun_port():
    """With port 29500 taken, by us or by anyone, one worker still comes up."""
    with socket.socket() as taken:
        with contextlib.suppress(OSError):
            taken.bind(("0.0.0.0", 29500))
            taken.listen()
        code, output = torchrun("--nproc-per-node", 1, CHILD)
    if code and re.search(r"EADDRINUSE|[Aa]ddress already in use", output):
        raise NotImplementedError("torchrun took the port of another job")
    assert code == 0, (output.strip().splitlines() or ["no output"])[-1]
    assert "sum 1.0 at 0 0 1 1" in output
