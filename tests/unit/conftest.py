"""What unit tests share: nothing real can be started or called, and small worlds to act in."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import hypothesis
import pytest

from matrix import cli, resources, tracked

hypothesis.settings.register_profile("unit", max_examples=60, deadline=None, database=None)
hypothesis.settings.load_profile("unit")

CELL = "torch2.6.0-cpu-py3.11"
TWO_CELLS = """
[[torch]]
version = ["2.6.0", "2.11.0"]
variants = ["cpu"]
python = ["3.11"]
"""


@pytest.fixture(autouse=True)
def _nothing_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that starts a program or opens a connection is no unit test."""

    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        message = "unit tests start no programs and open no connections"
        raise AssertionError(message)

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse, raising=False)


@pytest.fixture(autouse=True)
def _fresh_hashes() -> None:
    """Source hashes are remembered for one command; here several commands share a process."""
    forget_hashes()


def forget_hashes() -> None:
    """Read sources again."""
    resources.tree_hash.cache_clear()
    tracked.tree_hash.cache_clear()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment without anybody's package indexes."""
    return {"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "NO_COLOR": "1"}


@pytest.fixture
def matrix_file(tmp_path: Path) -> Callable[[str], Path]:
    """Write a matrix file into the test's own folder."""

    def write(text: str) -> Path:
        path = tmp_path / "matrix.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def run_cli(
    tmp_path: Path, env: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> Callable[..., SimpleNamespace]:
    """Call the CLI as a user would: returns its exit code and both outputs."""

    def call(*arguments: str | Path) -> SimpleNamespace:
        forget_hashes()
        command, *rest = map(str, arguments)
        code = cli.main([command, "--file", str(tmp_path / "matrix.toml"), *rest], env=env)
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return call


def probe_of(cell: str = CELL) -> dict[str, object]:
    """The probe of a healthy CPU cell, with the id's own torch and Python."""
    torch, variant, python = cell.split("-")[:3]
    return {
        "schema": 1,
        "torch": f"{torch.removeprefix('torch')}+{variant}",
        "python": f"{python.removeprefix('py')}.7",
        "accelerator": "cpu",
        "device": "cpu",
        "devices": [],
        "cpu": {"model": "Test CPU"},
    }


def outcome(test: str, verdict: str = "pass", **more: object) -> dict[str, object]:
    """One outcome event."""
    return {"event": "outcome", "id": test, "verdict": verdict, "duration": 0.1, **more}


END = {"event": "end", "status": "complete", "reason": ""}


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Record artefacts of one cell's suite, for the replay backend."""

    def write(
        *events: object, cell: str = CELL, suite: str = "feature", probe: object = None
    ) -> Path:
        recording = tmp_path / "recording"
        folder = recording / "cells" / cell / "venv-cpu" / suite
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(event) for event in (*events, END)]
        (folder / "outcomes.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        found = probe_of(cell) if probe is None else probe
        (folder / "probe.json").write_text(json.dumps(found), encoding="utf-8")
        return recording

    return write


@pytest.fixture
def world() -> SimpleNamespace:
    """Builders that tests use outside fixtures."""
    return SimpleNamespace(CELL=CELL, TWO_CELLS=TWO_CELLS, probe_of=probe_of, outcome=outcome)
