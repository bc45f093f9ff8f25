"""One rank of an all-reduce that is timed: BACKEND FILE RANK WORLD, a line of JSON from rank 0.

For each size in bytes the seconds of a call, a sample per round; each rank first checks the sum.
"""

import json
import sys
import time

import torch
import torch.distributed as dist

SIZES = (8 << 10, 1 << 20, 64 << 20)
ROUNDS = 10
ROUND_SECONDS = 0.02


def timed(tensor, calls, device):
    """Seconds of one of ``calls`` calls, all of them waited for."""
    dist.barrier()
    if device.type == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(calls):
        dist.all_reduce(tensor)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / calls


def main():
    """Meet the others, check and time each size."""
    backend, path, rank, world = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, init_method=f"file://{path}", rank=rank, world_size=world)
    found = {}
    for size in SIZES:
        tensor = torch.full((size // 2,), float(rank + 1), dtype=torch.bfloat16, device=device)
        dist.all_reduce(tensor)
        assert (tensor == sum(range(1, world + 1))).all(), tensor
        tensor.zero_()  # sums of sums would grow beyond all bounds
        once = torch.tensor([timed(tensor, 10, device)], device=device)
        dist.all_reduce(once, op=dist.ReduceOp.MAX)  # all must repeat it equally often
        calls = max(1, int(ROUND_SECONDS / float(once)))
        timed(tensor, calls, device)
        found[size] = [timed(tensor, calls, device) for _ in range(ROUNDS)]
    if rank == 0:
        sys.stdout.write(f"{json.dumps(found)}\n")
    dist.destroy_process_group()


main()
