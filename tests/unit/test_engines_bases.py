"""Which base a cell is built on, and what is said where there is none."""

from types import SimpleNamespace

import pytest
from docker.errors import ImageNotFound

from matrix.cells import Cell
from matrix.engines import bases
from matrix.errors import InputError

CPU = Cell(torch="2.13.0", variant="cpu", python="3.11", device="cpu")
CUDA = Cell(torch="2.13.0", variant="cu130", python="3.12", device="cuda")
ID = "sha256:" + "a" * 64
DIGEST = "sha256:" + "d" * 64


class Engine:
    """An engine with these images: name → (id, digests)."""

    def __init__(self, **images):
        self.known = images
        self.tagged = []
        self.images = SimpleNamespace(get=self.get)
        self.api = SimpleNamespace(tag=lambda *words: self.tagged.append(words))

    def get(self, name):
        if name not in self.known:
            raise ImageNotFound(name)
        identity, digests = self.known[name]
        return SimpleNamespace(id=identity, attrs={"RepoDigests": digests})


def definition(**images):
    return SimpleNamespace(images=images)


def test_a_pulled_base_is_known_by_its_digest():
    name = "python:3.11-slim-bookworm"
    engine = Engine(**{name: (ID, [f"other@{DIGEST}", f"python@{DIGEST}"])})
    base = bases.find(engine, CPU, definition(), {})
    assert (base.reference, str(base)) == (f"python@{DIGEST}", f"{name} {DIGEST}")
    assert engine.tagged == []


def test_a_local_base_gets_a_tag_that_says_its_id():
    """BuildKit looks an id up in a registry; a tag of ours is found, and does not move."""
    engine = Engine(**{"own/python:1": (ID, [])})
    base = bases.find(engine, CPU, definition(cpu="own/python:1"), {})
    assert (base.digest, base.reference) == (ID, "torch-matrix/pinned:" + "a" * 64)
    assert engine.tagged == [(ID, "torch-matrix/pinned", "a" * 64)]


def test_the_base_made_here_serves_where_the_default_is_absent():
    engine = Engine(**{bases.LOCAL: (ID, [])})
    assert bases.find(engine, CPU, definition(), {}).name == bases.LOCAL


@pytest.mark.parametrize(
    ("cell", "images", "env", "words"),
    [
        pytest.param(
            CPU, {}, {},
            "this engine has no base image `python:3.11-slim-bookworm`: `docker pull` it, name "
            "another one as `cpu` in [images] or $MATRIX_IMAGE_CPU, or make "
            "`torch-matrix/base:py3.11-bookworm` with `python -m matrix base build`",
            id="three-ways",
        ),
        pytest.param(
            CUDA, {}, {},
            "this engine has no base image `python:3.12-slim-bookworm`: `docker pull` it, name "
            "another one as `cuda` in [images] or $MATRIX_IMAGE_CUDA",
            id="another-python-cannot-be-made",
        ),
    ],
)  # fmt: skip
def test_a_missing_base_is_said_with_what_to_do(cell, images, env, words):
    assert bases.find(Engine(), cell, definition(**images), env) == words


@pytest.mark.parametrize(
    ("images", "env"),
    [
        pytest.param({"cpu": "own/python:1"}, {}, id="matrix.toml"),
        pytest.param({}, {"MATRIX_IMAGE_CPU": "own/python:1"}, id="environment"),
    ],
)
def test_a_base_that_the_user_names_is_never_replaced(images, env):
    """Even where ours is there: results would be about another base than the one asked for."""
    engine = Engine(**{bases.LOCAL: (ID, [])})
    assert "`own/python:1`" in bases.find(engine, CPU, definition(**images), env)


def test_without_a_tool_the_message_names_one(monkeypatch):
    monkeypatch.setattr(bases.shutil, "which", lambda _: None)
    with pytest.raises(InputError, match="apt-get install mmdebstrap"):
        bases.make(Engine(), env={}, stop=None, note=print)


def test_a_mirror_reaches_either_tool(tmp_path):
    mirror = "http://mirror.example/debian"
    (new,) = bases._commands("/usr/bin/mmdebstrap", tmp_path, tmp_path / "a.tar", mirror)
    old, tar = bases._commands("/usr/sbin/debootstrap", tmp_path, tmp_path / "a.tar", mirror)
    assert new[-3:] == ["bookworm", tmp_path / "a.tar", mirror]
    assert (old[-1], tar[0]) == (mirror, "tar")
    assert all("g++" in word for word in (new[2], old[2]))
