"""What the docker backend hands to containers, and what their ends mean for a suite."""

import io
import json
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest

from matrix import tracked
from matrix.accelerators import DeviceAccess
from matrix.backends import CellFailed, Context, RunnerLost, docker, mounted
from matrix.backends.docker import Box, DockerBackend, Mounted, judge_end
from matrix.backends.endings import blame_memory, close_report
from matrix.backends.processors import CpuShares, usable
from matrix.backends.travel import suite_files
from matrix.cells import Cell
from matrix.definition import Suite
from matrix.engines.archives import Extracted
from matrix.engines.connection import Engine, EngineLost
from matrix.engines.containers import End
from matrix.engines.refusals import StartRefused
from matrix.plan import Job, SuiteRun
from matrix.process import Completed
from matrix.resources import files_under

GIB = 1 << 30
CELL = Cell(torch="2.6.0", variant="cpu", python="3.11", device="cpu", companions=("torchao==0.9",))
GOOD = End(code=0, oom=False, cause="", seconds=2.0, last_line="")


def job_of(suite):
    run = SuiteRun(suite=suite, recipe="r", why="new", estimate=1.0)
    return Job(cell=CELL, execution="docker-cpu", backend="docker", runner="local", environment="e",
               suites=(run,))  # fmt: skip


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A backend whose containers end as a test says and leave what it says."""
    world = SimpleNamespace(end=GOOD, left={}, orders=[], fetched=[], error=None, calls=[])

    @contextmanager
    def started(_engine, order):
        world.orders.append(order)
        if world.error:
            raise world.error
        yield "container"

    def follow(_engine, _container, **options):
        world.calls.append(options)
        return world.end

    def fetch(_engine, _container, path, folder, _caps):
        world.fetched.append(path)
        name = PurePosixPath(path).name
        if name in world.left:
            (folder / name).write_text(world.left[name])
        return Extracted(files=(), complaints=())

    for function in (started, follow, fetch):
        monkeypatch.setattr(docker, function.__name__, function)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    client = SimpleNamespace(info=lambda: {"MemTotal": 20 * GIB, "NCPU": 4})
    world.engine = Engine("unix:///x", client, None)
    payload = tmp_path / "payload"
    (payload / "matrix").mkdir(parents=True)
    (payload / "matrix" / "__init__.py").touch()
    (payload / "suites" / "feature").mkdir(parents=True)
    context = Context(run="run7", work=tmp_path / "0", payload=payload, threads=1,
                      stop=threading.Event(), env={"PATH": "/bin", "TOKEN": "secret"})  # fmt: skip
    image = SimpleNamespace(
        id="sha256:1",
        lock="torch==1",
        install_bytes=7,
        size=9,
        stages={"build": 1.0},
        base="slim sha256:2",
        builder="buildkit-api",
    )
    world.images = SimpleNamespace(make=lambda *_: image)
    world.out = tmp_path / "out"
    world.out.mkdir()

    def backend(**box):
        settings = Box(**{"owner": "me", "slots": 2, "env": {"RUNNER": "1"}, **box})
        access = DeviceAccess(env={"LEASE": "GPU-1"})
        return DockerBackend(
            context, world.engine, world.images, lambda _job, _gpus: access, settings
        )

    def run(suite, compile_cache=None, **box):
        made = backend(**box)
        job = job_of(suite)
        environment = replace(made.provision(job, tmp_path, print), compile_cache=compile_cache)
        made.run_suite(job, job.suites[0], environment, world.out, print)
        return world.orders[-1]

    world.backend, world.run, world.tmp = backend, run, tmp_path
    return world


def members(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: tar.extractfile(m).read().decode() if m.isreg() else None for m in tar}


def test_an_image_becomes_an_environment(world):
    made = world.backend().provision(job_of(Suite(name="feature")), world.tmp, print)
    assert (made.provision, made.lock, made.install_bytes) == ("built", "torch==1", 7)
    assert (made.image_bytes, made.base, made.builder) == (9, "slim sha256:2", "buildkit-api")
    assert (str(made.python), made.image) == ("/opt/venv/bin/python", "sha256:1")


def test_a_built_in_suite_is_in_the_image(world):
    world.left = {"outcomes.jsonl": ""}
    order = world.run(Suite(name="feature", timeout=9.0))
    assert order.command == (
        "/opt/venv/bin/python", "-m", "matrix.inside.supervise", "--no-tether",
        "/results/out/job.json",
    )  # fmt: skip
    assert set(order.files) == {"/results"}
    files = members(order.files["/results"])
    spec = json.loads(files["out/job.json"])
    assert spec == json.loads((world.out / "job.json").read_text())
    assert (spec["tests"], spec["cwd"], spec["out"]) == (
        ["/opt/payload/suites/feature"], "/opt/payload/suites/feature", "/results/out",
    )  # fmt: skip
    assert spec["companions"] == ["torchao"]
    assert world.fetched == ["/results/out/outcomes.jsonl", "/results/out/suite.log"]
    assert world.calls[0]["timeout"] > 9.0, "the supervisor's own deadline comes first"


def test_compiled_code_is_brought_in_and_what_is_new_comes_out(world, monkeypatch):
    kept = world.tmp / "kept"
    (kept / "inductor").mkdir(parents=True)
    (kept / "inductor" / "old").write_text("mine")

    def fetch(_engine, _container, path, folder, _caps):
        world.fetched.append(path)
        if path == "/results/compiled":
            (folder / "compiled" / "inductor").mkdir(parents=True)
            for name in ("old", "new"):
                (folder / "compiled" / "inductor" / name).write_text("theirs")
            return Extracted(files=(), complaints=("a link was refused",))
        return Extracted(files=(), complaints=())

    monkeypatch.setattr(docker, "fetch", fetch)
    world.left = {}
    (world.tmp / "0").mkdir()
    order = world.run(Suite(name="feature"), compile_cache=kept)
    found = members(order.files["/results"])
    assert found["compiled/inductor/old"] == "mine"
    assert json.loads(found["out/job.json"])["compile_cache"] == "/results/compiled"
    assert {p.name: p.read_text() for p in kept.glob("*/*")} == {"old": "mine", "new": "theirs"}
    assert "a link was refused" in (world.out / "supervise.log").read_text()
    assert not list((world.tmp / "0").iterdir())


def test_nothing_compiled_travels_where_nothing_is_kept(world):
    order = world.run(Suite(name="feature"))
    found = members(order.files["/results"])
    assert "compile_cache" not in json.loads(found["out/job.json"])
    assert "/results/compiled" not in world.fetched
    assert not any("compiled" in name for name in found)


def test_a_command_without_files_has_a_folder_to_run_in(world):
    world.left = {"outcomes.jsonl": ""}
    order = world.run(Suite(name="mine", command=("python", "-c", "1"), folder=world.tmp))
    assert json.loads((world.out / "job.json").read_text())["cwd"] == "/suite"
    assert members(order.files["/suite"]) == {}


def test_a_container_sees_a_clean_environment(world):
    world.left = {"outcomes.jsonl": ""}
    order = world.run(Suite(name="feature", env={"MINE": "1"}))
    assert order.env["MINE"] == order.env["RUNNER"] == "1"
    assert not {"TOKEN", "PATH"} & set(order.env), "the image has its own, ours is nobody's"
    assert order.env["CUDA_VISIBLE_DEVICES"] == ""
    assert order.env["OMP_NUM_THREADS"] == "2"
    assert order.access.env == {"LEASE": "GPU-1"}
    assert order.labels["torch-matrix.run"] == "run7"
    assert order.labels["torch-matrix.owner"] == "me"


def test_limits_are_a_share_of_the_machine_unless_it_runs_alone(world):
    world.left = {"outcomes.jsonl": ""}
    shared = world.run(Suite(name="feature"))
    assert (shared.limits.memory, shared.limits.cpus) == (9 * GIB, (0, 1))
    alone = world.run(Suite(name="feature", exclusive=True))
    assert (alone.limits.memory, alone.limits.cpus) == (18 * GIB, (0, 1, 2, 3))
    assert alone.env["OMP_NUM_THREADS"] == "4"
    assert world.run(Suite(name="feature"), memory=GIB).limits.memory == GIB


def test_a_container_that_the_engine_refuses_is_no_failure(world):
    world.error = StartRefused("no-runner", "no GPU")
    with pytest.raises(CellFailed) as caught:
        world.run(Suite(name="feature"))
    assert (caught.value.verdict, caught.value.reason) == ("no-runner", "no GPU")
    made, job = world.backend(), job_of(Suite(name="feature"))
    environment = made.provision(job, world.tmp, print)
    with pytest.raises(CellFailed, match="no-runner"):
        made.probe(job, environment, world.out)


def test_an_engine_that_goes_away_is_a_lost_runner(world):
    """Another one may do the job: it says nothing about the cell."""
    world.error = EngineLost("it went away")
    with pytest.raises(RunnerLost, match="it went away"):
        world.run(Suite(name="feature"))


@pytest.mark.parametrize("answers", [True, False])
def test_a_build_without_an_engine_is_a_lost_runner(world, monkeypatch, answers):
    def make(*_):
        raise CellFailed("infra", "the engine failed")

    def check(_engine):
        if not answers:
            raise EngineLost("refused")

    world.images.make = make
    made = world.backend()
    monkeypatch.setattr(Engine, "check", check)
    with pytest.raises(CellFailed if answers else RunnerLost, match="the engine failed"):
        made.provision(job_of(Suite(name="feature")), world.tmp, print)
    assert made.answers() == answers


def test_a_suite_that_its_engine_stopped_says_nothing_about_the_cell(world):
    """Whatever the report says: it was not written to its end; another engine may do it."""
    world.end = End(code=0, oom=False, cause="stopped-by-engine", seconds=1, last_line="")
    world.left = {"outcomes.jsonl": '{"event": "outcome", "id": "a", "verdict": "fail"}\n'}
    with pytest.raises(
        RunnerLost, match="was stopped by the engine: someone asked it to, or it was"
    ):
        world.run(Suite(name="feature"))


def test_an_image_whose_interpreter_does_not_start_says_nothing_about_the_cell(world):
    world.end = End(code=127, oom=False, cause="", seconds=1, last_line="[FATAL] exec x: no")
    with pytest.raises(CellFailed) as caught:
        world.run(Suite(name="feature"))
    assert (caught.value.verdict, caught.value.reason) == (
        "infra",
        "`/opt/venv/bin/python` does not start in the image `sha256:1`: [FATAL] exec x: no",
    )


def test_a_probe_that_never_ends(world):
    world.end = End(code=137, oom=False, cause="timeout", seconds=180, last_line="")
    made, job = world.backend(), job_of(Suite(name="feature", companions=("triton",)))
    environment = made.provision(job, world.tmp, print)
    with pytest.raises(CellFailed, match="took more than 180 s"):
        made.probe(job, environment, world.out)
    assert world.orders[0].command[-3:] == ("/results/out/probe.json", "torchao", "triton")


OPEN = [
    {"event": "item", "id": "a"},
    {"event": "item", "id": "b", "feature": "matmul", "title": "Matmul"},
    {"event": "item", "id": "c"},
    {"event": "start", "id": "a"},
    {"event": "outcome", "id": "a", "verdict": "pass"},
    {"event": "start", "id": "b"},
]


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "outcomes.jsonl"

    def write(*events, tail=""):
        path.write_text("".join(json.dumps(event) + "\n" for event in events) + tail)
        return path

    write.read = lambda: [json.loads(line) for line in path.read_text().splitlines() if line]
    return write


def test_a_report_of_a_killed_suite_is_closed(report):
    close_report(report(*OPEN), "timeout", "it was killed")
    added = report.read()[len(OPEN) :]
    assert [(e.get("id"), e["event"], e.get("verdict"), e["reason"]) for e in added] == [
        ("b", "outcome", "timeout", "it was killed"),
        ("c", "outcome", "not-run", "never started: it was killed"),
        (None, "end", None, "it was killed"),
    ]
    assert (added[0]["feature"], added[0]["title"]) == ("matmul", "Matmul")


def test_a_line_that_was_cut_off_spoils_only_itself(report):
    path = report(*OPEN, tail='{"event": "outco')
    close_report(path, "oom", "x")
    lines = path.read_text().splitlines()
    assert lines[len(OPEN)] == '{"event": "outco'
    assert json.loads(lines[len(OPEN) + 1])["verdict"] == "oom"


def test_a_crash_by_sigkill_at_the_memory_limit_is_out_of_memory(report):
    path = report(
        {"event": "outcome", "id": "a", "verdict": "crash", "reason": "ended by SIGKILL: x"},
        {"event": "outcome", "id": "b", "verdict": "crash", "reason": "ended by SIGSEGV"},
        {"event": "outcome", "id": "c", "verdict": "fail", "reason": "SIGKILL expected"},
    )
    blame_memory(path, 512 << 20)
    assert report.read()[3:] == [
        {"event": "outcome", "id": "a", "verdict": "oom",
         "reason": "the container's memory limit of 512 MiB was reached: ended by SIGKILL: x"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("end", "verdict", "reason"),
    [
        pytest.param(End(code=137, oom=True, cause="oom", seconds=1, last_line=""), "oom",
                     "the container was killed at its memory limit of 1024 MiB", id="oom"),
        pytest.param(End(code=0, oom=True, cause="", seconds=1, last_line=""), "oom",
                     "the container was killed at its memory limit of 1024 MiB", id="oom-exit-0"),
        pytest.param(End(code=137, oom=False, cause="timeout", seconds=61, last_line=""), "timeout",
                     "the suite was killed after 61 s", id="timeout"),
        pytest.param(End(code=137, oom=False, cause="too-much", seconds=9, last_line=""), "crash",
                     "the suite was killed: it left more than 1024 MiB in its results",
                     id="too-much"),
        pytest.param(End(code=1, oom=False, cause="", seconds=1, last_line="No module"), "crash",
                     "the suite left no report (exit 1: No module)", id="crash"),
    ],
)  # fmt: skip
def test_a_suite_without_a_report(tmp_path, end, verdict, reason):
    with pytest.raises(CellFailed) as caught:
        judge_end(end, tmp_path / "none", GIB)
    assert (caught.value.verdict, caught.value.reason) == (verdict, reason)


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


SUITE = PurePosixPath("/suite")


def test_a_suites_tests_travel_with_the_conftests_above(tmp_path):
    write(tmp_path, "conftest.py", "results/x", "a/conftest.py", "a/tests/test_a.py",
          "a/tests/data/x.txt", "a/tests/__pycache__/x.pyc", "a/other/test_b.py")  # fmt: skip
    tests = tmp_path / "a" / "tests"
    got = suite_files(Suite(name="mine", folder=tmp_path, tests=(tests,)), tests, (tests,), SUITE)
    assert set(got.files) == {"conftest.py", "a/conftest.py", "a/tests/test_a.py",
                              "a/tests/data/x.txt"}  # fmt: skip
    assert got.tests == (SUITE / "a" / "tests",)
    assert got.cwd == SUITE / "a" / "tests"


def test_files_of_tests_travel_with_what_lies_beside(tmp_path):
    write(tmp_path, "t/test_a.py", "t/helper.py", "u/test_b.py", "v/no.py")
    tests = (tmp_path / "t" / "test_a.py", tmp_path / "u" / "test_b.py")
    got = suite_files(Suite(name="m", folder=tmp_path, tests=tests), tmp_path / "t", tests, SUITE)
    assert set(got.files) == {"t/test_a.py", "t/helper.py", "u/test_b.py"}
    assert got.tests == (SUITE / "t" / "test_a.py", SUITE / "u" / "test_b.py")


def test_a_command_travels_with_what_it_names(tmp_path):
    write(tmp_path, "run.py", "helper.py", "deep/no.py", "bench/a.py", "bench/b/c.py", "notes.txt")
    top = Suite(name="m", folder=tmp_path, command=("python", "run.py", "--fast"))
    assert set(suite_files(top, tmp_path, (), SUITE).files) == {"run.py", "helper.py"}
    below = Suite(name="m", folder=tmp_path, command=("python", "bench/a.py"))
    got = suite_files(below, tmp_path, (), SUITE)
    assert set(got.files) == {"bench/a.py", "bench/b/c.py"}
    assert got.cwd == SUITE, "its arguments are relative to the matrix file"


@pytest.mark.parametrize(
    "what", [{"command": ("python", "run.py")}, {"command": ("sh", "bench/a.py")}, {"tests": True}]
)
def test_what_travels_is_what_the_recipe_is_made_of(tmp_path, what):
    write(tmp_path, "run.py", "helper.py", "notes.txt", "conftest.py", "bench/a.py", "bench/c.txt")
    tests = (tmp_path / "bench",) if "tests" in what else ()
    suite = Suite(name="m", folder=tmp_path, tests=tests, command=what.get("command", ()))
    files = suite_files(suite, tmp_path, tests, SUITE).files
    decisive = {file for place in tracked.places(suite) for file in files_under(place)}
    assert set(files.values()) == decisive


def test_a_command_without_files_has_its_folder_all_the_same(world):
    world.left = {"outcomes.jsonl": ""}
    order = world.run(Suite(name="m", folder=world.tmp, command=("python", "-V")))
    assert members(order.files["/suite"]) == {}
    assert json.loads((world.out / "job.json").read_text())["cwd"] == "/suite"


def test_a_source_archive_travels_whole(tmp_path):
    write(tmp_path, "tests/test_a.py", "lib/x.py")
    suite = Suite(name="m", source="x==1", tests=(Path("tests"),))
    got = suite_files(suite, tmp_path, (tmp_path / "tests",), SUITE)
    assert set(got.files) == {"tests/test_a.py", "lib/x.py"}
    assert (got.cwd, got.tests) == (SUITE, (SUITE / "tests",))


def test_a_suite_that_is_too_large(tmp_path):
    write(tmp_path, "test_a.py")
    with (tmp_path / "data.bin").open("wb") as file:
        file.truncate(300 << 20)
    with pytest.raises(CellFailed, match="has 300 MiB of files beside its tests"):
        suite_files(Suite(name="m", folder=tmp_path, tests=(tmp_path,)), tmp_path, (tmp_path,),
                    SUITE)  # fmt: skip


def test_processors_are_shared_out():
    cpus = CpuShares((0, 1, 4, 5, 6), 2)
    with cpus.share(exclusive=False) as one, cpus.share(exclusive=False) as two:
        assert (one, two) == ((0, 1), (4, 5))
        with cpus.share(exclusive=True) as all_:
            assert all_ == (0, 1, 4, 5, 6)
    with cpus.share(exclusive=False) as again:
        assert again == (0, 1)
    with CpuShares((0,), 3).share(exclusive=False) as only:
        assert only == (0,)


def test_processors_of_another_machine_are_its_own(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {2, 3, 9})
    assert usable(4, local=True) == (2, 3)
    assert usable(4, local=False) == (0, 1, 2, 3)


def test_a_mounted_interpreter(world, monkeypatch, tmp_path):
    """System folders are the image's own: of them only what the interpreter keeps there."""
    for folder in ("env/bin", "env/lib/site", "over"):
        (tmp_path / folder).mkdir(parents=True)
    python = tmp_path / "env" / "bin" / "python"
    python.touch()
    told = {"prefixes": [str(tmp_path / "env"), "/usr"], "headers": "/nowhere",
            "paths": [str(tmp_path / "env/lib/site"), str(tmp_path / "over"), "/usr/lib"],
            "files": [str(python)]}  # fmt: skip
    done = Completed(code=0, output=json.dumps(told), seconds=0.1, timed_out=False)
    monkeypatch.setattr(mounted, "run", lambda *_a, **_o: done)
    world.images = Mounted(image="local/base", pythons={CELL.id: python})
    world.left = {"outcomes.jsonl": ""}
    order = world.run(Suite(name="feature"))
    assert order.binds == (str(tmp_path / "env"), str(tmp_path / "over"))
    assert order.image == "local/base"
    assert order.command[0] == str(python)
    assert set(order.files) == {"/results", "/opt/payload"}, "the payload is in no image here"
    assert "matrix/__init__.py" in members(order.files["/opt/payload"])
    assert order.env["PATH"].startswith(f"{python.parent}:/usr/local")


def test_an_interpreter_cannot_be_mounted_on_another_machine(world):
    world.engine = Engine("tcp://far:1", world.engine.client, None)
    world.images = Mounted(image="x", pythons={CELL.id: Path("/env/bin/python")})
    with pytest.raises(CellFailed, match="`tcp://far:1`: it is another machine"):
        world.run(Suite(name="feature"))


@pytest.mark.parametrize(
    ("done", "reason"),
    [
        pytest.param(Completed(code=3, output="no\n", seconds=1.0, timed_out=False),
                     "`/env/bin/python` does not say where it lies (exit 3: no)", id="no-python"),
        pytest.param(PermissionError(13, "Permission denied"),
                     "`/env/bin/python` cannot be started: [Errno 13] Permission denied",
                     id="no-program"),
    ],
)  # fmt: skip
def test_an_interpreter_that_is_none(world, monkeypatch, done, reason):
    def run(*_arguments, **_options):
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(mounted, "run", run)
    world.images = Mounted(image="x", pythons={CELL.id: Path("/env/bin/python")})
    with pytest.raises(CellFailed) as caught:
        world.run(Suite(name="feature"))
    assert (caught.value.verdict, caught.value.reason) == ("infra", reason)


def test_the_outermost_of_places():
    found = (Path("/a/b"), Path("/a"), Path("/ab"), Path("/a"))
    assert mounted.outermost(found) == ("/a", "/ab")
