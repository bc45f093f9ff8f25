"""One rank: collectives against what a single process computes from the same seeds.

Usage: collectives.py BACKEND FILE RANK WORLD. Exit 3 means that the numbers are wrong.
"""

import sys
from datetime import timedelta

import torch
import torch.distributed as dist

from matrix.inside import WrongNumbers, assert_close

backend, path, rank, world = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
if device.type == "cuda":
    torch.cuda.set_device(device)
dist.init_process_group(
    backend,
    init_method=f"file://{path}",
    rank=rank,
    world_size=world,
    timeout=timedelta(seconds=60),
)
# Every rank can make every rank's data.
parts = [torch.randn(1000, generator=torch.Generator().manual_seed(seed)) for seed in range(world)]
mine = parts[rank].to(device)
try:
    total = mine.clone()
    dist.all_reduce(total)
    expected = torch.stack(parts).double().sum(0)
    assert_close(total, expected, rtol=1e-6, atol=1e-6, why="float32 sum over ranks")
    gathered = [torch.full_like(mine, float("nan")) for _ in range(world)]
    dist.all_gather(gathered, mine)
    assert_close(torch.stack(gathered), torch.stack(parts).double(), rtol=0, atol=0, why="a copy")
    sent = mine.clone()
    dist.broadcast(sent, src=1)
    assert_close(sent, parts[1].double(), rtol=0, atol=0, why="a copy")
except WrongNumbers as error:
    sys.stdout.write(f"rank {rank}: {error}\n")
    sys.exit(3)
finally:
    dist.destroy_process_group()
