"""The pytest plugin of a cell: fixtures for its tests, and an event for all that happens to them.

The supervisor names a settings file in the environment variable ``MATRIX_INSIDE``; without it only
the markers and fixtures are there, so that a test can also be run with plain pytest.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Iterator

import pytest

from matrix.inside import costs, marks
from matrix.inside.needs import missing
from matrix.inside.process import end_with_parent
from matrix.inside.recorder import Recorder
from matrix.inside.timer import Measure

if TYPE_CHECKING:
    from torch import Generator
    from torch import device as Device  # noqa: N812 - a type here, not torch's lower-case function

SETTINGS = "MATRIX_INSIDE"
SEED = "MATRIX_SEED"
POISONED = 86


def pytest_configure(config: pytest.Config) -> None:
    """Register markers, and the recorder where a supervisor asked for one."""
    for name, row in ((marks.FEATURE, "feature"), (marks.WORKLOAD, "throughput")):
        config.addinivalue_line("markers", f"{name}(id, title): a row of the {row} table")
    path = os.environ.get(SETTINGS)
    if path:
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
        _obey_supervisor()
        costs.watch()
        # pytest-benchmark makes its default folder in the user's, also where it stores nothing
        if getattr(config.option, "benchmark_storage", "") == "file://./.benchmarks":
            config.option.benchmark_storage = f"file://{tempfile.gettempdir()}/benchmarks"
        config.pluginmanager.register(Recorder(settings, POISONED), "matrix-recorder")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose declared needs are not met here."""
    for name in (marks.FEATURE, marks.WORKLOAD):
        for mark in item.iter_markers(name):
            reason = missing(mark.kwargs["needs"])
            if reason:
                pytest.skip(reason)


@pytest.fixture(scope="session")
def device() -> Device:
    """The device under test: the accelerator if torch can use one, else the CPU."""
    import torch  # noqa: PLC0415 - a suite that never asks for a device must not import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> Generator:
    """Fresh random data in every run; the seed is recorded, ``MATRIX_SEED`` sets it."""
    import torch  # noqa: PLC0415 - a suite that never asks for data must not import torch

    seed = int(os.environ.get(SEED) or time.time_ns() % 2**31)
    request.node.matrix_seed = seed
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Iterator[Measure]:
    """Time a callable on the device; see :class:`matrix.inside.timer.Measure`."""
    measuring = Measure(request)
    yield measuring
    request.node.matrix_metrics = measuring.metrics


def _obey_supervisor() -> None:
    """Show where it hangs on SIGUSR1, and die with the supervisor even if that is killed."""
    if hasattr(faulthandler, "register") and sys.__stderr__ is not None:
        faulthandler.register(signal.SIGUSR1, file=sys.__stderr__, all_threads=True, chain=False)
    end_with_parent(signal.SIGKILL)
