"""A short version of benchmarks/judge_simulation.py: what the judge promises about many nights."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "judge_simulation.py"


@pytest.fixture
def simulation(monkeypatch):
    """The benchmark with 120 series and 10 nights."""
    spec = importlib.util.spec_from_file_location("judge_simulation", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    for name, value in {"SERIES": 120, "NIGHTS": 10, "STEPPED": 0.1}.items():
        setattr(module, name, value)
    return module


def test_few_calls_are_false_and_steps_are_found(simulation):
    tallies, stepped = simulation.simulate(worlds=2, first_seed=7)
    judge = tallies["judge"]
    assert judge.false == 0
    found = [night for kind in ("gaussian", "heavy tails") for night in judge.found[kind]]
    assert len(found) == stepped["gaussian"] + stepped["heavy tails"] > 15
    assert sum(night <= 1 for night in found) >= 0.9 * len(found)
    assert max(found) <= 3
    # the same nights through a rule of one window, and through one without memory
    assert tallies["7 nights, 2 sigma and 1 % (vLLM)"].false > 50
    assert tallies["previous night, 7 %, both ways (torchbench)"].false > 50


def test_a_share_has_its_interval(simulation):
    assert simulation.interval(0, 10) == "0.000 (0.000-0.278)"
    assert simulation.interval(95, 100) == "0.950 (0.888-0.978)"
    assert simulation.interval(0, 0) == "–"
