"""Collectives between real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from matrix.inside import WrongNumbers, feature

CHILD = Path(__file__).parent / "children" / "collectives.py"
WRONG = 3


def run_ranks(backend, folder, world=2):
    """Run one child per rank to the end; wrong numbers in one of them are this test's."""
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    ranks = [
        subprocess.Popen(
            [sys.executable, str(CHILD), backend, str(folder / "meet"), str(rank), str(world)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        outputs = [rank.communicate(timeout=90)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for rank, output in zip(ranks, outputs):
        sys.stdout.write(output)
        last = (output.strip().splitlines() or ["no output"])[-1]
        if rank.returncode == WRONG:
            raise WrongNumbers(last, error=float("nan"), tolerance=0.0)
        assert rank.returncode == 0, last


@feature("gloo", "Collectives between two processes (gloo)")
def test_gloo(tmp_path):
    """All-reduce, all-gather and broadcast agree with what one process computes."""
    if not torch.distributed.is_available():
        pytest.skip("this torch was built without torch.distributed")
    run_ranks("gloo", tmp_path)


@feature("nccl", "Collectives between two GPUs (NCCL or RCCL)", needs=["devices:2"])
def test_nccl(tmp_path):
    """The same on two devices."""
    run_ranks("nccl", tmp_path)
