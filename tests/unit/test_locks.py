"""What an environment must hold, and how a lock keeps a registry build exact."""

import sys
from pathlib import Path

import pytest

from matrix import locks
from matrix.cells import Cell
from matrix.definition import Suite
from matrix.errors import InfrastructureError

CPU = Cell(torch="2.2.2", variant="cpu", python="3.11", device="cpu")
DEFAULT = Cell(torch="2.6.0", variant="cu124", python="3.11", device="cpu")
TESTS = Suite(name="feature")
COMMAND = Suite(name="mine", command=("true",), requirements=("einops",))


def test_a_cell_has_its_build_its_needs_its_companions_and_the_test_tools():
    cell = Cell(torch="2.2.2", variant="cpu", python="3.11", device="cpu", companions=("a==1",))
    assert locks.requirements_of(cell, (TESTS,)) == (
        "a==1", "numpy<2", "pytest", "pytest-benchmark", "setuptools<82", "torch==2.2.2+cpu",
    )  # fmt: skip


def test_a_command_brings_its_own_tools():
    wanted = locks.requirements_of(DEFAULT, (COMMAND,))
    assert wanted == ("einops", "numpy", "setuptools<82", "torch===2.6.0")


def test_suites_with_the_same_requirements_share_an_environment():
    other = Suite(name="throughput", exclusive=True)
    assert locks.environment_key(CPU, (TESTS,)) == locks.environment_key(CPU, (other,))
    assert locks.environment_key(CPU, (TESTS,)) != locks.environment_key(CPU, (COMMAND,))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param(
            "torch==2.6.0 \\\n    --hash=x\n", "torch===2.6.0 \\\n    --hash=x\n", id="hash"
        ),
        pytest.param("a==1\ntorch==2.6.0\n", "a==1\ntorch===2.6.0\n", id="bare"),
        pytest.param("torch==2.6.0+cpu\n", "torch==2.6.0+cpu\n", id="local-version"),
        pytest.param("torch==2.6.01\n", "torch==2.6.01\n", id="another-version"),
        pytest.param("xtorch==2.6.0\n", "xtorch==2.6.0\n", id="another-package"),
    ],
)
def test_a_lock_keeps_the_registrys_build(text, kept):
    """uv drops the `===` of its input; only the exact release gets it back."""
    assert locks.exact(text, "2.6.0") == kept


def test_evidence_depends_on_every_part_and_on_where_it_ends():
    assert locks.evidence_hash("a", "b") == locks.evidence_hash("a", "b")
    assert locks.evidence_hash("ab", "") != locks.evidence_hash("a", "b")


def test_a_missing_uv_is_said_with_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setattr(locks.shutil, "which", lambda _: None)
    with pytest.raises(InfrastructureError, match=r"`uv` is not installed; `pip install -e \.`"):
        locks.uv()


def test_requirements_are_written_one_a_line(tmp_path):
    path = locks.write_input(tmp_path, ("a==1", "b"))
    assert path == Path(tmp_path / "requirements.in")
    assert path.read_text() == "a==1\nb\n"
