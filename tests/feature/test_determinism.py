"""Deterministic mode: the same bits every time."""

import pytest
import torch

from matrix.inside import assert_close, feature, randn


@pytest.fixture
def deterministic():
    """Deterministic algorithms on for one test."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)
    yield
    torch.use_deterministic_algorithms(before)


@feature(
    "deterministic",
    "Deterministic algorithms",
    purpose="The same answer to the same request: evaluation, and rollouts of a trainer.",
)
@pytest.mark.usefixtures("deterministic")
def test_index_add(device, rng):
    """Additions to the same places, whose order is free otherwise, give the same bits."""
    index = torch.randint(0, 50, (20000,), generator=rng)
    values = randn(rng, 20000)
    runs = [
        torch.zeros(50, device=device).index_add(0, index.to(device), values.to(device))
        for _ in range(5)
    ]
    assert all(torch.equal(run, runs[0]) for run in runs)
    expected = torch.zeros(50, dtype=torch.float64).index_add(0, index, values.double())
    assert_close(runs[0], expected, rtol=1e-4, atol=1e-3, why="float32, 400 terms")


@feature("deterministic", "Deterministic algorithms")
@pytest.mark.usefixtures("deterministic")
def test_uninitialised_memory_is_filled(device):
    """New memory holds NaN, so that reading what nobody wrote shows."""
    if not hasattr(torch.utils, "deterministic"):
        pytest.skip("torch.utils.deterministic came in 2.2")
    assert torch.empty(100, device=device).isnan().all()
