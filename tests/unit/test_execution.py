"""One job through its stages: what is kept, and which verdict each kind of ending has."""

import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from matrix.backends import CellFailed, Environment, RunnerLost, RunnerUnfit
from matrix.backends.compiled import CompileCaches
from matrix.cells import Cell
from matrix.compilecache.remote import Remote
from matrix.compilecache.shared import SharedCache
from matrix.definition import Suite
from matrix.execution import Site, Unfinished, abandon, carry_out
from matrix.identity import identity, probed_variant
from matrix.plan import Job, SuiteRun
from matrix.process import Stopped
from matrix.rowfiles import read_rows
from matrix.store import Store

CELL = Cell(torch="2.6.0", variant="cpu", python="3.11", device="cpu")
PROBE = {"torch": "2.6.0+cpu", "python": "3.11.7", "accelerator": "cpu", "device": "cpu",
         "cpu": {"model": "Test CPU"}}  # fmt: skip


def job_of(*suites, **more):
    runs = tuple(
        SuiteRun(suite=Suite(name=n, command=("x",)), recipe=f"r-{n}", why="new", estimate=1.0)
        for n in suites or ("mine",)
    )
    fields = {"cell": CELL, "execution": "venv-cpu", "backend": "venv", "runner": "local",
              "environment": "e", "suites": runs}  # fmt: skip
    return Job(**{**fields, **more})


class Fake:
    """A backend that does what the test says."""

    name = "venv"

    def __init__(self, *, probe=PROBE, provision=None, suite=None):
        self.found, self.error, self.suite, self.discarded = probe, provision, suite, 0

    def provision(self, job, folder, stage):
        stage("install")
        (folder / "install.log").write_text("installed\n")
        if self.error:
            raise self.error
        return Environment(
            python=folder, provision="built", lock="torch==2.6.0", stages={"lock": 1}
        )

    def probe(self, job, environment, out):
        if self.found is not None:
            (out / "probe.json").write_text(json.dumps(self.found))

    def run_suite(self, job, run, environment, out, line):
        line("outcome 1/1 pass t")
        if self.suite:
            self.suite(run, out)
            return
        events = [{"event": "outcome", "id": "t", "verdict": "pass"}, {"event": "end"}]
        (out / "outcomes.jsonl").write_text("\n".join(map(json.dumps, events)))

    def discard(self, job, folder):
        self.discarded += 1


@pytest.fixture
def site(tmp_path):
    calls = []
    watcher = SimpleNamespace(
        **{
            name: lambda *args, name=name: calls.append((name, *args))
            for name in ("started", "stage", "progress", "finished")
        },
        calls=calls,
    )
    bundle = Store(tmp_path / "results").create({})

    def make(backend):
        return Site(
            backend=backend, bundle=bundle, turn=lambda *_: nullcontext(()), watcher=watcher,
            work=tmp_path / "work",
        )  # fmt: skip

    return make


def kept(site_):
    return sorted(str(p.relative_to(site_.bundle.path)) for p in site_.bundle.path.rglob("*.log"))


def test_a_suite_is_kept_with_its_rows_and_logs(site):
    here = site(Fake())
    [entry] = carry_out(job_of(), here)
    assert (entry.verdict, entry.counts, entry.provision) == ("", {"pass": 1}, "built")
    assert (entry.recipe, set(entry.stages)) == ("r-mine", {"lock", "probe", "tests"})
    assert kept(here) == [f"cells/{CELL.id}/venv-cpu/mine/install.log"]
    folder = here.bundle.path / "cells" / CELL.id / "venv-cpu" / "mine"
    assert (folder / "requirements.lock").read_text() == "torch==2.6.0"
    assert ("progress", "torch2.6.0-cpu-py3.11/venv-cpu/mine:mine", 1, 1) in here.watcher.calls


def test_rounds_are_fresh_processes_of_one_suite(site):
    """Each leaves its numbers; of a test it is the worst outcome that counts."""
    made = []

    def suite(run, out):
        made.append(out)
        verdict = "fail" if len(made) == 2 else "pass"
        metric = {"event": "metric", "id": "t", "metric": "time", "unit": "s", "better": "lower",
                  "samples": [float(len(made))]}  # fmt: skip
        events = [{"event": "outcome", "id": "t", "verdict": verdict}, metric, {"event": "end"}]
        (out / "outcomes.jsonl").write_text("\n".join(map(json.dumps, events)))

    job = job_of()
    (run,) = job.suites
    several = replace(job, suites=(replace(run, suite=replace(run.suite, rounds=3)),))
    there = site(Fake(suite=suite))
    (entry,) = carry_out(several, there)
    (file,) = there.bundle.path.rglob("rows.parquet")
    rows = read_rows(file)

    assert [path.name for path in made[1:]] == ["02", "03"]
    assert dict(entry.counts) == {"fail": 1}
    assert [(row.round, row.median) for row in rows if row.metric] == [(1, 1.0), (3, 3.0)]
    assert "in 1 of 3 rounds" in next(row.reason for row in rows if row.verdict)


@pytest.mark.parametrize("verdict", ["uninstallable", "infra", "no-runner"])
def test_a_cell_that_gets_no_further_is_one_row_for_every_suite(site, verdict):
    here = site(Fake(provision=CellFailed(verdict, "because")))
    entries = carry_out(job_of("one", "two"), here)
    assert [(e.suite, e.verdict, e.reason) for e in entries] == [
        ("one", verdict, "because"),
        ("two", verdict, "because"),
    ]
    rows = Store(here.bundle.path.parents[2]).rows(entries)
    assert [(row.test, row.verdict) for row in rows] == [("", verdict), ("", verdict)]
    assert len(kept(here)) == 2, "its log says how far it came"


def test_a_job_without_a_runner_makes_no_environment(site):
    backend = Fake(provision=AssertionError("must not be made"))
    [entry] = carry_out(job_of(no_runner="no cuda device"), site(backend))
    assert (entry.verdict, entry.reason) == ("no-runner", "no cuda device")


def test_a_suite_that_cannot_be_run_does_not_take_the_others_along(site):
    def suite(run, out):
        if run.suite.name == "one":
            raise CellFailed("crash", "left no report")
        (out / "outcomes.jsonl").write_text('{"event": "outcome", "id": "t", "verdict": "pass"}')

    one, two = carry_out(job_of("one", "two"), site(Fake(suite=suite)))
    assert (one.verdict, one.counts) == ("crash", {"crash": 1})
    assert (two.verdict, two.counts) == ("", {"pass": 1})
    assert two.reason == "the suite ended without its closing line"


def test_a_lost_runner_leaves_what_finished_and_says_what_is_left(site):
    def suite(run, out):
        if run.suite.name == "two":
            raise RunnerLost("the engine went away")
        (out / "outcomes.jsonl").write_text('{"event": "outcome", "id": "t", "verdict": "pass"}')

    here = site(Fake(suite=suite))
    with pytest.raises(Unfinished, match="the engine went away") as lost:
        carry_out(job_of("one", "two", "three"), here)
    assert [entry.suite for entry in lost.value.done] == ["one"]
    assert [run.suite.name for run in lost.value.rest.suites] == ["two", "three"]
    folder = here.bundle.path / "cells" / CELL.id / "venv-cpu"
    assert [path.name for path in folder.iterdir()] == ["one"]
    entries = abandon(lost.value.rest, CellFailed("infra", "no engine is left"), here)
    assert [(e.suite, e.verdict, e.reason) for e in entries] == [
        ("two", "infra", "no engine is left"),
        ("three", "infra", "no engine is left"),
    ]


def test_an_unfit_runner_hands_a_job_on_and_what_it_saw_is_kept(site):
    backend = Fake(provision=RunnerUnfit("no-runner", "the engine has no toolkit"))
    here = site(backend)
    with pytest.raises(Unfinished) as left:
        carry_out(job_of("one", "two"), here)
    assert (left.value.done, backend.discarded) == ([], 0)
    assert not list(here.bundle.path.glob("cells/*/*/*")), "no verdict yet"
    entries = abandon(left.value.rest, left.value.failure, here)
    assert [(e.suite, e.verdict) for e in entries] == [("one", "no-runner"), ("two", "no-runner")]
    logs = here.bundle.path.glob("cells/*/*/*/install.log")
    assert [log.read_text() for log in logs] == ["installed\n"] * 2
    assert backend.discarded == 1


def test_a_gpu_that_a_cell_does_not_see_may_be_seen_on_another_runner(site):
    cell = Cell(torch="2.6.0", variant="cu124", python="3.11", device="cuda")
    found = {**PROBE, "torch": "2.6.0+cu124", "accelerator": "cuda"}
    with pytest.raises(Unfinished, match="device is cpu, not cuda") as left:
        carry_out(job_of(cell=cell), site(Fake(probe=found)))
    assert isinstance(left.value.failure, RunnerUnfit)


def test_a_stopped_suite_leaves_nothing_half_done(site):
    def suite(run, out):
        if run.suite.name == "two":
            raise Stopped
        (out / "outcomes.jsonl").write_text('{"event": "outcome", "id": "t", "verdict": "pass"}')

    backend = Fake(suite=suite)
    here = site(backend)
    with pytest.raises(Stopped):
        carry_out(job_of("one", "two"), here)
    folder = here.bundle.path / "cells" / CELL.id / "venv-cpu"
    assert [path.name for path in folder.iterdir()] == ["one"]
    assert backend.discarded == 1


@pytest.mark.parametrize(
    ("probe", "verdict", "reason"),
    [
        pytest.param(None, "infra", "the identity probe left no report", id="no-report"),
        pytest.param({"torch": None, "errors": ["libgomp missing"]}, "build-failed",
                     "`import torch` failed: libgomp missing", id="torch-does-not-import"),
        pytest.param({"torch": None, "errors": []}, "build-failed",
                     "`import torch` failed: no reason given", id="and-says-nothing"),
        pytest.param({**PROBE, "torch": "2.7.0+cpu"}, "infra",
                     "the environment is not the cell: torch is 2.7.0, not 2.6.0", id="release"),
        pytest.param({**PROBE, "torch": "2.6.0+cu124", "python": "3.12.1", "device": "cuda"},
                     "infra", "the environment is not the cell: variant is cu124, not cpu; Python "
                     "is 3.12, not 3.11; device is cuda, not cpu", id="all-the-rest"),
    ],
)  # fmt: skip
def test_an_environment_must_prove_that_it_is_the_cell(site, probe, verdict, reason):
    [entry] = carry_out(job_of(), site(Fake(probe=probe)))
    assert (entry.verdict, entry.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("probe", "variant"),
    [
        pytest.param({"torch": "2.6.0+cpu"}, "cpu", id="local-version"),
        pytest.param({"torch": "2.6.0", "accelerator": "cuda", "cuda": "12.4"}, "cu124",
                     id="a-registrys-cuda-wheel-has-none"),
        pytest.param({"torch": "2.9.0", "accelerator": "rocm", "rocm": "7.2", "hip": "7.2.1"},
                     "rocm7.2", id="rocm"),
        pytest.param({"torch": "2.6.0", "accelerator": "cpu"}, "cpu", id="a-registrys-cpu-wheel"),
    ],
)  # fmt: skip
def test_a_build_is_named_by_what_it_is(probe, variant):
    assert probed_variant(probe) == variant


def test_a_free_threaded_cell_has_that_python(site):
    cell = Cell(torch="2.6.0", variant="cpu", python="3.14t", device="cpu")
    good = {**PROBE, "python": "3.14.0", "free_threaded": True}
    assert identity(job_of(cell=cell), good) == ""
    assert identity(job_of(cell=cell), {**good, "free_threaded": False}) == (
        "the environment is not the cell: Python is 3.14, not 3.14t"
    )


def test_evidence_moves_with_what_was_really_there(site):
    entries = [carry_out(job_of(name), site(Fake(probe={**PROBE, "driver": driver})))[0]
               for name, driver in (("one", "550"), ("two", "580"))]  # fmt: skip
    assert entries[0].evidence != entries[1].evidence


def test_rows_of_a_hostile_probe_can_still_be_written(site):
    hostile = {**PROBE, "power_limit_w": "lots", "devices": 5, "cpu": "fast", "driver": ["x"]}
    [entry] = carry_out(job_of(), site(Fake(probe=hostile)))
    assert entry.counts == {"pass": 1}


def test_a_disk_that_is_full_is_not_the_cells_fault(site):
    """Only expected failures become rows; the others end the run, which keeps what finished."""
    with pytest.raises(OSError, match="No space left"):
        carry_out(job_of(), site(Fake(provision=OSError(28, "No space left on device"))))


class Compiling(Fake):
    """Compiles in its suite, and says what it began with as the supervisor does."""

    def run_suite(self, job, run, environment, out, line):
        folder = environment.compile_cache
        state = "warm" if any(folder.iterdir()) else "cold"
        (folder / "inductor").mkdir(exist_ok=True)
        (folder / "inductor" / "kernel").write_text("compiled")
        events = [{"event": "suite", "compile_cache": state},
                  {"event": "outcome", "id": "t", "verdict": "pass"}, {"event": "end"}]  # fmt: skip
        (out / "outcomes.jsonl").write_text("\n".join(map(json.dumps, events)))


def test_a_second_machine_begins_with_what_the_first_one_compiled(site, tmp_path):
    def on(machine, **more):
        here = site(Compiling())
        caches = CompileCaches(root=tmp_path / machine, **more)
        remote = SharedCache(remote=Remote(url=str(tmp_path / "remote")))
        bundle = Store(tmp_path / "results" / machine).create({})
        there = replace(here, caches=caches, shared=remote, bundle=bundle)
        [entry] = carry_out(job_of("feature"), there)
        rows = Store(tmp_path / "results" / machine).rows([entry])
        return entry.cache, {row.compile_cache for row in rows}

    first, second, third, cold = on("one"), on("two"), on("two"), on("three", cold=True)
    assert [used for _, used in (first, second, third, cold)] == [
        {"cold"}, {"pulled"}, {"warm"}, {"cold"},
    ]  # fmt: skip
    assert (first[0]["state"], second[0]["state"], third[0]["state"]) == ("miss", "pulled", "kept")
    assert (second[0]["content"], second[0]["pushed"]) == (
        first[0]["pushed"], "nothing: hardly more than was pulled",
    )  # fmt: skip
    assert [told["key"] for told, _ in (second, third, cold)] == [first[0]["key"]] * 3


def test_a_remote_that_fails_is_a_warning_of_the_entry(site, tmp_path):
    (tmp_path / "file").touch()
    remote = SharedCache(remote=Remote(url=str(tmp_path / "file" / "deeper")))
    here = replace(site(Compiling()), caches=CompileCaches(root=tmp_path / "c"), shared=remote)
    [entry] = carry_out(job_of("feature"), here)
    assert (entry.verdict, entry.counts, entry.reason) == ("", {"pass": 1}, "")
    assert "the compile cache was not pushed: " in entry.cache["warning"]


def test_nothing_is_shared_of_suites_that_keep_no_cache(site, tmp_path):
    remote = SharedCache(remote=Remote(url=str(tmp_path / "remote")))
    here = replace(site(Fake()), caches=CompileCaches(root=tmp_path / "c"), shared=remote)
    [entry] = carry_out(job_of("throughput"), here)
    assert entry.cache == {}
    assert not (tmp_path / "remote").exists()


def test_a_damaged_archive_is_a_warning_and_the_suite_begins_cold(site, tmp_path):
    def on(machine):
        remote = SharedCache(remote=Remote(url=str(tmp_path / "remote")))
        bundle = Store(tmp_path / "results" / machine).create({})
        caches = CompileCaches(root=tmp_path / machine)
        here = replace(site(Compiling()), caches=caches, shared=remote, bundle=bundle)
        [entry] = carry_out(job_of("feature"), here)
        [row] = Store(tmp_path / "results" / machine).rows([entry])
        return entry, row.compile_cache

    on("one")
    [archive] = (tmp_path / "remote").iterdir()
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    entry, began = on("two")
    assert (entry.counts, began, entry.cache["state"]) == ({"pass": 1}, "cold", "failed")
    assert entry.cache["warning"].startswith("the compile cache was not pulled: ")
    assert on("three")[1] == "pulled", "a whole one took its place"
