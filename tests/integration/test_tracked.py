"""What counts as a source of the user's tests, in a real git work tree and outside of one."""

import subprocess

import pytest

from matrix import tracked


@pytest.fixture
def git(tmp_path, monkeypatch):
    """A work tree with a tracked test; call it for more commands."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def call(*arguments, cwd=tmp_path):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test_a.py").write_text("def test_a(): pass\n")
    (tmp_path / ".gitignore").write_text("*.out\nignored/\n")
    call("init", "-q")
    call("add", ".")
    call("commit", "-qm", "first")
    return call


@pytest.fixture
def changes(tmp_path):
    """Whether writing this file into the folder of tests changes its hash."""

    def ask(name, content="new", folder=tmp_path / "mine"):
        tracked.tree_hash.cache_clear()
        before = tracked.tree_hash(folder)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
        tracked.tree_hash.cache_clear()
        return tracked.tree_hash(folder) != before

    return ask


def test_what_git_ignores_is_no_source(git, changes):
    """Tests may write beside themselves without being stale for ever."""
    assert not changes("test.out")
    assert not changes("ignored/data.txt")


def test_what_git_tracks_or_would_track_is_one(git, changes):
    assert changes("test_a.py")
    assert changes("test_b.py")
    git("add", ".")
    assert changes("test_b.py", "edited")


def test_a_removed_file_is_noticed(git, changes, tmp_path):
    before = tracked.tree_hash(tmp_path / "mine")
    (tmp_path / "mine" / "test_a.py").unlink()
    tracked.tree_hash.cache_clear()
    assert tracked.tree_hash(tmp_path / "mine") != before


def test_byte_code_is_none_whatever_git_thinks(git, changes):
    assert not changes("__pycache__/test_a.cpython-311.pyc")


def test_a_repository_within_is_read_whole(git, changes, tmp_path):
    git("init", "-q", "mine/nested")
    assert changes("nested/test_c.py")
    assert changes("nested/test_c.py", "edited")


@pytest.mark.parametrize("place", ["ignored", "outside"])
def test_a_folder_that_git_does_not_know_is_read_whole(git, changes, tmp_path, place):
    """Nothing tracked there must not mean that nothing changes."""
    folder = tmp_path / "ignored" if place == "ignored" else tmp_path / "mine"
    if place == "outside":
        (tmp_path / ".git").rename(tmp_path / "git")
    folder.mkdir(exist_ok=True)
    assert changes("test.out", folder=folder)


def test_the_callers_git_variables_do_not_matter(git, changes, monkeypatch):
    """As in a git hook."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert not changes("test.out")


def test_a_machine_without_git_reads_it_all(git, changes, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert changes("test.out")
