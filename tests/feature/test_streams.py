"""Streams and events: work side by side, and in order where it must be."""

import math
import time

import torch

from matrix.inside import assert_close, feature, randn

BUSY = 1024  # a product of this size keeps a device busy long enough for an order to matter


def busy(device):
    """Work for the current stream."""
    x = torch.zeros(BUSY, BUSY, device=device)
    for _ in range(50):
        x = x @ x
    return x


@feature(
    "streams",
    "Order between streams (Stream.wait_stream, Event.wait)",
    purpose="Overlapping KV transfers and sampling with the next forward pass.",
    needs=["accelerator"],
)
def test_order(device, rng):
    """A stream that waits sees what was written; a slow writer would show if it did not."""
    values = randn(rng, 1 << 20)
    source = values.to(device)
    middle, out = torch.full_like(source, math.nan), torch.full_like(source, math.nan)
    first, second, ready = torch.cuda.Stream(), torch.cuda.Stream(), torch.cuda.Event()
    current = torch.cuda.current_stream()
    first.wait_stream(current)
    second.wait_stream(current)
    with torch.cuda.stream(first):
        busy(device)
        middle.copy_(source * 2)
        ready.record()
    with torch.cuda.stream(second):
        ready.wait()
        out.copy_(middle + 1)
    current.wait_stream(second)
    expected = values.double() * 2 + 1
    assert_close(out, expected, rtol=1e-6, atol=1e-6, why="float32 elementwise")
    assert ready.query()


@feature(
    "streams",
    "Order between streams (Stream.wait_stream, Event.wait)",
    needs=["accelerator"],
)
def test_synchronize(device, rng):
    """After synchronising a stream all of its work is done."""
    stream = torch.cuda.Stream()
    values = randn(rng, 1000)
    with torch.cuda.stream(stream):
        busy(device)
        there = values.to(device) * 2
    stream.synchronize()
    assert stream.query()
    assert_close(there, values.double() * 2, rtol=0, atol=0, why="doubling is exact")


@feature(
    "event-timing",
    "Time between events (Event.elapsed_time)",
    purpose="Step times and autotuning without stopping the device.",
    needs=["accelerator"],
)
def test_timing(device):
    """More work takes longer, and all of it no longer than the host waits for it."""
    busy(device)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
    torch.cuda.synchronize()
    begun = time.perf_counter()
    marks[0].record()
    busy(device)
    marks[1].record()
    for _ in range(10):
        busy(device)
    marks[2].record()
    torch.cuda.synchronize()
    waited = (time.perf_counter() - begun) * 1e3
    short, long = marks[0].elapsed_time(marks[1]), marks[1].elapsed_time(marks[2])
    assert 0 < short < long
    assert short + long <= waited * 1.05


@feature(
    "record-stream",
    "Memory that another stream still uses (Tensor.record_stream)",
    purpose="A tensor handed to a side stream and freed at once must not be given to the next.",
    needs=["accelerator"],
)
def test_record_stream(device, rng):
    """The block is not used again before the side stream has read it."""
    values = randn(rng, 1 << 20)
    out = torch.full((1 << 20,), math.nan, device=device)
    side = torch.cuda.Stream()
    tensor = values.to(device)
    place = tensor.data_ptr()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(10):
            busy(device)
        out.copy_(tensor)
    tensor.record_stream(side)
    del tensor
    others = [torch.full((1 << 20,), -1.0, device=device) for _ in range(4)]
    early = not side.query() and any(other.data_ptr() == place for other in others)
    torch.cuda.synchronize()
    assert not early
    assert_close(out, values.double(), rtol=0, atol=0, why="a copy")
