"""One rank of a process group: takes named tasks on stdin, answers each with a line of JSON.

Usage: rank.py BACKEND FILE RANK WORLD; FILE is where the ranks meet, WORLD how many there are.
A rank ends itself when its parent dies or closes the pipe, and when a task passes its deadline:
then it shows on stderr where every thread was.
"""

import faulthandler
import json
import os
import signal
import sys
import time
from datetime import timedelta

import collectives
import tensor_parallel
import torch
import torch.distributed as dist

from matrix.inside import WrongNumbers
from matrix.inside.numerics import LEDGER
from matrix.inside.process import end_with_parent

TASKS = {task.__name__: task for task in (*collectives.TASKS, *tensor_parallel.TASKS)}
DEADLINE = 100.0  # seconds of one task; the parent waits longer, so that the stacks arrive


class Rank:
    """This process's place in the group, and data that every rank can make alike."""

    def __init__(self, backend, path, rank, world):
        self.rank, self.world, self.seed = rank, world, 0
        self.device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        dist.init_process_group(
            backend,
            init_method=f"file://{path}",
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=60),
        )

    def randn(self, *shape, of=0):
        """Standard normal values, float64 on the CPU; ``of`` tells the draws of a task apart."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + of)
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def parts(self, *shape):
        """What each rank contributes, as all of them know it: float32 on the CPU."""
        return [self.randn(*shape, of=rank).float() for rank in range(self.world)]


def answer(rank, task):
    """Run one task; what came of it, with the check that was nearest to its tolerance."""
    LEDGER.clear()
    started = time.monotonic()
    result = {"rank": rank.rank, "kind": "done", "names": [], "message": ""}
    try:
        task(rank)
    except Exception as error:  # noqa: BLE001  the parent judges it
        wrong = isinstance(error, WrongNumbers)
        result["kind"] = "wrong" if wrong else "raised"
        result["names"] = [kind.__name__ for kind in type(error).__mro__]
        result["message"] = str(error)
    seconds = time.monotonic() - started
    return dict(result, error=LEDGER.error, tolerance=LEDGER.tolerance, seconds=seconds)


def serve():
    """Answer requests ``{"task": name, "seed": number}`` until the parent closes the pipe."""
    end_with_parent(signal.SIGKILL)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not look like an answer
    backend, path, number, world = sys.argv[1:]
    faulthandler.dump_traceback_later(DEADLINE, exit=True)
    rank = Rank(backend, path, int(number), int(world))
    for line in sys.stdin:
        request = json.loads(line)
        rank.seed = request["seed"]
        faulthandler.dump_traceback_later(DEADLINE, exit=True)
        reply = answer(rank, TASKS[request["task"]])
        faulthandler.cancel_dump_traceback_later()
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
    dist.destroy_process_group()
    os._exit(0)  # there is nothing left to do, and tidying up after Dynamo takes seconds


if __name__ == "__main__":
    serve()
