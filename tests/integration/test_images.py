"""Images of stand-in cells on a real engine: cached, cancelled, refused, each with its verdict.

The engine is `$DOCKER_HOST`'s or the default one, and needs a base with Python 3.11:
`python -m matrix base build`. With `MATRIX_TEST_ENGINE=required` its absence fails.
"""

import functools
import http.server
import json
import os
import re
import shutil
import socketserver
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import docker
import pytest
import standin

from matrix.cells import Cell
from matrix.definition import Suite, parse
from matrix.engines import bases, disk
from matrix.engines.api import ApiBuilder
from matrix.engines.builder import BuildRefused, Listener, Request
from matrix.engines.connection import connect
from matrix.engines.disk import Runs
from matrix.engines.images import ImageMaker
from matrix.engines.tunnel import NoEngine
from matrix.errors import CellFailed
from matrix.indexes import Availability, read_config
from matrix.locks import Resolver, uv
from matrix.plan import Job, SuiteRun
from matrix.process import Stopped, cell_environment

BASE = os.environ.get("MATRIX_IMAGE_CPU", bases.LOCAL)
RELEASE = "2.12.0"
TEXT = 'version = "2.12.0+cpu"'


@pytest.fixture(scope="module")
def client():
    """The engine; its absence is a failure where it was promised."""
    give_up = pytest.fail if os.environ.get("MATRIX_TEST_ENGINE") == "required" else pytest.skip
    try:
        engine = connect("", os.environ)
    except NoEngine as error:
        give_up(str(error))
    try:
        engine.client.images.get(BASE)
    except docker.errors.ImageNotFound:
        give_up(f"the engine has no `{BASE}`: `python -m matrix base build` makes it")
    yield engine.client
    engine.close()


class World:
    """A project with wheels of its own, and makers of its images."""

    def __init__(self, folder, client, uv_cache):
        self.folder, self.client = folder, client
        self.wheels = folder / "wheels"
        self.payload = folder / "payload"
        (self.payload / "suites").mkdir(parents=True)
        self.write("a = 1\n")
        self.stop = threading.Event()
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "MATRIX_IMAGE_CPU": BASE,
            "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels),
            "UV_CACHE_DIR": str(uv_cache), "MATRIX_MIN_FREE_GB": "1",
            **{name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ},
        }  # fmt: skip
        self.stages, self.images = [], []
        self.definition = parse({"torch": [{"version": "2.13.0"}]}, folder / "matrix.toml")

    def leftovers(self):
        """Tools and stages on the engine, newest first."""
        marks = ("torch-matrix.tools", "torch-matrix.stage")
        found = [i for mark in marks for i in self.client.images.list(filters={"label": mark})]
        found.sort(key=lambda image: image.attrs["Created"], reverse=True)
        return list(dict.fromkeys(image.id for image in found))

    def write(self, text):
        """Edit the test that travels with the cell."""
        (self.payload / "suites" / "test_a.py").write_text(text)

    def torch(self, extra="", release=RELEASE):
        """Make the release's wheel again; another content is another cell to an engine."""
        standin.make_torch(self.wheels, release, extra=f"# {uuid.uuid4()}\n{extra}")

    def maker(self, run="run-1", timeout=120.0, **env):
        env = {**self.env, **env}
        config = read_config(env)
        resolver = Resolver(binary=uv(), config=config, env=cell_environment(env), stop=self.stop)
        index = self.definition.pytorch_index
        availability = Availability(self.folder / "known.json", config, index, resolver.ask)
        return ImageMaker(
            self.client, resolver, availability, self.definition, payload=self.payload, env=env,
            work=self.folder, run_id=run, runs=Runs(owner="tests", lives=lambda _run: True),
            stop=self.stop, timeout=timeout,
        )  # fmt: skip

    def job(self, release=RELEASE, companions=(), requirements=()):
        suite = Suite(name="mine", command=("true",), requirements=requirements)
        run = SuiteRun(suite=suite, recipe="r", why="new", estimate=1.0)
        cell = Cell(torch=release, variant="cpu", python="3.11", device="cpu",
                    companions=companions)  # fmt: skip
        return Job(cell=cell, execution="docker-cpu", backend="venv", runner="local",
                   environment=uuid.uuid4().hex[:8], suites=(run,))  # fmt: skip

    def make(self, job=None, maker=None):
        """Build in a folder of its own; returns the image and that folder."""
        job = job or self.job()
        out = self.folder / "jobs" / uuid.uuid4().hex
        out.mkdir(parents=True)
        self.stages.clear()
        image = (maker or self.maker()).make(job, out, self.stages.append)
        self.images.append(image.id)
        return image, out

    def refused(self, job=None, maker=None):
        """The verdict and reason of a cell that gets no image."""
        with pytest.raises(CellFailed) as caught:
            self.make(job, maker)
        return caught.value.verdict, caught.value.reason

    def inside(self, image, *command):
        """What a command says in a container of an image."""
        out = self.client.containers.run(image.id, list(command), remove=True, network_mode="none")
        return out.decode()


@pytest.fixture
def world(tmp_path, client, uv_cache):
    made = World(tmp_path, client, uv_cache)
    made.torch()
    standin.make_needs(made.wheels)
    known = made.leftovers()
    yield made
    # the classic builder's stages hold on to the tools: from the newest to the oldest
    for identity in [*dict.fromkeys(made.images), *(i for i in made.leftovers() if i not in known)]:
        with suppress(docker.errors.APIError):
            client.images.remove(identity, force=True)


def steps(out):
    """Steps that were worked on, from the log: those without CACHED."""
    names, worked = {}, []
    for line in (out / "build.log").read_text().splitlines():
        number, _, text = line.partition(" ")
        if text == "CACHED":
            names.pop(number, None)
        elif number.startswith("#") and number not in names:
            names[number] = text
    worked = [name for name in names.values() if re.match(r"\[(\S+ +)?\d+/\d+\] (?!FROM)", name)]
    return [re.sub(r"^\[[^\]]*\] |--mount=\S+ +", "", name) for name in worked]


def test_a_cell_becomes_an_image_that_is_the_cell(world):
    image, out = world.make(world.job(requirements=("setuptools",)))
    assert world.inside(image, "python", "-c", f"import torch; {TEXT}; print(torch.__version__)") \
        == "2.12.0+cpu\n"  # fmt: skip
    assert world.inside(image, "id", "-un") == "matrix\n"
    assert world.inside(image, "cat", "/opt/payload/suites/test_a.py") == "a = 1\n"
    assert image.builder == "buildkit-api"
    assert image.base.startswith(f"{BASE} sha256:")
    assert image.lock == (out / "requirements.lock").read_text()
    assert "torch==2.12.0+cpu \\\n    --hash=sha256:" in image.lock
    assert "builder: buildkit-api; base: " in (out / "build.log").read_text()
    assert 0 < image.install_bytes < image.size
    assert set(image.stages) == {"lock", "build"}
    assert (world.stages[0], world.stages[1]) == ("lock", "build")
    assert any(re.fullmatch(r"build \d+/\d+", stage) for stage in world.stages)


@pytest.mark.parametrize(
    ("release", "variant", "outside"),
    [
        pytest.param("2.13.0", "rocm7.2", (), id="bundled"),
        pytest.param("2.14.0", "rocm7.14", ("rocm[libraries,device-all]==7.14.*",), id="outside"),
    ],
)
def test_a_rocm_cell_is_built_and_stays_one(world, release, variant, outside):
    """Something that needs any torch does not bring the newer CUDA build that is there too."""
    standin.make_torch(world.wheels, release, variant, requires=outside)
    standin.make_torch(world.wheels, "2.15.0", "cu132")
    standin.make_wheel(world.wheels, "rocm", "7.14.0", {"rocm/__init__.py": ""})
    standin.make_wheel(
        world.wheels, "wants-torch", "1.0", {"wants_torch.py": ""}, requires=("torch",)
    )
    cell = Cell(torch=release, variant=variant, python="3.11", device="rocm")
    job = replace(world.job(requirements=("wants-torch",)), cell=cell)
    image, out = world.make(job, world.maker(MATRIX_IMAGE_ROCM=BASE))
    code = "import torch, wants_torch; print(torch.__version__, torch.version.hip)"
    told = f"{release}+{variant} {variant.removeprefix('rocm')}\n"
    assert world.inside(image, "python", "-c", code) == told
    assert "ROCm" in (out / "Dockerfile").read_text()
    assert ("rocm==7.14.0" in image.lock) == bool(outside)
    kept = world.inside(image, "cat", "/opt/constraints.txt").splitlines()
    assert kept == [f"torch=={release}+{variant}", *(["rocm==7.14.*"] if outside else [])]


def test_what_steers_a_build_is_no_part_of_the_image(world):
    image, _ = world.make()
    search = "env; ls -A /run/build /wheels /site; find / -xdev -name uv.toml -o -name torch-*.whl"
    found = world.inside(image, "sh", "-c", f"{search} 2>/dev/null || true")
    assert "uv.toml" not in found
    assert ".whl" not in found
    assert not re.search(r"UV_INDEX|UV_FIND|SSL_CERT|XDG_CONFIG", found)
    config = json.dumps(world.client.images.get(image.id).attrs["Config"])
    assert "/run/build" not in config


def test_the_runs_label_is_there_and_costs_no_cache(world):
    """Another run with the same cell builds nothing, and has a label of its own."""
    job = world.job()
    first, out = world.make(job, world.maker(run="run-1"))
    assert any("pip install" in step for step in steps(out))
    second, out = world.make(job, world.maker(run="run-2"))
    assert steps(out) == []
    marks = [world.client.images.get(image.id).labels for image in (first, second)]
    assert [m["torch-matrix.run"] for m in marks] == ["run-1", "run-2"]
    assert all(m["torch-matrix"] == "1" and m["torch-matrix.cell"] == job.cell.id for m in marks)


def test_after_editing_a_test_only_the_last_step_is_done_again(world):
    job = world.job()
    world.make(job)
    world.write("a = 2\n")
    image, out = world.make(job)
    assert steps(out) == ["COPY payload /opt/payload"]
    assert world.inside(image, "cat", "/opt/payload/suites/test_a.py") == "a = 2\n"


def test_another_tool_does_not_install_torch_again(world):
    """Layers have locks and wheels of their own."""
    standin.make_wheel(world.wheels, "extra", "1.0", {"extra.py": f"# {uuid.uuid4()}"})
    world.make(world.job())
    _, out = world.make(world.job(requirements=("extra",)))
    installs = [step for step in steps(out) if "pip install" in step]
    assert len(installs) == 1
    assert "tools.txt" in installs[0]


def test_the_classic_builder_makes_the_same_cell(world):
    """For engines without BuildKit: no mounts, and nothing of the build in the image."""
    image, out = world.make(maker=world.maker(MATRIX_BUILDER="classic"))
    assert image.builder == "classic"
    assert "--mount" not in (out / "Dockerfile").read_text()
    assert world.inside(image, "python", "-c", "import torch; print(torch.__version__)") == (
        "2.12.0+cpu\n"
    )
    assert "No such file" in world.inside(image, "sh", "-c", "ls /run/build 2>&1 || true")
    assert 0 < image.install_bytes < image.size
    assert "builder: classic" in (out / "build.log").read_text()
    assert any(stage.startswith("build ") for stage in world.stages)


def test_a_command_line_with_buildkit_makes_the_same_cell(world):
    """For engines that take BuildKit from their own client only; Debian's docker.io has one."""
    image, out = world.make(maker=world.maker(MATRIX_BUILDER="buildkit-cli"))
    assert (image.builder, "--mount" in (out / "Dockerfile").read_text()) == ("buildkit-cli", True)
    assert world.inside(image, "python", "-c", "import torch; print(torch.__version__)") == (
        "2.12.0+cpu\n"
    )
    assert world.client.images.get(image.id).labels["torch-matrix.run"] == "run-1"
    assert "builder: buildkit-cli" in (out / "build.log").read_text()
    world.torch("raise ImportError('libtorch.so: cannot open')")
    verdict, reason = world.refused(maker=world.maker(MATRIX_BUILDER="buildkit-cli"))
    assert verdict == "build-failed"
    assert reason.endswith("ImportError: libtorch.so: cannot open")


def test_no_solution_is_evidence(world):
    verdict, reason = world.refused(world.job(requirements=("torch<1",)))
    assert verdict == "uninstallable"
    assert "torch" in reason


def test_a_torch_that_does_not_import_is_a_failed_build_with_its_last_words(world):
    world.torch("raise ImportError('libtorch.so: cannot open')")
    verdict, reason = world.refused()
    assert verdict == "build-failed"
    assert reason.endswith("ImportError: libtorch.so: cannot open")


def test_the_classic_builder_says_the_same_of_it(world):
    world.torch("raise ImportError('libtorch.so: cannot open')")
    verdict, reason = world.refused(maker=world.maker(MATRIX_BUILDER="classic"))
    assert verdict == "build-failed"
    assert reason.endswith("ImportError: libtorch.so: cannot open")


def running(token):
    """Whether a process of the build is alive; only an engine on this machine shows them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if token.encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


SLEEPS = "import os, sys; os.execv('/bin/sleep', ['{token}', '500'])"


def test_a_build_past_its_deadline_is_cancelled_in_the_engine(world, until):
    token = f"build-{uuid.uuid4().hex}"
    world.torch(SLEEPS.format(token=token))
    clock = time.monotonic()
    verdict, reason = world.refused(maker=world.maker(timeout=8.0))
    assert (verdict, reason) == ("infra", "the build took more than 8 s and was cancelled")
    assert time.monotonic() - clock < 25
    until(lambda: not running(token), "the engine ends the step")


def test_a_run_that_is_stopped_stops_its_build(world, until):
    token = f"build-{uuid.uuid4().hex}"
    world.torch(SLEEPS.format(token=token))

    def stop():
        until(lambda: running(token), "the step runs", 60.0)
        world.stop.set()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Stopped):
        world.make()
    thread.join()
    until(lambda: not running(token), "the engine ends the step")


def test_a_missing_base_is_said_before_anything_is_built(world):
    verdict, reason = world.refused(maker=world.maker(MATRIX_IMAGE_CPU="no-such/python:1"))
    assert verdict == "infra"
    for way in ("docker pull", "[images]", "$MATRIX_IMAGE_CPU", "python -m matrix base build"):
        assert way in reason
    assert world.stages == []


def test_a_base_without_the_cells_python_is_named(world):
    """A base of one's own may be about anything."""
    tag = f"torch-matrix-test/empty:{uuid.uuid4().hex[:8]}"
    text = f"FROM {BASE}\nRUN rm /usr/bin/python3.11 /usr/bin/python3\n"
    built = ApiBuilder(world.client, world.folder, world.stop, name="buildkit-api").build(
        Request(files={"Dockerfile": text.encode()}, tag=tag), Listener(), 60.0
    )
    world.images.append(built)
    verdict, reason = world.refused(maker=world.maker(MATRIX_IMAGE_CPU=tag))
    assert verdict == "infra"
    assert reason.startswith(f"the base {tag} {built} lacks this cell's Python: ")


def test_a_base_that_moves_during_a_run_does_not_move_its_cells(world):
    tag = f"torch-matrix-test/base:{uuid.uuid4().hex[:8]}"
    name, _, version = tag.partition(":")
    world.client.api.tag(BASE, name, version)
    maker = world.maker(MATRIX_IMAGE_CPU=tag)
    before, _ = world.make(maker=maker)
    moved = ApiBuilder(world.client, world.folder, world.stop, name="buildkit-api").build(
        Request(files={"Dockerfile": f"FROM {BASE}\nENV MOVED=1\n".encode()}, tag=tag),
        Listener(), 60.0,
    )  # fmt: skip
    after, _ = world.make(maker=maker)
    fresh, _ = world.make(maker=world.maker(run="run-2", MATRIX_IMAGE_CPU=tag))
    world.images.append(moved)
    assert before.base == after.base != fresh.base
    assert "MOVED=1" not in str(world.client.images.get(after.id).attrs["Config"]["Env"])


@pytest.mark.parametrize("value", ["x==1\nUSER root", "x==1\\\n&& id", 'x==1"; RUN id; "'])
def test_a_hostile_value_builds_nothing(world, value):
    verdict, reason = world.refused(world.job(companions=(value,)))
    assert verdict == "infra"
    assert "is not a requirement such as numpy<2" in reason
    assert "lock" not in world.stages


def test_a_mirror_on_this_machines_loopback_serves_a_build(world):
    """Wheels that lie in no folder come over HTTP from the index that pip is configured with."""
    served = world.folder / "served"
    (served / "simple").mkdir(parents=True)
    for wheel in world.wheels.glob("*.whl"):
        project = served / "simple" / wheel.name.split("-")[0]
        project.mkdir(exist_ok=True)
        shutil.copy(wheel, project)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/simple"
        maker = world.maker(PIP_NO_INDEX="", PIP_FIND_LINKS="", PIP_INDEX_URL=url)
        image, _ = world.make(maker=maker)
        server.shutdown()
    assert world.inside(image, "python", "-c", "import torch; print(torch.__version__)") == (
        "2.12.0+cpu\n"
    )


def test_only_what_is_ours_is_pruned(world, monkeypatch):
    """Bases, this run's images and other people's stay; under labels of the test's own."""
    token = f"tmx-{uuid.uuid4().hex[:8]}"
    monkeypatch.setattr(disk, "LABEL", token)
    monkeypatch.setattr(disk, "RUN_LABEL", f"{token}.run")
    monkeypatch.setattr(disk, "OWNER", f"{token}.owner")
    monkeypatch.setattr(disk, "YOUNG", -1.0)
    monkeypatch.setattr(disk, "_OURS", (f"echo {token} ours",))
    builder = ApiBuilder(world.client, world.folder, world.stop, name="buildkit-api")

    def built(words, **labels):
        text = f"FROM {BASE}\nRUN echo {token} {words} > /made\n"
        marks = {token: "1", **{f"{token}.{name}": value for name, value in labels.items()}}
        request = Request(files={"Dockerfile": text.encode()}, tag=f"{token}:{words}",
                          labels=marks if labels else {})  # fmt: skip
        return builder.build(request, Listener(), 60.0)

    old, mine = built("ours", run="old", owner="me"), built("mine", run="mine", owner="me")
    base, foreign = built("base", base="bookworm"), built("foreign")
    world.images = [old, mine, base, foreign]
    said = disk.prune(world.client, Runs(owner="me", lives=lambda run: run == "mine"))
    here = {image.id for image in world.client.images.list()}
    assert here & {old, mine, base, foreign} == {mine, base, foreign}
    assert said[0].startswith(f"removed image {old[7:19]}, ")
    left = [record["Description"] for record in world.client.df()["BuildCache"]]
    assert not any(f"{token} ours" in words for words in left)
    assert any(f"{token} foreign" in words for words in left)


class Broken(socketserver.StreamRequestHandler):
    """An engine that takes a build and then freezes, or dies in the middle of its answer."""

    def handle(self):
        if b"/_ping" in self.rfile.readline():
            self.server.over.wait(60)
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if self.server.freezes:
            self.server.over.wait(60)


@pytest.fixture
def broken(tmp_path):
    servers = []

    def start(*, freezes):
        path = str(tmp_path / f"engine-{freezes}.sock")
        server = socketserver.ThreadingUnixStreamServer(path, Broken)
        server.daemon_threads, server.freezes, server.over = True, freezes, threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return docker.DockerClient(base_url=f"unix://{path}", version="1.41")

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("freezes", "words"),
    [
        pytest.param(True, "the engine has not answered for 1 s", id="frozen"),
        pytest.param(False, "was the engine stopped|was it stopped", id="killed"),
    ],
)
def test_an_engine_that_is_lost_ends_the_build(broken, tmp_path, monkeypatch, freezes, words):
    """Its stream is silent for ever, or ends as if all were done."""
    from matrix.engines import api  # noqa: PLC0415  its patience is shortened

    monkeypatch.setattr(api, "_SILENCE", 0.5)
    monkeypatch.setattr(api, "_ANSWER", 1.0)
    builder = ApiBuilder(broken(freezes=freezes), tmp_path, threading.Event(), name="buildkit-api")
    with pytest.raises(BuildRefused, match=words):
        builder.build(Request(files={"Dockerfile": b"FROM x\n"}), Listener(), 30.0)


def test_base_build_needs_an_engine(project):
    project.write("[[torch]]\nversion = '2.13.0'\n")
    done = project.call("base", "build", "--json", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.returncode == 4
    assert "no Docker engine answers at `unix:///nowhere/docker.sock`" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == 4


TOOL = """#!{python}
import io, sys, tarfile
print("I: unpacking", flush=True)
target = next(word for word in sys.argv if word.endswith(".tar"))
with tarfile.open(target, "w") as archive:
    info = tarfile.TarInfo("etc/made-by-test")
    archive.addfile(info, io.BytesIO())
"""


@pytest.mark.usefixtures("client")
def test_base_build_imports_what_the_tool_made(project, client, monkeypatch):
    """With a stand-in for mmdebstrap, under a name of the test's own."""
    tools = project.folder / "bin"
    tools.mkdir()
    (tools / "mmdebstrap").write_text(TOOL.format(python=sys.executable))
    (tools / "mmdebstrap").chmod(0o755)
    name = f"torch-matrix-test/base:{uuid.uuid4().hex[:8]}"
    project.write("[[torch]]\nversion = '2.13.0'\n")
    driver = f"from matrix.engines import bases; bases.LOCAL = {name!r}"
    done = project.call(
        "base", "build", "--json", driver=driver, PATH=f"{tools}:{os.environ['PATH']}",
        DOCKER_HOST=os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    image = client.images.get(name)
    assert (made["name"], made["id"], made["python"]) == (name, image.id, "3.11")
    assert image.labels["torch-matrix.base"] == "bookworm"
    assert "I: unpacking" in done.stderr
    container = client.containers.create(image.id, ["x"])
    _, stat = container.get_archive("/etc/made-by-test")
    container.remove()
    client.images.remove(image.id, force=True)
    assert stat["name"] == "made-by-test"
