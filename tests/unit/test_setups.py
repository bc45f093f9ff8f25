"""Which backend and which runners a command gets, and what it says about that."""

import contextlib
from types import SimpleNamespace

import pytest

from matrix import setups
from matrix.engines import bases, connection
from matrix.engines.bases import Base
from matrix.engines.connection import EngineLost
from matrix.engines.tunnel import NoEngine
from matrix.errors import InfrastructureError
from matrix.workspace import Workspace

MATRIX = """
[[torch]]
version = "2.13.0"
variants = ["cpu"]
python = ["3.11"]
"""
RUNNERS = """
[runners.a]
docker = "tcp://a:1"
tls = "."
slots = 2
[runners.b]
docker = "tcp://b:1"
"""
BASE = Base(name="base", digest="sha256:1", reference="base@sha256:1")


@pytest.fixture
def world(tmp_path, env, monkeypatch):
    """A workspace, and engines that answer where a test says so."""
    world = SimpleNamespace(answers=set(), asked=[], closed=[], base=BASE, env=env)

    def connect(url, env):
        world.asked.append((url, env.get("DOCKER_CERT_PATH", "")))
        if url not in world.answers:
            raise NoEngine(f"no Docker engine answers at `{url}`")
        info = {"NCPU": 8, "MemTotal": 1 << 30}
        client = SimpleNamespace(info=lambda: info)
        return SimpleNamespace(
            url=url, client=client, is_local=url == "", errors=contextlib.nullcontext,
            close=lambda: world.closed.append(url),
        )  # fmt: skip

    def workspace(text=MATRIX, **env_):
        (tmp_path / "matrix.toml").write_text(text)
        return Workspace.of(tmp_path / "matrix.toml", {**world.env, **env_})

    monkeypatch.setattr(connection, "connect", connect)
    monkeypatch.setattr(bases, "find", lambda *_: world.base)
    monkeypatch.setattr(setups, "DEFAULT_ENGINE", f"unix://{tmp_path}/none.sock")
    world.workspace = workspace
    return world


def auto(world, text=MATRIX, **env):
    workspace = world.workspace(text, **env)
    return setups.auto(workspace, workspace.expansion.cells)


def test_without_an_engine_there_are_environments_and_nobody_is_asked(world):
    setup = auto(world)
    assert (setup.name, world.asked) == ("venv", [])
    assert "no Docker engine at" in setup.describe()


def test_an_engine_that_does_not_answer_is_no_reason_to_stop(world):
    setup = auto(world, DOCKER_HOST="tcp://gone:1")
    assert setup.name == "venv"
    assert setup.note == "runner `local`: no Docker engine answers at ``"


def test_an_engine_without_a_base_is_not_taken_and_the_way_to_one_is_said(world):
    world.answers, world.base = {""}, "make one with `base build`"
    setup = auto(world, DOCKER_HOST="tcp://here:1")
    assert (setup.name, setup.note) == ("venv", "make one with `base build`")
    assert world.closed == [""]


def test_an_engine_with_a_base_is_taken(world):
    world.answers = {""}
    setup = auto(world, DOCKER_HOST="tcp://here:1")
    assert setup.describe() == "backend docker on local"
    assert setup.as_json() == {"backend": "docker", "runners": ["local"], "note": ""}


def test_the_engines_of_the_matrix_file_take_the_place_of_the_usual_one(world, tmp_path):
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").touch()
    world.answers = {"tcp://a:1"}
    setup = auto(world, MATRIX + RUNNERS)
    assert world.asked == [("tcp://a:1", str(tmp_path)), ("tcp://b:1", "")]
    assert [(r.name, r.cores, r.slots) for r in setup.inventory.runners] == [("a", 8, 2)]
    assert setup.inventory.slots == 2
    assert setup.note == "runner `b`: no Docker engine answers at `tcp://b:1`"


def test_engines_are_let_go_of_at_the_end(world):
    """An engine through ssh is a process and a folder here."""
    world.answers = {"tcp://a:1", "tcp://b:1"}
    text = MATRIX + RUNNERS.replace('tls = "."\n', "")
    with setups.docker(world.workspace(text)):
        assert world.closed == []
    assert sorted(world.closed) == ["tcp://a:1", "tcp://b:1"]


def test_an_engine_that_is_lost_while_it_tells_of_itself_is_let_go_of(world, monkeypatch):
    @contextlib.contextmanager
    def lost():
        raise EngineLost("gone")
        yield

    made = SimpleNamespace(errors=lost, close=lambda: world.closed.append("lost"))
    monkeypatch.setattr(connection, "connect", lambda *_: made)
    with pytest.raises(InfrastructureError, match="runner `local`: gone"):
        setups.docker(world.workspace())
    assert world.closed == ["lost"]


def test_who_asks_for_containers_gets_no_environments(world):
    with pytest.raises(InfrastructureError, match="no Docker engine answers"):
        setups.docker(world.workspace())


def test_a_cell_in_a_container_comes_from_its_dockerfile(world):
    world.answers = {""}
    workspace = world.workspace()
    cell = workspace.expansion.cells[0]
    suites = workspace.suites(workspace.profile("default"), ())

    def origin(**env):
        return setups.docker(world.workspace(**env)).origin(cell, suites)

    assert origin() == origin() != ""
    assert origin(MATRIX_IMAGE_CPU="other:1") != origin()


def test_environments_come_from_their_pins_alone(world):
    cell = world.workspace().expansion.cells[0]
    assert setups.venv(world.workspace()).origin(cell, ()) == ""
