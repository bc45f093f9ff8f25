"""Cells in real containers: what a cell can do there, and what becomes of it when things break."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import replace

import engines
import pytest

from matrix import resources
from matrix.accelerators import DeviceAccess, Mount
from matrix.backends import CellFailed, Context, RunnerLost, docker
from matrix.backends.docker import Box, DockerBackend, Mounted
from matrix.cells import Cell
from matrix.definition import Suite
from matrix.engines import connection, containers, labels
from matrix.engines.connection import EngineLost
from matrix.engines.orders import Limits, Order
from matrix.execution import Site, Unfinished, carry_out
from matrix.identity import identity
from matrix.plan import Job, SuiteRun
from matrix.process import Stopped
from matrix.records import read_probe, read_suite
from matrix.store import Store

MIB = 1 << 20
CELL = Cell(torch=engines.TORCH, variant="cpu", python="3.11", device="cpu")
OWNER = f"tests-{os.getpid()}"

HARDENED = """
import os, socket, sys
from collections import defaultdict
from pathlib import Path
import pytest

STATUS = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())

def test_user():
    assert (os.getuid(), os.getgid()) == (10001, 10001)
    assert STATUS["NoNewPrivs"].strip() == "1"
    assert all(int(STATUS[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"))

@pytest.mark.parametrize("folder", ["/", "/opt", "/opt/payload", "/usr", "/home", "/suite"])
def test_read_only(folder):
    with pytest.raises(OSError):
        Path(folder, "x").write_text("x")

def test_tmp_runs_programs():
    program = Path("/tmp/x")
    program.write_text("#!/bin/sh\\nexit 7\\n")
    program.chmod(0o700)
    assert os.waitstatus_to_exitcode(os.system(str(program))) == 7

def test_no_network():
    assert os.listdir("/sys/class/net") == ["lo"]
    assert len(Path("/proc/net/route").read_text().splitlines()) == 1
    with pytest.raises(OSError):
        socket.create_connection(("192.0.2.1", 80), 1)

def test_own_name():
    assert socket.gethostbyname(socket.gethostname()) == "127.0.0.1"  # torchrun meets at it

def test_no_socket():
    assert not Path("/var/run/docker.sock").exists()
    assert not [d for d in os.listdir("/dev") if d.startswith(("sd", "vd", "nvme", "kmsg", "mem"))]

def cgroup(*names):
    return next(int(Path("/sys/fs/cgroup", n).read_text()) for n in names
                if Path("/sys/fs/cgroup", n).exists())

def test_limits():
    assert cgroup("memory.max", "memory/memory.limit_in_bytes") == 512 << 20
    assert cgroup("pids.max", "pids/pids.max") == 4096

def test_threads():
    cpus = len(os.sched_getaffinity(0))
    assert os.environ["OMP_NUM_THREADS"] == os.environ["TORCHINDUCTOR_COMPILE_THREADS"] == str(cpus)
    assert cpus == int(os.environ["WANTED_CPUS"])

def test_clean():
    assert os.environ["HOME"] == "/tmp"
    assert "SECRET" not in os.environ
    assert Path("/proc/1/comm").read_text().strip() in ("docker-init", "tini", "init")
"""


@pytest.fixture(scope="session")
def engine():
    with engines.the_engine() as found:
        yield found


@pytest.fixture(scope="session")
def payload(tmp_path_factory):
    folder = tmp_path_factory.mktemp("payload")
    inside = folder / "matrix" / "inside"
    shutil.copytree(resources.inside(), inside, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "matrix" / "__init__.py").touch()
    return folder


@pytest.fixture(scope="session")
def image(engine, payload, tmp_path_factory):
    """A cell by hand: a base's Python with a stand-in torch and the test tools."""
    context = tmp_path_factory.mktemp("context")
    engines.site(context / "site", tmp_path_factory.mktemp("cell-wheels"))
    shutil.copytree(payload, context / "payload")
    made = engines.build(engine, context, f"torch-matrix-test:{os.getpid()}")
    yield made
    engine.client.images.remove(made, force=True)


@pytest.fixture(autouse=True)
def _nothing_left(engine):
    """Whatever a test does, no container and no volume of it stays."""
    yield
    mine = {"label": f"{labels.OWNER}={OWNER}"}
    left = engine.client.containers.list(all=True, filters=mine)
    left += engine.client.volumes.list(filters=mine)
    labels.reap(engine, OWNER, lambda _run: False)
    assert not left


class Images:
    """In the place of what builds images."""

    def __init__(self, made):
        self.id, self.lock, self.stages = made, "torch==1\n", {"build": 1.0}
        self.install_bytes, self.size, self.base, self.builder = 5, 9, "slim sha256:1", "classic"

    def make(self, job, folder, stage):
        return self


@pytest.fixture
def world(engine, image, payload, tmp_path):
    """A backend over the engine, and what runs one suite in it to rows."""

    class World:
        stop = threading.Event()
        access = DeviceAccess()
        box = Box(owner=OWNER, memory=512 * MIB)
        images = Images(image)
        tests = tmp_path / "project" / "tests"

        def backend(self):
            (tmp_path / "run1").mkdir(exist_ok=True)
            context = Context(run="run1", work=tmp_path / "run1", payload=payload, threads=1,
                              stop=self.stop,
                              env={"PATH": os.environ["PATH"], "SECRET": "1"})  # fmt: skip
            return DockerBackend(
                context, engine, self.images, lambda _job, _gpus: self.access, self.box
            )

        def write(self, text, name="test_a.py"):
            path = self.tests / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

        def suite(self, **more):
            settings = {"name": "mine", "folder": self.tests.parent, "timeout": 60.0, **more}
            if "command" not in more:
                settings["tests"] = (self.tests,)
            return Suite(**settings)

        def job(self, suite):
            run = SuiteRun(suite=suite, recipe="r", why="new", estimate=1.0)
            return Job(cell=CELL, execution="docker-cpu", backend="docker", runner="local",
                       environment="e", suites=(run,))  # fmt: skip

        def run(self, line=lambda _text: None, **more):
            """Returns verdicts by test, and the folder of results."""
            job, backend = self.job(self.suite(**more)), self.backend()
            out = tmp_path / "out"
            out.mkdir()
            environment = backend.provision(job, tmp_path / "job", print)
            backend.run_suite(job, job.suites[0], environment, out, line)
            base = {"cell": "c", "torch": "", "variant": "", "accelerator": "", "python": "",
                    "execution": "", "backend": "", "runner": "", "device": ""}  # fmt: skip
            self.reading = read_suite(out, base)
            return {row.test: row.verdict for row in self.reading.rows}, out

        def refused(self, **more):
            with pytest.raises((CellFailed, RunnerLost)) as caught:
                self.run(**more)
            if isinstance(caught.value, RunnerLost):
                return "runner lost", str(caught.value)
            return caught.value.verdict, caught.value.reason

    return World()


def order(image, *command, **more):
    limits = Limits(memory=128 * MIB, tmp=16 * MIB, shm=16 * MIB)
    return Order(image=image, command=command, env={}, limits=limits,
                 labels=labels.labels(OWNER, "run1"), **more)  # fmt: skip


def follow(engine, what, tmp_path, *, timeout=30.0, stop=None, act=None):
    with containers.started(engine, what) as container:
        if act:
            act(container)
        return containers.follow(engine, container, log=tmp_path / "x.log", timeout=timeout,
                                 stop=stop or threading.Event())  # fmt: skip


def test_the_probe_proves_the_cell(world, tmp_path):
    backend, job = world.backend(), world.job(world.suite())
    environment = backend.provision(job, tmp_path, print)
    assert (environment.provision, environment.lock) == ("built", "torch==1\n")
    backend.probe(job, environment, tmp_path)
    probe = read_probe(tmp_path / "probe.json")
    assert identity(job, probe) == ""
    assert probe["executable"] == "/opt/venv/bin/python"


def test_a_cell_is_locked_in(world):
    world.write(HARDENED)
    verdicts, out = world.run(env={"WANTED_CPUS": str(len(os.sched_getaffinity(0)))})
    assert set(verdicts.values()) == {"pass"}, (out / "suite.log").read_text()
    assert len(verdicts) == 14


def test_cells_at_the_same_time_share_no_processor(world):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor cannot be shared out")
    world.box = replace(world.box, slots=2)
    half = len(os.sched_getaffinity(0)) // 2
    world.write(HARDENED)
    assert set(world.run(env={"WANTED_CPUS": str(half)})[0].values()) == {"pass"}


def test_one_that_runs_alone_has_all_processors(world):
    world.box = replace(world.box, slots=2)
    world.write(HARDENED)
    env = {"WANTED_CPUS": str(len(os.sched_getaffinity(0)))}
    assert set(world.run(env=env, exclusive=True)[0].values()) == {"pass"}


def test_results_come_out_and_progress_is_live(world):
    world.write("import os\nVALUE = 7\ndef pytest_configure(config): print('hello')", "conftest.py")
    world.write("def test_a(): pass\ndef test_b(): assert 0\n")
    told = []
    verdicts, out = world.run(line=told.append)
    assert verdicts == {"test_a.py::test_a": "pass", "test_a.py::test_b": "fail"}
    assert "outcome 1/2 pass test_a.py::test_a" in told
    assert {path.name for path in out.iterdir()} == {
        "job.json", "outcomes.jsonl", "suite.log", "supervise.log",
    }  # fmt: skip
    assert "hello" in (out / "suite.log").read_text()
    assert world.reading.complete


def test_a_command_finds_what_lies_beside_it(world):
    world.write("import helper\nhelper.work()", "../script.py")
    world.write("def work(): print('seven')", "../helper.py")
    verdicts, out = world.run(command=("python", "script.py"))
    assert verdicts == {"command": "pass"}, (out / "suite.log").read_text()


def test_only_results_come_out_whatever_a_suite_leaves(world):
    """A link where the report should be, or a file with the name of somebody else's."""
    world.write(
        "import os\n"
        "def test_a():\n"
        "    for name in ('probe.json', 'execution.json', 'junk'):\n"
        "        open(f'/results/out/{name}', 'w').write('{}')\n"
        "    os.rename('/results/out/suite.log', '/results/out/kept')\n"
        "    os.symlink('/etc/passwd', '/results/out/suite.log')\n"
    )
    verdicts, out = world.run()
    assert verdicts == {"test_a.py::test_a": "pass"}
    assert {path.name for path in out.iterdir()} == {"job.json", "outcomes.jsonl", "supervise.log"}


def test_results_that_grow_beyond_their_limit_end_their_suite(world, engine, monkeypatch):
    """They lie on the engine's disk, which is everybody's."""
    if not engine.is_local:
        pytest.skip("volumes of an engine elsewhere cannot be looked into")
    monkeypatch.setattr(docker, "MOST_RESULTS", 16 * MIB)
    world.write(
        "import time\n"
        "def test_a(): pass\n"
        "def test_b():\n"
        "    with open('/results/out/junk', 'wb') as file:\n"
        "        for _ in range(24): file.write(bytes(1 << 20))\n"
        "    time.sleep(60)\n"
        "def test_c(): pass\n"
    )
    clock = time.monotonic()
    verdicts, _ = world.run(timeout=50.0)
    assert time.monotonic() - clock < 45, "before its deadline"
    assert verdicts == {
        "test_a.py::test_a": "pass", "test_a.py::test_b": "crash", "test_a.py::test_c": "not-run",
    }  # fmt: skip
    reason = next(row.reason for row in world.reading.rows if row.verdict == "crash")
    assert reason == "the suite was killed: it left more than 16 MiB in its results"


def test_a_child_killed_by_the_memory_limit_is_out_of_memory(world):
    """The container itself ends with status 0 then."""
    world.write("def test_a(): bytearray(2 << 30)\ndef test_b(): pass")
    verdicts, _ = world.run()
    assert verdicts == {"test_a.py::test_a": "oom", "test_a.py::test_b": "pass"}
    reason = next(row.reason for row in world.reading.rows if row.verdict == "oom")
    assert reason.startswith("the container's memory limit of 512 MiB was reached: ")


def test_a_container_killed_by_its_memory_limit(engine, image, tmp_path):
    end = follow(engine, order(image, "python3", "-c", "bytearray(2 << 30)"), tmp_path)
    assert (end.code, end.oom, end.cause) == (137, True, "oom")


def test_a_supervisor_that_hangs_is_killed_and_its_tests_timed_out(world, monkeypatch):
    monkeypatch.setattr(docker, "SPARE", 1.0)
    world.write(
        "import os, signal, time\n"
        "def test_a(): pass\n"
        "def test_b():\n    os.kill(os.getppid(), signal.SIGSTOP)\n    time.sleep(60)\n"
        "def test_c(): pass\n"
    )
    clock = time.monotonic()
    verdicts, _ = world.run(timeout=3.0)
    assert time.monotonic() - clock < 10
    assert verdicts == {
        "test_a.py::test_a": "pass", "test_a.py::test_b": "timeout", "test_a.py::test_c": "not-run",
    }  # fmt: skip


def test_a_supervisor_killed_by_its_own_tests_is_a_crash_of_them(world):
    world.write(
        "import os, signal, time\n"
        "def test_a():\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(60)\n"
    )
    verdicts, _ = world.run()
    assert verdicts == {"test_a.py::test_a": "crash"}


def test_stopped_within_two_seconds(world):
    world.write("import time\ndef test_a(): time.sleep(60)")
    stopped = []

    def line(_text):
        pass

    def stop():
        time.sleep(3)
        stopped.append(time.monotonic())
        world.stop.set()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Stopped):
        world.run(line=line)
    assert time.monotonic() - stopped[0] < 2
    thread.join()
    world.stop.clear()


@pytest.mark.parametrize("how", ["kill", "remove_container"])
def test_ended_through_the_engine_by_someone_else(world, engine, how):
    """No more a failure of the cell than an engine that dies."""
    world.write("import time\ndef test_a(): time.sleep(60)")
    options = {"force": True, "v": True} if how == "remove_container" else {}

    def act():
        mine = engine.client.containers.list(filters={"label": f"{labels.OWNER}={OWNER}"})
        getattr(engine.client.api, how)(mine[0].id, **options)

    timer = threading.Timer(3, act)
    timer.start()
    verdict, reason = world.refused()
    assert verdict == "runner lost"
    assert "someone" in reason or "removed" in reason
    timer.join()


def test_a_suite_that_finished_is_kept_when_the_next_one_loses_its_container(
    world, engine, tmp_path
):
    world.write("def test_a(): pass")
    quick = world.suite(name="quick")
    slow = world.suite(name="slow", command=("python", "-c", "import time; time.sleep(60)"))
    job = world.job(quick)
    runs = [replace(job.suites[0], suite=suite) for suite in (quick, slow)]
    killer = threading.Timer(3, lambda: None)

    class Watcher:
        def __getattr__(self, _name):
            return lambda *_: None

        def stage(self, key, text):
            if key.endswith("slow") and text == "tests":
                nonlocal killer
                killer = threading.Timer(2, kill)
                killer.start()

    def kill():
        mine = {"label": f"{labels.OWNER}={OWNER}"}
        end = time.monotonic() + 60  # a busy engine takes its time to start one
        while not (found := engine.client.containers.list(filters=mine)):
            assert time.monotonic() < end
            time.sleep(0.1)
        for container in found:
            container.kill()

    (tmp_path / "run1").mkdir()
    site = Site(backend=world.backend(), bundle=Store(tmp_path / "results").create({}),
                turn=lambda *_: nullcontext(()), watcher=Watcher(),
                work=tmp_path / "run1")  # fmt: skip
    with pytest.raises(Unfinished) as lost:
        carry_out(replace(job, suites=tuple(runs)), site)
    killer.join()
    [done] = lost.value.done
    assert (done.suite, done.verdict, dict(done.counts)) == ("quick", "", {"pass": 1})
    assert done.provision == "built"
    assert [run.suite.name for run in lost.value.rest.suites] == ["slow"]
    assert len(Store(tmp_path / "results").runs()[-1].entries) == 1


@pytest.mark.parametrize(
    ("access", "verdict", "reason"),
    [
        pytest.param(
            DeviceAccess(device_requests=({"driver": "none", "capabilities": [["gpu"]]},)),
            "no-runner", "the engine has no NVIDIA container toolkit: ", id="gpu",
        ),
        pytest.param(DeviceAccess(runtime="none-such"), "no-runner",
                     "the engine has no runtime `none-such`; ", id="runtime"),
        pytest.param(DeviceAccess(devices=("/dev/none-such",)), "no-runner",
                     "the engine's machine has no device `/dev/none-such`; ", id="device"),
        pytest.param(DeviceAccess(groups=("none-such",)), "infra",
                     "the image has no group `none-such`; ", id="group"),
        pytest.param(DeviceAccess(mounts=(Mount(source="/none-such", target="/x"),)), "infra",
                     "the engine's machine has no `/none-such`; ", id="mount"),
        pytest.param(DeviceAccess(mounts=(Mount(source="/run/docker.sock", target="/x"),)),
                     "infra", "`/run/docker.sock` is an engine's socket, ", id="socket"),
    ],
)  # fmt: skip
def test_devices_that_an_engine_cannot_give_are_no_failure(world, access, verdict, reason):
    world.access = access
    world.write("def test_a(): pass")
    got = world.refused()
    assert got[0] == verdict
    assert got[1].startswith(reason)


def test_a_flood_of_output_neither_ends_the_following_nor_outlives_it(engine, image, tmp_path):
    """An engine that rotates the log ends the stream; the container goes on."""
    code = "import time; t = time.time()\nwhile time.time() < t + 2: print('x' * 99)\n"
    end = follow(engine, order(image, "/opt/venv/bin/python", "-c", f"{code}exit(3)"), tmp_path)
    assert (end.code, end.cause) == (3, "")
    assert (tmp_path / "x.log").stat().st_size < 11 * MIB
    clock = time.monotonic()
    what = order(image, "/opt/venv/bin/python", "-c", "while True: print('x' * 99)")
    assert follow(engine, what, tmp_path, timeout=2).cause == "timeout"
    assert time.monotonic() - clock < 60, "however busy the engine is with it"


def test_an_image_that_is_gone(world):
    world.images = Images(f"sha256:{'0' * 64}")
    world.write("def test_a(): pass")
    verdict, reason = world.refused()
    assert verdict == "infra"
    assert reason.startswith(f"the image `sha256:{'0' * 64}` is not on the engine any more; ")


def test_an_image_without_the_interpreter(world, engine):
    world.images = Images(engines.base_of(engine))
    world.write("def test_a(): pass")
    verdict, reason = world.refused()
    assert verdict == "infra"
    assert reason.startswith("`/opt/venv/bin/python` does not start in the image ")


@pytest.fixture
def overlay(engine, tmp_path):
    """An environment with a stand-in torch over the tools that lie in another."""
    if not engine.is_local:
        pytest.skip(f"`{engine.url}` is another machine, which has no interpreter of ours")
    tools = engines.site(tmp_path / "site", tmp_path / "wheels")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    lib = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    (lib / "overlay.pth").write_text(f"{tools}\n")
    return python


def test_an_interpreter_of_this_machine_in_a_container(world, engine, overlay, tmp_path):
    world.images = Mounted(image=engines.base_of(engine), pythons=defaultdict(lambda: overlay))
    backend, job = world.backend(), world.job(world.suite())
    environment = backend.provision(job, tmp_path, print)
    assert environment.provision == "mounted"
    assert str(tmp_path / "site") in environment.binds, "overlays come along"
    backend.probe(job, environment, tmp_path)
    probe = read_probe(tmp_path / "probe.json")
    assert (probe["torch"], probe["executable"]) == (f"{engines.TORCH}+cpu", str(overlay))
    world.write(HARDENED)
    verdicts, out = world.run(env={"WANTED_CPUS": str(len(os.sched_getaffinity(0)))})
    assert set(verdicts.values()) == {"pass"}, (out / "suite.log").read_text()


DRIVER = """
import os, sys, threading
from pathlib import Path
from matrix.engines import containers, labels
from matrix.engines.connection import connect
from matrix.engines.orders import Limits, Order
image, owner, run = sys.argv[1:]
limits = Limits(memory=128 << 20, tmp=16 << 20, shm=16 << 20)
what = Order(image=image, command=("sleep", "600"), env={}, limits=limits,
             labels=labels.labels(owner, run, "job"), files={"/results": b"\\0" * 1024})
with connect("", os.environ) as engine, containers.started(engine, what) as container:
    print(container.id, flush=True)
    containers.follow(engine, container, log=Path(os.devnull), timeout=600, stop=threading.Event())
"""


def test_what_a_killed_orchestrator_left_is_reaped(engine, image):
    """Of runs that live, and of other people's, nothing."""
    runs = {"dead": OWNER, "alive": OWNER, "others": f"{OWNER}-other"}
    processes, ids = [], {}
    for run, owner in runs.items():
        process = subprocess.Popen([sys.executable, "-c", DRIVER, image, owner, run],
                                   stdout=subprocess.PIPE, text=True)  # fmt: skip
        processes.append(process)
        ids[run] = process.stdout.readline().strip()
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    states = {run: engine.client.containers.get(ids[run]).status for run in runs}
    assert set(states.values()) == {"running"}, "nobody told the engine"
    reaped = labels.reap(engine, OWNER, lambda run: run == "alive")
    assert reaped == (ids["dead"][:12],), "its volume went with it"
    left = {c.id for c in engine.client.containers.list()}
    assert left & set(ids.values()) == {ids["alive"], ids["others"]}
    assert len(labels.reap(engine, OWNER, lambda _run: False)) == 1
    assert len(labels.reap(engine, f"{OWNER}-other", lambda _run: False)) == 1


def test_volumes_of_dead_runs_are_reaped(engine):
    engine.client.volumes.create(labels=labels.labels(OWNER, "dead"))
    assert labels.reap(engine, OWNER, lambda _run: True) == ()
    assert len(labels.reap(engine, OWNER, lambda _run: False)) == 1


@pytest.fixture
def own():
    with engines.own_engine() as found:
        yield found


def lost(own, tmp_path, act):
    """Follow a container while its engine breaks; returns what was said, and how soon."""
    timer = threading.Timer(1.0, act)
    clock = time.monotonic()
    what = order("tiny", "/bin/sleep", "20")
    with own.connect() as mine, pytest.raises(EngineLost) as caught:
        follow(mine, what, tmp_path, act=lambda _container: timer.start())
    return str(caught.value), time.monotonic() - clock


def test_a_cell_may_write_to_tmp_also_where_its_image_has_none(own, tmp_path):
    """An engine makes the folder then, for root alone."""
    code = "echo x > /tmp/x && exit 7"
    with own.connect() as mine:
        assert follow(mine, order("tiny", "/bin/sh", "-c", code), tmp_path).code == 7


def test_an_engine_killed_in_the_middle(own, tmp_path):
    """Its log ends as that of a container that is done."""
    said, seconds = lost(own, tmp_path, lambda: own.signal(signal.SIGKILL))
    assert said.startswith(f"the engine at `{own.url}` went away: ")
    assert seconds < 5
    own.start()
    with own.connect() as again:
        assert len(labels.reap(again, OWNER, lambda _run: False)) == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_engine_that_was_restarted_meanwhile(own, tmp_path, monkeypatch, how):
    """When we ask, it is there again; a container that ends when it is asked to has status 0."""
    settled = containers._settled

    def slow(engine, container, watch):
        own.start()
        own.connect().close()
        return settled(engine, container, watch)

    monkeypatch.setattr(containers, "_settled", slow)
    obeys = ("/bin/sh", "-c", "trap 'exit 0' TERM; while :; do /bin/sleep 0.1; done")
    try:
        with own.connect() as mine:
            timer = threading.Timer(1.0, own.signal, (how,))
            end = follow(mine, order("tiny", *obeys), tmp_path, act=lambda _c: timer.start())
        said = f"{end.code} {end.cause}"
    except EngineLost as error:
        said = str(error)
    restarted = f"the engine at `{own.url}` was restarted while the container ran"
    assert said in {"0 stopped-by-engine", restarted}


def test_a_frozen_engine(own, tmp_path, monkeypatch):
    """It breaks no connection: only its pulse tells."""
    monkeypatch.setattr(connection, "PULSE_TIMEOUT", 1.0)
    monkeypatch.setattr(connection, "PULSE_EVERY", 0.5)
    said, seconds = lost(own, tmp_path, lambda: own.signal(signal.SIGSTOP))
    assert (
        said
        == f"the engine at `{own.url}` does not answer any more (it hangs, or its machine does)"
    )
    assert seconds < 8
    own.signal(signal.SIGCONT)
    with own.connect() as again:
        assert len(labels.reap(again, OWNER, lambda _run: False)) == 1


def test_an_engine_that_is_gone_before_a_container_starts(own, tmp_path):
    with own.connect() as mine:
        own.signal(signal.SIGKILL)
        with pytest.raises(EngineLost, match="went away"), containers.started(
            mine, order("tiny", "/bin/sleep", "1")
        ):  # fmt: skip
            pass
