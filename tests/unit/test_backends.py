"""What backends hand to a cell, and which verdict a failed step has."""

import json
import threading
from collections import defaultdict
from pathlib import Path

import pytest

from matrix.backends import CellFailed, Context, interpreter, venv
from matrix.backends.host import HostBackend
from matrix.backends.replay import ReplayBackend
from matrix.cells import Cell
from matrix.definition import Suite
from matrix.locks import NETWORK_FAILED
from matrix.plan import Job, SuiteRun
from matrix.process import Completed

CELL = Cell(torch="2.6.0", variant="cpu", python="3.11", device="cpu", companions=("torchao==0.9",))


def job_of(suite):
    run = SuiteRun(suite=suite, recipe="r", why="new", estimate=1.0)
    job = Job(cell=CELL, execution="venv-cpu", backend="host", runner="local", environment="e",
              suites=(run,))  # fmt: skip
    return job, run


@pytest.fixture
def host(tmp_path):
    context = Context(
        run="r", work=tmp_path / "work", payload=tmp_path / "payload",
        env={"PATH": "/bin", "PYTHONPATH": "x"},
        threads=2, stop=threading.Event(),
    )  # fmt: skip
    return HostBackend(context, defaultdict(lambda: Path("/env/bin/python")))


def start(host, tmp_path, monkeypatch, suite, code=0):
    """Run a suite with a fake process; returns the order and the call."""
    calls = []

    def run(argv, **options):
        calls.append((argv, options))
        return Completed(code=code, output="Killed\n", seconds=1.0, timed_out=False)

    monkeypatch.setattr(interpreter, "run", run)
    job, run_ = job_of(suite)
    out = tmp_path / "job" / "out"
    out.mkdir(parents=True)
    host.run_suite(job, run_, host.provision(job, out, print), out, print)
    return json.loads((out / "job.json").read_text()), calls[0][1]


def test_a_suite_is_handed_over_as_an_order(host, tmp_path, monkeypatch):
    (tmp_path / "t").mkdir()
    suite = Suite(name="mine", tests=(tmp_path / "t",), pytest_args=("-x",), companions=("triton",),
                  env={"A": "1"}, timeout=9.0, test_timeout=3.0)  # fmt: skip
    order, call = start(host, tmp_path, monkeypatch, suite)
    assert (order["kind"], order["tests"], order["cwd"]) == (
        "pytest", [str(tmp_path / "t")], str(tmp_path / "t"),
    )  # fmt: skip
    assert (order["test_timeout"], order["deadline"]) == (3.0, 9.0)
    assert (order["pytest_args"], order["companions"]) == (["-x"], ["torchao", "triton"])
    assert call["timeout"] > 9.0
    env = call["env"]
    assert (env["A"], env["PYTHONPATH"]) == ("1", str(tmp_path / "payload"))
    assert (env["CUDA_VISIBLE_DEVICES"], env["OMP_NUM_THREADS"]) == ("", "2")
    assert not {"TMPDIR", "TORCHINDUCTOR_CACHE_DIR"} & set(env), "those are the supervisor's"


def test_python_in_a_command_is_the_cells(host, tmp_path, monkeypatch):
    suite = Suite(name="mine", command=("python", "-c", "python"), folder=tmp_path)
    order, _ = start(host, tmp_path, monkeypatch, suite)
    assert order["kind"] == "command"
    assert order["command"] == ["/env/bin/python", "-c", "/env/bin/python"]


def test_a_command_runs_beside_the_matrix_file(host, tmp_path, monkeypatch):
    """As every relative path of the file, wherever the caller stands."""
    suite = Suite(name="mine", command=("true",), folder=tmp_path)
    assert start(host, tmp_path, monkeypatch, suite)[0]["cwd"] == str(tmp_path)


def test_a_supervisor_that_left_no_report_is_a_crash(host, tmp_path, monkeypatch):
    suite = Suite(name="mine", command=("true",), folder=tmp_path)
    with pytest.raises(CellFailed) as caught:
        start(host, tmp_path, monkeypatch, suite, code=-9)
    assert (caught.value.verdict, caught.value.reason) == (
        "crash", "the suite left no report (exit -9: Killed)",
    )  # fmt: skip


def done(code, output, *, timed_out=False):
    return Completed(code=code, output=output, seconds=1.0, timed_out=timed_out)


@pytest.mark.parametrize(
    ("ended", "verdict", "reason"),
    [
        pytest.param(done(1, "error: no solution\n"), "uninstallable", "no solution",
                     id="no-solution-is-evidence"),
        pytest.param(done(NETWORK_FAILED, "error: dns\ncause: x"), "infra",
                     "cannot install: error: dns x", id="a-network-is-not"),
        pytest.param(done(1, "No space left on device (os error 28)"), "infra",
                     "cannot install: No space left on device (os error 28)", id="a-disk-is-not"),
        pytest.param(done(-9, "", timed_out=True), "infra", "to install took more than 1 s",
                     id="a-deadline-is-not"),
    ],
)  # fmt: skip
def test_a_failed_install_is_evidence_only_where_it_says_something_of_the_cell(
    ended, verdict, reason
):
    failure = venv._failed("install", ended)
    assert (failure.verdict, failure.reason) == (verdict, reason)


def test_a_recording_answers_with_what_it_has(tmp_path):
    suite = Suite(name="mine", command=("x",))
    job, run = job_of(suite)
    folder = tmp_path / "rec" / "cells" / CELL.id / "docker-cpu" / "mine"
    folder.mkdir(parents=True)
    for name in ("outcomes.jsonl", "probe.json", "requirements.lock", "rows.parquet",
                 "execution.json"):  # fmt: skip
        (folder / name).write_text(name)
    replay = ReplayBackend(tmp_path / "rec")
    out = tmp_path / "out"
    out.mkdir()
    environment = replay.provision(job, out, print)
    replay.probe(job, environment, out)
    replay.run_suite(job, run, environment, out, print)
    assert (environment.lock, environment.provision) == ("requirements.lock", "replayed")
    assert {path.name for path in out.iterdir()} == {
        "outcomes.jsonl", "probe.json", "requirements.lock",
    }, "what is derived is made again"  # fmt: skip


def test_a_recording_without_the_cell_says_so(tmp_path):
    job, _ = job_of(Suite(name="mine", command=("x",)))
    with pytest.raises(CellFailed) as caught:
        ReplayBackend(tmp_path).provision(job, tmp_path, print)
    assert caught.value.verdict == "not-run"
    assert caught.value.reason == f"`{tmp_path.name}` has no record of {CELL.id} on cpu"
