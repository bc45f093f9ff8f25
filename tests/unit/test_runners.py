"""What machines there are and what they have."""

from pathlib import Path

import pytest

from matrix import runners
from matrix.definition import parse
from matrix.runners import inventory

TORCH = {"torch": [{"version": "2.6.0"}]}


@pytest.mark.parametrize(
    ("data", "asked", "cores", "slots"),
    [
        pytest.param({}, None, 2, 1, id="one-for-two-cores"),
        pytest.param({}, None, 1, 1, id="never-none"),
        pytest.param({}, None, 64, 4, id="never-many"),
        pytest.param({"runners": {"local": {"slots": 3}}}, None, 2, 3, id="the-file"),
        pytest.param({"runners": {"local": {"slots": 3}}}, 7, 2, 7, id="the-command-line"),
    ],
)
def test_how_many_cells_run_at_once(monkeypatch, data, asked, cores, slots):
    monkeypatch.setattr(runners, "cores", lambda: cores)
    found = inventory(parse({**TORCH, **data}, Path("m.toml")), asked)
    assert (found.local.slots, found.local.cores) == (slots, cores)


def test_a_runner_passes_its_settings_on_and_refuses_what_it_has_not(monkeypatch):
    monkeypatch.setattr(runners, "detect", lambda: {"cpu": object()})
    data = {**TORCH, "runners": {"local": {"env": {"NCCL_NVLS_ENABLE": "0"}}}}
    local = inventory(parse(data, Path("m.toml"))).local
    assert local.env == {"NCCL_NVLS_ENABLE": "0"}
    assert local.refusal("cpu") == ""
    assert local.refusal("rocm") == "no rocm device on runner `local` (it has: cpu)"


def test_there_is_at_least_one_core():
    assert runners.cores() >= 1
