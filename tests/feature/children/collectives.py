"""Collectives against what a single process computes from the same seeds: tasks of rank.py."""

import warnings

import torch
import torch.distributed as dist

from matrix.inside import assert_close, poisoned

SUM = {"rtol": 1e-6, "atol": 1e-6, "why": "float32 sum over the ranks"}
UNTOUCHED = {"rtol": 0, "atol": 0, "why": "the input stays as it was"}
COPY = {"rtol": 0, "atol": 0, "why": "a copy"}


def all_reduce(r):
    """Sum, in place."""
    parts = r.parts(1000)
    total = parts[r.rank].clone().to(r.device)
    dist.all_reduce(total)
    assert_close(total, torch.stack(parts).double().sum(0), **SUM)


def all_gather(r):
    """Everyone's part, in the order of ranks."""
    parts = r.parts(1000)
    mine = parts[r.rank].to(r.device)
    gathered = [poisoned(1000, device=r.device, dtype=mine.dtype) for _ in parts]
    dist.all_gather(gathered, mine)
    assert_close(torch.stack(gathered), torch.stack(parts).double(), **COPY)


def broadcast(r):
    """The last rank's part everywhere."""
    parts = r.parts(1000)
    sent = parts[r.rank].clone().to(r.device)
    dist.broadcast(sent, src=r.world - 1)
    assert_close(sent, parts[-1].double(), **COPY)


def broadcast_object(r):
    """A scheduler's batch: plain Python values and a tensor."""
    ids = r.randn(5).float()
    batch = [{"ids": ids, "finished": ["a", None]}] if r.rank == 0 else [None]
    dist.broadcast_object_list(batch, src=0, device=r.device)
    assert batch[0]["finished"] == ["a", None]
    assert_close(batch[0]["ids"], ids.double(), **COPY)


def reduce_scatter(r):
    """Each rank gets its share of the sum."""
    parts = r.parts(r.world, 500)
    mine = list(parts[r.rank].to(r.device))
    out = poisoned(500, device=r.device, dtype=torch.float32)
    dist.reduce_scatter(out, mine)
    assert_close(out, torch.stack(parts).double().sum(0)[r.rank], **SUM)


def into_tensor(r):
    """The names engines call."""
    through_one_tensor(r, dist.all_gather_into_tensor, dist.reduce_scatter_tensor)


def single(r):
    """The same two by their newer names."""
    through_one_tensor(r, dist.all_gather_single, dist.reduce_scatter_single)


def through_one_tensor(r, gather, scatter):
    """Gather into one tensor, and scatter the sum from one; warnings raise."""
    parts = r.parts(r.world * 500)
    mine = parts[r.rank].clone().to(r.device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gathered = poisoned(r.world * mine.numel(), device=r.device, dtype=mine.dtype)
        gather(gathered, mine)
        out = poisoned(500, device=r.device, dtype=mine.dtype)
        scatter(out, mine)
    assert_close(mine, parts[r.rank].double(), **UNTOUCHED)
    assert_close(gathered, torch.cat(parts).double(), **COPY)
    assert_close(out, torch.stack(parts).double().sum(0).chunk(r.world)[r.rank], **SUM)


def functional(r):
    """All-reduce that returns a tensor instead of writing into one."""
    from torch.distributed import _functional_collectives as functional  # noqa: PLC0415  slow

    parts = r.parts(1000)
    mine = parts[r.rank].to(r.device)
    total = functional.all_reduce(mine, "sum", dist.group.WORLD) + 1
    assert_close(total, torch.stack(parts).double().sum(0) + 1, **SUM)
    assert_close(mine, parts[r.rank].double(), **UNTOUCHED)


def functional_compiled(r):
    """The same in a full graph, and an ordinary all-reduce that Dynamo makes functional."""
    from torch.distributed import _functional_collectives as functional  # noqa: PLC0415  slow

    world = dist.group.WORLD

    def both(x):
        summed = functional.all_reduce(x * 2, "sum", world)
        y = x * 3
        dist.all_reduce(y)
        return summed + y

    parts = r.parts(1000)
    torch._dynamo.reset()
    # aot_eager traces as Inductor does, without building C++ in every rank.
    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    out = compiled(parts[r.rank].to(r.device))
    expected = torch.stack(parts).double().sum(0) * 5
    assert_close(out, expected, rtol=1e-5, atol=1e-5, why="float32 sums over the ranks, twice")


TASKS = (
    all_reduce,
    all_gather,
    broadcast,
    broadcast_object,
    reduce_scatter,
    into_tensor,
    single,
    functional,
    functional_compiled,
)
