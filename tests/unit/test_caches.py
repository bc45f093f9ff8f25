"""Byte code that suites leave in the user's folder."""

import pytest

from matrix.backends.caches import Caches


@pytest.fixture
def cached(tmp_path):
    """Leave byte code in a folder, as an import does."""

    def leave(place):
        folder = tmp_path / place / "__pycache__"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.cpython-311.pyc").touch()
        return folder

    return leave


def test_what_was_there_before_stays_and_what_is_new_goes(cached, tmp_path):
    before = cached("old")
    with Caches().swept(tmp_path):
        new = [cached("."), cached("new/deeper")]
        cached("old")
    assert before.is_dir()
    assert not any(cache.exists() for cache in new)
    assert (tmp_path / "new" / "deeper").is_dir()


def test_the_last_suite_of_a_folder_sweeps(cached, tmp_path):
    """Another cell's suite still reads and writes there."""
    caches = Caches()
    with caches.swept(tmp_path):
        with caches.swept(tmp_path):
            made = cached("a")
        assert made.is_dir()
    assert not made.exists()
    with caches.swept(tmp_path):
        made = cached("a")
    assert not made.exists(), "and again"


@pytest.mark.parametrize("place", [".venv/lib", "results/local", "env/lib/python3.11"])
def test_other_peoples_folders_are_left_alone(cached, tmp_path, place):
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    with Caches().swept(tmp_path):
        made = cached(place)
    assert made.is_dir()


def test_only_byte_code_is_removed(cached, tmp_path):
    with Caches().swept(tmp_path):
        made = cached("a")
        (made / "notes.txt").touch()
    assert [path.name for path in made.iterdir()] == ["notes.txt"]


def test_a_suite_that_fails_leaves_nothing_either(cached, tmp_path):
    def fail():
        with Caches().swept(tmp_path):
            cached("a")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not (tmp_path / "a" / "__pycache__").exists()


def test_several_folders_are_swept(cached, tmp_path):
    with Caches().swept(tmp_path / "a", tmp_path / "b"):
        made = [cached("a"), cached("b")]
        other = cached("c")
    assert not any(cache.exists() for cache in made)
    assert other.is_dir()
