"""All-reduce among the GPUs of one host: what tensor parallel layers wait for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from matrix.inside import workload

CHILD = Path(__file__).parent / "children" / "all_reduce.py"
WORLD = 2
PATIENCE = 150


@pytest.fixture(scope="module")
def seconds(tmp_path_factory):
    """Samples by size, of one group of processes for all sizes."""
    folder = tmp_path_factory.mktemp("ranks")
    logs = [(folder / f"stderr{rank}").open("wb") for rank in range(WORLD)]
    ranks = [
        subprocess.Popen(
            [sys.executable, str(CHILD), "nccl", str(folder / "meet"), str(rank), str(WORLD)],
            stdout=subprocess.PIPE,
            stderr=logs[rank],
            env=dict(os.environ, OMP_NUM_THREADS="1"),
        )
        for rank in range(WORLD)
    ]
    try:
        printed = [rank.communicate(timeout=PATIENCE)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    errors = [(folder / f"stderr{rank}").read_text(errors="replace") for rank in range(WORLD)]
    for log in logs:
        log.close()
    assert all(rank.returncode == 0 for rank in ranks), "\n".join(e[-2000:] for e in errors)
    return json.loads(printed[0].decode().strip().splitlines()[-1])


@workload("all-reduce", "All-reduce of bfloat16 among two GPUs (NCCL, RCCL)", needs=["devices:2"])
@pytest.mark.parametrize("kilobytes", [8, 1024, 65536])
def test_all_reduce(measure, seconds, kilobytes):
    """Small ones tell the latency, large ones the bandwidth; the sum is checked first."""
    size = kilobytes << 10
    samples = seconds[str(size)]
    # each rank sends and receives 2 (n - 1) / n of it: as much as it is, with two
    measure.record(
        "time", samples, unit="s", better="lower", kind="steady",
        work={"bytes": size}, params={"world": WORLD},
    )  # fmt: skip
