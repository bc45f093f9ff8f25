"""Memory: what is free, what is held, and what processes share."""

import torch
from processes import run_child

from matrix.inside import Refusal, assert_close, feature, randn

MIB = 1 << 20


@feature(
    "pinned-memory",
    "Pinned host memory and asynchronous copies",
    purpose="Swapping KV pages to the host and loading weights while the device computes.",
    needs=["accelerator"],
)
def test_pinned(device, rng):
    """A copy that does not block arrives whole, both ways."""
    values = randn(rng, 1 << 16)
    pinned = values.pin_memory()
    assert pinned.is_pinned()
    there = pinned.to(device, non_blocking=True)
    back = torch.full_like(values, float("nan")).pin_memory()
    back.copy_(there * 2, non_blocking=True)
    torch.cuda.synchronize()
    assert_close(there, values.double(), rtol=0, atol=0, why="a copy")
    assert_close(back, values.double() * 2, rtol=0, atol=0, why="doubling is exact")


@feature(
    "memory-info",
    "Free memory of the device (mem_get_info, empty_cache)",
    purpose="An engine gives the KV cache what is left after the weights.",
    needs=["accelerator"],
)
def test_mem_get_info(device):
    """An allocation is missing from what is free until it is given back."""
    size = 512 * MIB
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total <= torch.cuda.get_device_properties(device).total_memory * 1.01
    block = torch.zeros(size, dtype=torch.uint8, device=device)
    reserved = torch.cuda.memory_reserved()
    taken = free - torch.cuda.mem_get_info()[0]
    # Other processes may use the device, too: half and double leave room for them.
    assert size // 2 <= taken <= 2 * size, taken
    assert torch.cuda.memory_allocated() >= size
    del block
    torch.cuda.empty_cache()
    assert reserved - torch.cuda.memory_reserved() >= size
    assert torch.cuda.mem_get_info()[0] >= free - size // 2


@feature(
    "memory-pool",
    "Pools of device memory (torch.cuda.MemPool)",
    purpose="Weights put to sleep, or buffers registered with NCCL, in memory of their own.",
    needs=["accelerator"],
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch\.cuda' has no attribute '(MemPool|use_mem_pool)'",
            "https://pytorch.org/docs/stable/generated/torch.cuda.memory.MemPool.html",
        )
    ],
)
def test_pool(device, rng):
    """What is made inside lies in the pool's segments, what is made outside does not."""
    values = randn(rng, 3 * MIB)
    pool = torch.cuda.MemPool()
    with torch.cuda.use_mem_pool(pool):
        inside = values.to(device)
    outside = values.to(device)
    ranges = [
        (segment["address"], segment["address"] + segment["total_size"])
        for segment in torch.cuda.memory_snapshot()
        if tuple(segment["segment_pool_id"]) == tuple(pool.id)
    ]
    assert any(start <= inside.data_ptr() < end for start, end in ranges)
    assert not any(start <= outside.data_ptr() < end for start, end in ranges)
    assert_close(inside, values.double(), rtol=0, atol=0, why="a copy")
    del inside  # before its pool


def grow_one_segment(**settings):
    """One block as large as forty freed ones takes their memory, not as much again."""
    found = run_child("expandable_segments", **settings)
    if not found["expandable"]:
        raise NotImplementedError(f"{', '.join(settings)} did not make segments expandable")
    assert found["sum"] == 3 * 480 * MIB
    assert found["after"] <= found["before"] * 1.1, found


NOT_EXPANDABLE = Refusal(
    "NotImplementedError",
    r"did not make segments expandable$",
    "c10/cuda/CUDACachingAllocator.cpp: where the driver cannot map memory, and under other names",
)


@feature(
    "expandable-segments",
    "Segments of memory that grow (PYTORCH_CUDA_ALLOC_CONF)",
    purpose="Set against fragmentation, when a long prompt runs out of memory that is free.",
    needs=["accelerator"],
    refusals=[NOT_EXPANDABLE],
)
def test_expandable():
    """By the name that engines set."""
    grow_one_segment(PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True")


@feature(
    "alloc-conf",
    "Allocator settings under their vendor-neutral name (PYTORCH_ALLOC_CONF)",
    purpose="The name that replaces the one with CUDA in it.",
    needs=["accelerator"],
    refusals=[NOT_EXPANDABLE],
)
def test_alloc_conf():
    """The same setting by the newer name."""
    grow_one_segment(PYTORCH_ALLOC_CONF="expandable_segments:True")


def double_in_place(tensor, done):
    """What the other process does."""
    tensor.mul_(2)
    if tensor.device.type == "cuda":
        torch.cuda.synchronize()
    done.set()


def doubled_elsewhere(tensor):
    """Let another process double ``tensor``, which must be the same memory there."""
    context = torch.multiprocessing.get_context("spawn")
    done = context.Event()
    process = context.Process(target=double_in_place, args=(tensor, done), daemon=True)
    process.start()
    process.join(100)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode == 0, process.exitcode
    assert done.is_set()


@feature(
    "shared-memory",
    "Tensors in memory shared by processes (share_memory_)",
    purpose="Images from the tokenizer's process to the scheduler's, and weights among loaders.",
)
def test_shared(rng):
    """Written by the other process, seen in this one."""
    values = randn(rng, 1000, dtype=torch.bfloat16)
    shared = values.clone().share_memory_()
    assert shared.is_shared()
    doubled_elsewhere(shared)
    assert_close(shared, values.double() * 2, rtol=0, atol=0, why="doubling is exact")


@feature(
    "device-ipc",
    "Device memory shared by processes (IPC handles)",
    purpose="Weights handed to an engine by a trainer, and one-shot all-reduce between ranks.",
    needs=["accelerator"],
)
def test_device_ipc(device, rng):
    """The same on the device: a handle travels, not the data."""
    values = randn(rng, 1000)
    shared = values.to(device)
    torch.cuda.synchronize()
    doubled_elsewhere(shared)
    assert_close(shared, values.double() * 2, rtol=0, atol=0, why="doubling is exact")
