"""Two cells in turn: the order of rounds, what is measured again, what is kept."""

import json
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from matrix.backends import CellFailed, Environment, RunnerLost
from matrix.cells import Cell
from matrix.definition import Suite
from matrix.execution import Site
from matrix.interleaved import InTurn, carry_out
from matrix.plan import Job, SuiteRun
from matrix.process import Stopped
from matrix.store import Store

OLD, NEW = (
    Cell(torch=torch, variant="cpu", python="3.11", device="cpu") for torch in ("2.6.0", "2.7.0")
)
TESTS = ("test_w.py::test_a", "test_w.py::test_ab", "test_w.py::test_c")


def job_of(cell):
    run = SuiteRun(
        suite=Suite(name="mine", exclusive=True), recipe="r", why="asked for", estimate=2.0
    )
    return Job(cell=cell, execution="venv-cpu", backend="venv", runner="local", environment="e",
               suites=(run,))  # fmt: skip


class Fake:
    """A backend that records which round ran, and does what the test says in one of them."""

    name = "venv"

    def __init__(self, *, provision=None, fault=None, at=0):
        self.unmakeable, self.fault, self.at = provision or {}, fault, at
        self.rounds, self.deselected, self.discarded = [], [], []

    def provision(self, job, folder, stage):
        if job.cell in self.unmakeable:
            raise self.unmakeable[job.cell]
        return Environment(python=folder, provision="built", lock="torch", stages={})

    def probe(self, job, environment, out):
        found = {"torch": f"{job.cell.torch}+cpu", "python": "3.11.7", "accelerator": "cpu",
                 "device": "cpu", "cpu": {"model": "Test CPU"}}  # fmt: skip
        (out / "probe.json").write_text(json.dumps(found))

    def run_suite(self, job, run, environment, out, line):
        self.rounds.append(job.cell.torch)
        left_out = [a.partition("=")[2] for a in run.suite.pytest_args]
        self.deselected.append(left_out)
        (out / "suite.log").write_text("began\n")
        if self.fault and len(self.rounds) == self.at:
            raise self.fault
        events = []
        for test in TESTS:
            if test not in left_out:
                verdict = "fail" if test.endswith("_c") and len(self.rounds) == 2 else "pass"
                about = {"id": test, "workload": test[-1]}
                events.append({"event": "outcome", "verdict": verdict, **about})
                value = float(len(self.rounds))
                events.append({"event": "metric", "metric": "time", "unit": "s", "better": "lower",
                               "samples": [value], **about})  # fmt: skip
        text = "\n".join(map(json.dumps, [*events, {"event": "end"}]))
        (out / "outcomes.jsonl").write_text(text)

    def discard(self, job, folder):
        self.discarded.append(job.cell.torch)


@pytest.fixture
def world(tmp_path):
    """A function that compares with a backend: entries, rows, and what was leased."""
    watcher = SimpleNamespace(
        **dict.fromkeys(("started", "stage", "progress", "finished"), lambda *_: None)
    )
    store = Store(tmp_path / "results")
    leases = []

    @contextmanager
    def turn(job, need, say, gpus=1):
        leases.append(need)
        with nullcontext(()) as held:
            yield held

    def call(backend, *cells, pairs=2, again=lambda _before, _after: (set(), 0)):
        site = Site(backend=backend, bundle=store.create({}), turn=turn, watcher=watcher,
                    work=tmp_path / "work")  # fmt: skip
        jobs = [job_of(cell) for cell in dict.fromkeys(cells)]
        turns = InTurn(before=cells[0].id, after=cells[1].id, pairs=pairs)
        try:
            return carry_out(jobs, turns, site, again)
        finally:
            call.run = store.runs()[-1]

    call.leases, call.store = leases, store
    return call


def rows_of(world):
    return world.store.rows(world.run.entries)


def test_rounds_take_turns_on_one_lease_and_every_second_pair_turns_round(world):
    backend = Fake()
    entries = world(backend, OLD, NEW, pairs=3)
    assert backend.rounds == ["2.6.0", "2.7.0", "2.7.0", "2.6.0", "2.6.0", "2.7.0"]
    assert world.leases.count("alone") == 1
    assert backend.discarded == ["2.7.0", "2.6.0"]
    assert [e.cell for e in entries] == [OLD.id, NEW.id]
    found = {(r.cell, r.side, r.round) for r in rows_of(world) if r.metric}
    assert found == {(OLD.id, "before", n) for n in (1, 2, 3)} | {
        (NEW.id, "after", n) for n in (1, 2, 3)
    }


def test_a_test_has_one_outcome_whatever_the_rounds(world):
    """The worst of all rounds, which says of how many it is."""
    world(Fake(), OLD, NEW)
    outcomes = {(r.cell, r.test): (r.verdict, r.reason) for r in rows_of(world) if not r.metric}
    assert len(outcomes) == 6
    assert outcomes[NEW.id, TESTS[2]] == ("fail", "(in 1 of 2 rounds)")
    assert outcomes[OLD.id, TESTS[2]] == ("pass", "")
    counts = {entry.cell: entry.counts for entry in world.run.entries}
    assert counts == {OLD.id: {"pass": 3}, NEW.id: {"pass": 2, "fail": 1}}


def test_what_stands_out_is_measured_again_alone(world):
    """Also where another test's name begins its own: pytest deselects by how an id begins."""
    backend = Fake()
    seen = []

    def again(before, after):
        seen.append(({row.side for row in before}, {row.side for row in after}))
        return {TESTS[1]}, 2

    world(backend, OLD, NEW, again=again)
    assert seen == [({"before"}, {"after"})]
    assert backend.deselected == [[]] * 4 + [[TESTS[2]]] * 4
    again_rows = [row for row in rows_of(world) if row.phase == "again"]
    assert {(r.round, r.side) for r in again_rows} == {
        (n, side) for n in (1, 2) for side in ("before", "after")
    }


def test_a_cell_against_itself_is_installed_once(world):
    backend = Fake()
    [entry] = world(backend, OLD, OLD)
    assert backend.discarded == ["2.6.0"]
    assert entry.counts == {"pass": 2, "fail": 1}
    sides = [row.side for row in rows_of(world) if row.metric and row.test == TESTS[0]]
    assert sides == ["before", "after", "after", "before"]


def test_a_round_that_crashes_costs_that_round(world):
    crash = CellFailed("crash", "the suite left no report")
    entries = world(Fake(fault=crash, at=3), OLD, NEW, pairs=2)
    assert [e.verdict for e in entries] == ["", ""]
    rounds = [(r.cell, r.round) for r in rows_of(world) if r.metric and r.test == TESTS[0]]
    assert rounds == [(OLD.id, 1), (OLD.id, 2), (NEW.id, 1)]


def test_where_one_cell_cannot_be_made_the_other_is_not_run(world):
    backend = Fake(provision={NEW: CellFailed("uninstallable", "no wheel")})
    entries = world(backend, OLD, NEW)
    assert {e.cell: (e.verdict, e.reason) for e in entries} == {
        NEW.id: ("uninstallable", "no wheel"),
        OLD.id: ("not-run", f"the other cell, `{NEW.id}`, could not be run"),
    }
    assert backend.rounds == []
    assert set(backend.discarded) == {"2.6.0", "2.7.0"}


def test_a_lost_runner_is_infrastructure(world):
    entries = world(Fake(fault=RunnerLost("engine gone"), at=2), OLD, NEW)
    assert [e.verdict for e in entries] == ["infra", "not-run"]


def test_a_stop_keeps_the_rounds_that_ended(world):
    with pytest.raises(Stopped):
        world(Fake(fault=Stopped(), at=4), OLD, NEW, pairs=3)
    rounds = {(r.cell, r.round) for r in rows_of(world) if r.metric}
    assert rounds == {(OLD.id, 1), (NEW.id, 1), (NEW.id, 2)}
    assert not list(world.run.path.rglob("04-*")), "the round that did not end leaves nothing"
    assert not list(world.run.path.rglob(".mine*"))
