"""Which executions run, in what order, and why."""

from dataclasses import replace
from pathlib import Path

import pytest

from matrix import tracked
from matrix.accelerators import AccessSettings, Gpu, HostDevices
from matrix.cells import Cell
from matrix.definition import Runner, Suite
from matrix.entries import Entry
from matrix.plan import fits, make_plan, recipe
from matrix.runners import Inventory, RunnerInfo

CPU = HostDevices(driver=None, names=("CPU",))
RUNNER = RunnerInfo(name="local", devices={"cpu": CPU}, slots=2, cores=2, env={})
HERE = Inventory(runners=(RUNNER,))
CDI = AccessSettings(gpu="cdi")
CELL = Cell(torch="2.6.0", variant="cpu", python="3.11", device="cpu")
GPU = Cell(torch="2.6.0", variant="cu126", python="3.11", device="cuda")
MINE = Suite(name="mine", command=("true",))
TIMED = Suite(name="timed", command=("true",), exclusive=True)
KEY = (CELL.id, "venv-cpu", "mine")


def plan(*cells, suites=(MINE,), known=None, runner=RUNNER, **more):
    return make_plan(
        cells or (CELL,),
        suites,
        Inventory(runners=(runner,)),
        (known or {}).values(),
        backend="venv",
        **more,
    )


def entry(**more):
    fields = {"run": "r1", "cell": CELL.id, "execution": "venv-cpu", "suite": "mine",
              "recipe": recipe(CELL, MINE, "venv", HERE), "counts": {"pass": 1}}  # fmt: skip
    return {KEY: Entry(**{**fields, **more})}


def whys(made):
    return [run.why for job in made.jobs for run in job.suites]


def test_what_was_never_run_is_new():
    assert whys(plan()) == ["new"]


def test_what_has_todays_recipe_is_fresh():
    made = plan(known=entry())
    assert (made.jobs, [f.entry.run for f in made.fresh]) == ((), ["r1"])


@pytest.mark.parametrize(
    ("known", "more", "why"),
    [
        pytest.param(entry(recipe="old"), {}, "stale: recipe changed since r1", id="stale"),
        pytest.param(entry(recipe=recipe(CELL, replace(MINE, timeout=1.0), "host", HERE)), {},
                     "stale: environment, settings changed since r1", id="stale-in-parts"),
        pytest.param(entry(), {"rerun": "all"}, "asked for", id="all"),
        pytest.param(entry(counts={"fail": 1}), {"rerun": "failed"}, "failed last time",
                     id="failed"),
        pytest.param(entry(counts={"crash": 1, "pass": 5}), {"rerun": "failed"},
                     "failed last time", id="crashed"),
        pytest.param(entry(verdict="uninstallable", counts={"uninstallable": 1}),
                     {"rerun": "failed"}, "failed last time", id="uninstallable"),
        pytest.param(entry(verdict="infra", reason="no network", counts={"infra": 1}), {},
                     "infra last time: no network", id="infra-is-retried"),
        pytest.param(entry(counts={"not-run": 1, "pass": 1}), {}, "incomplete last time",
                     id="unfinished-is-retried"),
        pytest.param(entry(counts={"not-run": 1, "pass": 1}, seconds=1800.4), {},
                     "its deadline of 1800 s ended it last time; raise `timeout` in [suites.mine]",
                     id="a-deadline-that-is-too-short"),
        pytest.param(entry(verdict="no-runner", counts={"no-runner": 1}), {},
                     "a runner is there now", id="a-runner-came"),
    ],
)  # fmt: skip
def test_why_a_suite_runs_again(known, more, why):
    assert whys(plan(known=known, **more)) == [why]


@pytest.mark.parametrize(
    ("counts", "rerun"),
    [
        pytest.param({"fail": 1}, "stale", id="a-failure-is-evidence"),
        pytest.param({"pass": 1, "skip": 2, "unsupported": 3}, "failed", id="nothing-failed"),
    ],
)
def test_evidence_is_not_made_twice(counts, rerun):
    assert plan(known=entry(counts=counts), rerun=rerun).jobs == ()


def test_a_cell_without_a_device_is_planned_as_no_runner():
    [job] = plan(GPU).jobs
    assert job.no_runner == "no cuda device on runner `local` (it has: cpu)"
    assert job.estimate == 0.0


def test_a_cell_known_to_have_no_runner_is_fresh():
    known = Entry(run="r1", cell=GPU.id, execution="venv-cuda", suite="mine", verdict="no-runner",
                  recipe=recipe(GPU, MINE, "venv", HERE))  # fmt: skip
    made = plan(GPU, known={known.key: known})
    assert (made.jobs, len(made.fresh)) == ((), 1)


def test_a_driver_that_is_too_old_is_no_runner():
    old = HostDevices(driver="450.80.02", names=("GPU",))
    runner = replace(RUNNER, devices={"cpu": CPU, "cuda": old})
    [job] = plan(GPU, runner=runner).jobs
    assert job.no_runner.startswith("cu126 needs an NVIDIA driver >= ")


def test_a_gpu_build_that_runs_on_the_cpu_needs_no_driver():
    [job] = plan(replace(GPU, device="cpu")).jobs
    assert (job.no_runner, job.execution) == ("", "venv-cpu")


def test_suites_share_a_job_where_they_share_an_environment_and_the_exclusive_ones_come_last():
    other = Suite(name="other", command=("true",), requirements=("einops",))
    made = plan(suites=(TIMED, MINE, other))
    assert sorted([run.suite.name for run in job.suites] for job in made.jobs) == [
        ["mine", "timed"],
        ["other"],
    ]
    assert len({job.id for job in made.jobs}) == 2


def test_the_longest_job_starts_first():
    second = replace(CELL, torch="2.7.0")
    known = {
        **entry(recipe="old", seconds=10.0),
        (second.id, "venv-cpu", "mine"): Entry(
            run="r", cell=second.id, execution="venv-cpu", suite="mine", recipe="old", seconds=99.0
        ),
    }
    made = plan(CELL, second, known=known)
    assert [job.cell.torch for job in made.jobs] == ["2.7.0", "2.6.0"]
    assert made.estimate == (10.0 + 99.0) / 2


def test_what_runs_alone_counts_in_full():
    made = plan(suites=(MINE, TIMED))
    assert made.estimate == made.jobs[0].estimate * 0.75


def test_an_estimate_of_a_cell_never_seen_is_that_of_others():
    second = replace(CELL, torch="2.7.0")
    assert plan(second, known=entry(seconds=42.0)).jobs[0].estimate == 42.0


def test_a_replay_says_nothing_of_how_long_it_takes():
    second = replace(CELL, torch="2.7.0")
    replayed = plan(second, known=entry(seconds=0.01, execution="replay-cpu"))
    assert replayed.jobs[0].estimate == plan(second).jobs[0].estimate


def test_a_recipe_holds_all_that_is_known_before():
    """Whatever changes what a result means makes it stale; nothing else does."""

    def changed(cell=CELL, suite=MINE, backend="venv", runner=RUNNER, origin=""):
        return recipe(cell, suite, backend, Inventory(runners=(runner,)), (), origin) != recipe(
            CELL, MINE, "venv", HERE
        )

    assert not changed()
    assert not changed(runner=replace(RUNNER, slots=9, cores=64))
    assert changed(cell=replace(CELL, python="3.12"))
    assert changed(cell=replace(GPU, device="cpu"))
    assert changed(backend="host")
    assert changed(origin="another interpreter, or other packages in it")
    assert changed(runner=replace(RUNNER, env={"A": "1"}))
    settings = Runner(name="local")
    assert changed(runner=replace(RUNNER, settings=replace(settings, memory="8g")))
    assert changed(runner=replace(RUNNER, settings=replace(settings, access=CDI)))
    assert changed(suite=replace(MINE, command=("false",)))
    assert changed(suite=replace(MINE, requirements=("einops",)))
    assert changed(suite=replace(MINE, env={"A": "1"}))
    assert changed(suite=replace(MINE, timeout=1.0))
    assert changed(suite=replace(MINE, companions=("a",)))
    assert changed(suite=replace(MINE, command=(), source="a==1", tests=(Path("t"),)))


def test_a_runner_that_does_not_answer_tonight_makes_nothing_stale():
    far = replace(RUNNER, name="far", env={"A": "1"})
    before = recipe(CELL, MINE, "docker", Inventory(runners=(RUNNER, far)))
    assert recipe(CELL, MINE, "docker", Inventory(runners=(RUNNER,), silent=(far,))) == before
    assert recipe(CELL, MINE, "docker", HERE) != before


@pytest.mark.parametrize(
    ("command", "edited"),
    [
        pytest.param(("python", "run.py"), "helper.py", id="beside-the-script"),
        pytest.param(("python", "bench/run.py"), "bench/helper.py", id="in-its-folder"),
        pytest.param(("python", "-m", "pytest", "bench"), "bench/helper.py", id="a-named-folder"),
    ],
)
def test_what_a_command_may_import_is_part_of_its_recipe(tmp_path, command, edited):
    (tmp_path / "bench").mkdir()
    for name in ("run.py", "helper.py", "bench/run.py", "bench/helper.py", "notes.txt"):
        (tmp_path / name).write_text("a = 1\n")
    suite = Suite(name="mine", folder=tmp_path, command=command)

    def now():
        tracked.tree_hash.cache_clear()
        return recipe(CELL, suite, "venv", HERE)

    before = now()
    (tmp_path / "notes.txt").write_text("later")
    assert now() == before
    (tmp_path / edited).write_text("a = 2\n")
    assert now() != before


def test_an_edited_test_changes_the_recipe(tmp_path):
    (tmp_path / "test_a.py").write_text("def test(): pass\n")
    suite = Suite(name="mine", tests=(tmp_path,))
    before = recipe(CELL, suite, "venv", HERE)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").touch()
    tracked.tree_hash.cache_clear()
    assert recipe(CELL, suite, "venv", HERE) == before
    (tmp_path / "test_a.py").write_text("def test(): assert 1\n")
    tracked.tree_hash.cache_clear()
    assert recipe(CELL, suite, "venv", HERE) != before


def test_a_plan_says_all_of_it_as_json():
    made = plan(CELL, GPU, known=entry())
    data = made.as_json()
    assert [job["verdict"] for job in data["jobs"]] == ["no-runner"]
    assert data["fresh"][0]["run"] == "r1"
    assert (data["slots"], data["estimate_s"], data["excluded"]) == (2, 0.0, [])


def on(name, *models):
    """A runner with GPUs of these models."""
    gpus = tuple(Gpu(uuid=f"GPU-{n}", index=n, name=model) for n, model in enumerate(models))
    devices = {"cpu": CPU, "cuda": HostDevices(driver="580.1", names=models, gpus=gpus)}
    return replace(RUNNER, name=name, devices=devices)


def of_model(model, run="r1", **more):
    """A result on a GPU of a model."""
    fields = {"cell": GPU.id, "execution": "docker-cuda", "suite": "mine", "counts": {"pass": 1},
              "recipe": recipe(GPU, MINE, "docker", HERE)}  # fmt: skip
    return Entry(**{**fields, **more, "run": run, "device_model": model})


def for_gpus(*runners, known=()):
    return make_plan((GPU,), (MINE,), Inventory(runners=runners), known, backend="docker")


def test_a_result_of_another_gpu_model_makes_nothing_fresh():
    known = [of_model("NVIDIA H100")]
    assert for_gpus(on("one", "NVIDIA H100"), known=known).jobs == ()
    [job] = for_gpus(on("one", "NVIDIA H200"), known=known).jobs
    assert (job.models, whys(for_gpus(on("one", "NVIDIA H200")))) == (("NVIDIA H200",), ["new"])


def test_each_gpu_model_of_the_runners_gets_a_result_of_its_own():
    first, second = on("first", "NVIDIA H100"), on("second", "NVIDIA H200")
    known = [of_model("NVIDIA H100", run="r2")]
    [job] = for_gpus(first, second, known=known).jobs
    assert (job.runner, job.models) == ("second", ("NVIDIA H200",))
    assert [fits(job, runner) for runner in (first, second, on("third", "NVIDIA GPU"))] == [
        False, True, True,
    ]  # fmt: skip
    made = for_gpus(first, second, known=[*known, of_model("NVIDIA H200", run="r3")])
    assert (made.jobs, sorted(f.entry.run for f in made.fresh)) == ((), ["r2", "r3"])


def test_a_gpu_whose_model_nobody_tells_takes_what_there_is():
    """So does a cell that got to no GPU: it can be made nowhere."""
    assert for_gpus(on("far", "NVIDIA GPU"), known=[of_model("NVIDIA H100")]).jobs == ()
    known = [of_model("", verdict="uninstallable", counts={"uninstallable": 1})]
    assert for_gpus(on("one", "NVIDIA H200"), known=known).jobs == ()
