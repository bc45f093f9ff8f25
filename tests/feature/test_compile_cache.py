"""Compiled code that outlives its process: found again, moved, sent elsewhere, never misused."""

import os

import pytest
import torch
from processes import run_child

from matrix.inside import Refusal, assert_close, feature

SETTINGS = {
    "TORCHINDUCTOR_FX_GRAPH_CACHE": "1",  # not the default everywhere
    # What costs most in a new folder or process and has no part in the cache: a precompiled header,
    # a trial of each vector instruction set (a build, and a process that imports torch), workers.
    "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
    "TORCHINDUCTOR_VEC_ISA_OK": "0",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}
HIT = {"hit": 1, "miss": 0, "bypass": 0}
MISS = {"hit": 0, "miss": 1, "bypass": 0}
NO_CACHE = Refusal(
    "NotImplementedError",
    r"^this torch has no FX graph cache",
    "torch/_inductor/codecache.py: counts hits and misses since 2.2",
)


class Cache:
    """A cache folder of its own, and the code that a first process has left in it."""

    def __init__(self, device, folder, constant):
        self.device, self.folder, self.constant = device, folder / "cache", constant
        self.artifacts = folder / "artifacts"
        self._events = None

    def fill(self):
        """Compile in a first process; returns the cache's events. A second call does nothing.

        Not in this one: what earlier tests have set of torch is part of the cache's key.
        """
        if self._events is None:
            self._events = self.elsewhere(self.folder, "--save", str(self.artifacts))
        if not any(self._events.values()):
            raise NotImplementedError("this torch has no FX graph cache with counters")
        return self._events

    def elsewhere(self, folder, *options):
        """Compile the same in a new process with the cache folder ``folder``; returns events."""
        arguments = (self.device.type, repr(self.constant), *options)
        settings = dict(SETTINGS, TORCHINDUCTOR_CACHE_DIR=str(folder))
        found = run_child("compile_cache", *arguments, **settings)
        check(found)
        return count(found["events"])


def count(events):
    """The cache's events by their short names."""
    return {name: events.get(f"fxgraph_cache_{name}", 0) for name in ("hit", "miss", "bypass")}


def check(found):
    """The numbers are right, wherever the code came from."""
    out, expected = (torch.tensor(found[key], dtype=torch.float64) for key in ("out", "expected"))
    assert_close(out, expected, rtol=1e-5, atol=1e-5, why="float32, a sum over 16 values")


@pytest.fixture(scope="module")
def cache(device, tmp_path_factory):
    """Filled once, by the first test that asks."""
    # A constant that no cache has seen: whatever was compiled before, the first one misses.
    constant = 1 + int.from_bytes(os.urandom(4), "little") / 2**32
    return Cache(device, tmp_path_factory.mktemp("inductor"), constant)


@feature(
    "compile-cache",
    "Compiled code reused by a new process (FX graph cache)",
    purpose="Restarts a server without compiling its model again.",
    needs=["compiler"],
    refusals=[NO_CACHE],
)
def test_cache(cache):
    """A miss in the first process, a hit in the second."""
    assert cache.fill() == MISS
    assert cache.elsewhere(cache.folder) == HIT


@feature(
    "compile-cache-moved",
    "A compile cache folder copied to another path",
    purpose="Brings a warm cache into an image or onto a shared disk.",
    needs=["compiler"],
    refusals=[NO_CACHE],
)
def test_moved(cache, tmp_path):
    """What was compiled under one path is found under another."""
    cache.fill()
    copy = tmp_path / "moved"
    # Under its old name it is gone, so that nothing can be found there.
    cache.folder.rename(copy)
    try:
        assert cache.elsewhere(copy) == HIT
    finally:
        copy.rename(cache.folder)


@feature(
    "compile-cache-artifacts",
    "Compile artefacts as bytes (torch.compiler.save_cache_artifacts)",
    purpose="Sends what one worker has compiled to all the others.",
    needs=["compiler"],
    refusals=[
        NO_CACHE,
        Refusal(
            "AttributeError",
            r"module 'torch\.compiler' has no attribute 'save_cache_artifacts'",
            "https://pytorch.org/docs/stable/torch.compiler_api.html: new in 2.7",
        ),
    ],
)
def test_artifacts(cache, tmp_path):
    """A process with an empty cache and the bytes of another hits."""
    cache.fill()
    if not cache.artifacts.exists():
        torch.compiler.save_cache_artifacts()  # says that it is not there
    assert cache.elsewhere(tmp_path / "empty", "--load", str(cache.artifacts)) == HIT


@feature(
    "compile-cache-version",
    "Another torch's compiled code is not used",
    purpose="Lets several releases share one cache folder without running stale kernels.",
    needs=["compiler"],
    refusals=[NO_CACHE],
)
def test_version(cache):
    """All else equal, a torch by another version's name misses."""
    cache.fill()
    other = f"{torch.__version__.partition('+')[0]}+another"
    assert cache.elsewhere(cache.folder, "--version", other) == MISS
