"""What an environment must hold, and how a lock keeps a registry build exact."""

import sys
from pathlib import Path

import pytest

from matrix import locks
from matrix.cells import Cell
from matrix.definition import Suite
from matrix.errors import CellFailed, InfrastructureError
from matrix.process import Completed

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


ANNOTATED = """\
fsspec==2026.9.0 \\
    --hash=sha256:aa
    # via torch
    # from file:///srv/simple
numpy==2.4.6 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via
    #   -r requirements.in
    #   torchao
    # from https://registry.example/simple
pytest==9.2.0 \\
    --hash=sha256:dd
    # via
    #   -r requirements.in
    #   pytest-benchmark
pytest-benchmark==5.3.1 \\
    --hash=sha256:ee
    # via -r requirements.in
torch==2.13.0+cpu \\
    --hash=sha256:ff
    # via -r requirements.in
    # from file:///opt/wheels
"""


def lock_of(text=ANNOTATED):
    return locks.Lock(pins=tuple(locks._pins(text.splitlines())), indexes=())


def test_a_lock_is_read_with_who_needs_what_and_where_it_was_found():
    pins = {pin.name: pin for pin in lock_of().pins}
    assert pins["numpy"].text == (
        "numpy==2.4.6 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    )
    assert pins["torch"].origin == "file:///opt/wheels"
    assert (pins["fsspec"].parents, pins["torch"].parents) == (("torch",), ())


def test_a_lock_loses_its_notes_and_nothing_else():
    plain = [line for line in ANNOTATED.splitlines() if not line.startswith("    #")]
    assert lock_of().text.splitlines() == plain


def test_each_layer_holds_what_it_needs_less_what_came_before():
    layers = (("torch==2.13.0+cpu", "numpy<3"), ("pytest", "pytest-benchmark", "numpy"))
    parts = lock_of().split(layers)
    assert [[pin.name for pin in part] for part in parts] == [
        ["fsspec", "numpy", "torch"], ["pytest", "pytest-benchmark"],
    ]  # fmt: skip


def test_a_layer_with_extras_is_still_its_package():
    assert [[p.name for p in part] for part in lock_of().split((("torch[opt]==2.13.0",),))] == [
        ["fsspec", "torch"]
    ]


class Answers:
    """A resolver that answers with what is given, in turn."""

    def __init__(self, *answers):
        self.answers, self.calls = list(answers), []

    def call(self, *arguments, log=None):
        self.calls.append(arguments)
        code, output = self.answers.pop(0)
        if code == 0:
            Path(arguments[arguments.index("-o") + 1]).write_text(output)
        return Completed(code=code, output=output, seconds=1.0, timed_out=False)


class Indexes:
    def sources(self, variant):
        return ("--index", "own"), ("--index", "own", "--index", f"pytorch/{variant}")


def test_the_pytorch_index_is_asked_where_the_users_own_has_no_solution(tmp_path):
    resolver = Answers((1, "error: no solution"), (0, ANNOTATED))
    lock = locks.lock_cell(CPU, (TESTS,), resolver, Indexes(), tmp_path, ("--python", "p"))
    assert lock.indexes == ("--index", "own", "--index", "pytorch/cpu")
    assert (tmp_path / "requirements.lock").read_text() == lock.text
    assert all("--generate-hashes" in call and "p" in call for call in resolver.calls)


def test_two_refusals_are_both_said(tmp_path):
    resolver = Answers((1, "error: no solution"), (2, "error: dns"))
    with pytest.raises(CellFailed) as caught:
        locks.lock_cell(CPU, (TESTS,), resolver, Indexes(), tmp_path, ())
    assert (caught.value.verdict, caught.value.reason) == (
        "infra",
        "no solution And the PyTorch index did not answer: cannot resolve: error: dns",
    )
