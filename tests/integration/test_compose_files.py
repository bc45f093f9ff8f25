"""Compose files of cells: read by Compose itself, and one service really brought up and down.

`MATRIX_COMPOSE` is the command where it is not `docker compose`. Bringing up needs an engine at
`DOCKER_HOST` and `MATRIX_IMAGE_CPU`, an image there with `python3` and a shell.
"""

import json
import os
import resource
import shlex
import subprocess
from pathlib import Path

import docker
import pytest

from matrix.cells import expand
from matrix.compose import CACHE, render
from matrix.definition import load

REFERENCE = Path(__file__).parents[2] / "dockerfiles" / "reference"
CELLS = {c.id: c for c in expand(load(REFERENCE / "matrix.toml"), lambda *_: "").cells}
CPU = CELLS["torch2.13.0-cpu-py3.11"]
CUDA = CELLS["torch2.13.0-cu126-py3.12"]
DIGEST = f"registry/cell@sha256:{'0' * 64}"
VARIABLES = {"IMAGE": DIGEST, "GPU": "GPU-1", "RENDER_NODE": "renderD128", "RENDER_GROUP": "109"}


def may(memlock):
    """Whether a child of this process may have that limit."""
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock, memlock))
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
    except (OSError, ValueError):
        return False
    return True


# an engine without CAP_SYS_RESOURCE lifts no limit, and neither does this process there
MEMLOCK = next(m for m in (-1, resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]) if may(m))
MINE = f"""
services:
  cell:
    healthcheck: {{ interval: 1s, start_period: 0s }}
    stop_grace_period: 1s
    ulimits: {{ memlock: {MEMLOCK} }}
"""
TORCH = """
class Tensor(list):
    def sum(self): return self
    def item(self): return sum(self)
def ones(count, device): return Tensor([1.0] * count)
"""
STANDIN = f"""
FROM {os.environ.get("MATRIX_IMAGE_CPU")}
RUN ln -sf "$(command -v python3)" /usr/local/bin/python && install -d -o 10001 -g 10001 {CACHE}
COPY torch.py /standin/
ENV PYTHONPATH=/standin NVIDIA_VISIBLE_DEVICES=void
USER 10001:10001
"""
# what the service sees of itself; its limits are those of the process
LOOK = f"""
import json, os, pathlib, resource
def writes(folder):
    try: pathlib.Path(folder, "x").write_text("x")
    except OSError: return False
    return True
status = pathlib.Path("/proc/self/status").read_text()
shm = os.statvfs("/dev/shm")
print(json.dumps({{
    "root": writes("/"), "cache": writes("{CACHE}"), "tmp": writes("/tmp"), "uid": os.getuid(),
    "no_new_privileges": "NoNewPrivs:\\t1" in status,
    "no_caps": "CapEff:\\t0000000000000000" in status,
    "memlock": resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
    "stack": resource.getrlimit(resource.RLIMIT_STACK)[0], "shm": shm.f_blocks * shm.f_frsize,
    "first": pathlib.Path("/proc/1/comm").read_text().strip(),
    "gpu": os.environ.get("NVIDIA_VISIBLE_DEVICES"),
}}))
"""


@pytest.fixture(scope="module")
def compose():
    """Call Compose; returns what it says."""
    command = shlex.split(os.environ.get("MATRIX_COMPOSE", "docker compose"))

    def call(*arguments, fails=False, **env):
        names = ("PATH", "HOME", "DOCKER_HOST")
        own = {name: os.environ[name] for name in names if name in os.environ}
        done = subprocess.run(
            [*command, *map(str, arguments)],
            env={**own, **env}, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stderr  # 1, and 15 of older releases
        return done.stderr if fails else done.stdout

    try:
        call("version")
    except (OSError, AssertionError) as error:
        pytest.skip(f"no Compose (`{shlex.join(command)}`; MATRIX_COMPOSE names another): {error}")
    return call


@pytest.mark.parametrize("cell", [pytest.param(c, id=i) for i, c in CELLS.items()])
def test_compose_reads_the_references(compose, cell):
    path = REFERENCE / f"{cell.id}.compose.yaml"
    read = json.loads(compose("-f", path, "config", "--format", "json", **VARIABLES))
    service = read["services"]["cell"]
    assert service["image"] == DIGEST
    assert (service["read_only"], service["ulimits"]["memlock"]) == (True, -1)
    assert read["volumes"]["cache"]["name"].startswith(f"torch-matrix-torch{cell.torch}-")
    if cell.device == "cuda":
        [device] = service["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["device_ids"]) == ("nvidia", ["GPU-1"])
    if cell.device == "rocm":
        nodes = [device["source"] for device in service["devices"]]
        assert (nodes, service["group_add"]) == (["/dev/kfd", "/dev/dri/renderD128"], ["109"])


@pytest.mark.parametrize("name", ["IMAGE", "GPU"])
def test_compose_says_what_a_file_needs(compose, name):
    path = REFERENCE / f"{CUDA.id}.compose.yaml"
    error = compose("-f", path, "config", **{**VARIABLES, name: ""}, fails=True)
    assert f"required variable {name} is missing a value" in error


def test_a_dollar_of_a_user_is_a_dollar(compose, tmp_path):
    path = tmp_path / "compose.yaml"
    path.write_text(render(CPU, image=DIGEST, env={"A": "${HOME} $$ \"'#: é"}))
    read = json.loads(compose("-f", path, "config", "--format", "json", "--no-interpolate"))
    assert read["services"]["cell"]["environment"]["A"] == "$${HOME} $$$$ \"'#: é"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A stand-in of a cell's image, pinned by its id."""
    if not os.environ.get("MATRIX_IMAGE_CPU"):
        pytest.skip("needs an engine and an image with python3: DOCKER_HOST, MATRIX_IMAGE_CPU")
    context = tmp_path_factory.mktemp("standin")
    (context / "torch.py").write_text(TORCH)
    (context / "Dockerfile").write_text(STANDIN)
    client = docker.from_env()
    made, _ = client.images.build(path=str(context), rm=True)
    yield made.id
    client.images.remove(made.id, force=True)
    client.close()


@pytest.mark.parametrize("cell", [pytest.param(CPU, id="cpu"), pytest.param(CUDA, id="cuda")])
def test_a_service_comes_up_healthy_hardened_and_keeps_its_cache(compose, image, cell, tmp_path):
    if cell.device == "cuda" and os.environ.get("MATRIX_FAKE_GPU") != "1":
        pytest.skip("needs an engine with GPUs, or with a stand-in of them: MATRIX_FAKE_GPU=1")
    (tmp_path / "compose.yaml").write_text(render(cell, image=image))
    (tmp_path / "mine.yaml").write_text(MINE)
    files = ("-f", tmp_path / "compose.yaml", "-f", tmp_path / "mine.yaml")
    try:
        compose(*files, "up", "-d", "--wait", **VARIABLES)
        seen = json.loads(compose(*files, "exec", "-T", "cell", "python", "-c", LOOK, **VARIABLES))
        compose(*files, "down", **VARIABLES)
        compose(*files, "up", "-d", "--wait", **VARIABLES)
        compose(*files, "exec", "-T", "cell", "test", "-f", f"{CACHE}/x", **VARIABLES)
    finally:
        compose(*files, "down", "--volumes", **VARIABLES)
    assert seen == {
        "root": False, "cache": True, "tmp": True, "uid": 10001, "no_new_privileges": True,
        "no_caps": True, "memlock": MEMLOCK, "stack": 67108864, "shm": 8 * 2**30,
        "first": "docker-init", "gpu": "GPU-1" if cell.device == "cuda" else "void",
    }  # fmt: skip
