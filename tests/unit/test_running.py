"""A run's scratch folder, and what travels into a cell."""

from types import SimpleNamespace

import pytest
from filelock import FileLock

from matrix import running, scratch
from matrix.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def folders(store):
    return sorted(path.name for path in (store.local / "work").iterdir() if path.is_dir())


def test_a_scratch_folder_lives_as_long_as_its_run_and_is_used_again(store):
    with scratch.folder(store, "r") as first:
        assert first.is_dir()
    assert folders(store) == []
    with scratch.folder(store, "r") as second:
        assert second == first, "uv knows the interpreters in it"


def test_runs_at_the_same_time_have_folders_of_their_own(store):
    with scratch.folder(store, "r") as first, scratch.folder(store, "r") as second:
        assert first != second
        assert folders(store) == sorted([first.name, second.name])


def test_a_failed_run_leaves_no_scratch_folder(store):
    with pytest.raises(ZeroDivisionError), scratch.folder(store, "r") as work:
        (work / "env").touch(mode=1 // 0)
    assert folders(store) == []


def test_a_run_lives_while_it_holds_its_scratch_folder(store):
    lives = scratch.lives(store)
    with scratch.folder(store, "one"), scratch.folder(store, "two"):
        assert lives("one")
        assert lives("two")
        assert not lives("three")
    assert not lives("one")
    dead = store.local / "work" / "5"
    dead.mkdir()
    (dead / scratch.RUN_NAME).write_text("killed")
    assert not lives("killed")


def test_scratch_folders_of_dead_runs_are_reaped_and_those_of_living_ones_are_not(store):
    """A dead run's lock is free: the kernel let go of it."""
    folder = store.local / "work"
    for name in ("0", "1", "2"):
        (folder / name / "jobs").mkdir(parents=True)
    with FileLock(folder / "1.lock"), scratch.folder(store, "r") as work:
        assert work.name == "0"
        assert not (work / "jobs").exists(), "what the dead run left is gone"
        assert folders(store) == ["0", "1"]


def test_what_travels_into_a_cell_is_the_inside_and_the_suites_that_run(tmp_path):
    run = SimpleNamespace(suite=SimpleNamespace(name="feature"))
    mine = SimpleNamespace(suite=SimpleNamespace(name="mine"))
    plan = SimpleNamespace(jobs=[SimpleNamespace(suites=[run, mine])])
    payload = tmp_path / "payload"
    running._lay_out(payload, plan)
    assert [path.name for path in (payload / "suites").iterdir()] == ["feature"]
    assert (payload / "matrix" / "__init__.py").read_text() == ""
    assert {path.name for path in (payload / "matrix").iterdir()} == {"__init__.py", "inside"}
    assert list((payload / "suites" / "feature").glob("test_*.py"))
    assert not list(payload.rglob("*.pyc"))
