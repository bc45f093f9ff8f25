"""The user's own tests over the matrix: a folder, files, a command, another project's archive."""

import json

import pytest
from standin import make_sdist, make_wheel

TEST = """
import os, pathlib, pytest, torch
def test_release(): assert torch.__version__.startswith("2.1")
def test_helper(): import helper; assert helper.WORD == "beside"
@pytest.mark.parametrize("n", [1, 2])
def test_parameter(n): pass
def test_environment(): assert os.environ["WORD"] == "given"
"""


def test_a_folder_of_pytest_tests(project, make):
    """With a helper beside it, variables, arguments and requirements of its own."""
    suites = """
[suites.mine]
tests = "mine"
env = {WORD = "given"}
pytest_args = ["-k", "not release"]
requirements = ["iniconfig"]
"""
    project.write(
        make.matrix("2.10.0", "2.11.0", suites=suites),
        mine__test_a=TEST,
        mine__helper="WORD = 'beside'\n",
    )
    done = project.run()
    assert done["code"] == 0
    assert set(project.verdicts()) == {
        (torch, f"test_a.py::test_{name}")
        for torch in ("2.10.0", "2.11.0")
        for name in ("helper", "parameter[1]", "parameter[2]", "environment")
    }
    assert set(project.verdicts().values()) == {"pass"}
    assert not list((project.folder / "mine").rglob(".pytest_cache"))


def test_single_files(project, make):
    suites = '[suites.mine]\ntests = ["mine/test_a.py"]'
    project.write(
        make.matrix("2.11.0", suites=suites),
        mine__test_a="def test_a(): pass\n",
        mine__test_b="def test_b(): assert 0\n",
    )
    project.run()
    assert project.verdicts() == {("2.11.0", "test_a.py::test_a"): "pass"}


def test_commands(project, make):
    """`python` is the cell's; the exit status is the verdict; no pytest is installed for them."""
    commands = {
        "passes": (["python", "-c", "import torch; print('fine')"], "pass", "fine"),
        "fails": (["python", "-c", "import sys; sys.exit('wrong')"], "fail", "status 1: wrong"),
        "crashes": (["python", "-c", "import os; os.kill(os.getpid(), 11)"], "crash", "SIGSEGV"),
        "hangs": (["python", "-c", "import time; time.sleep(600)"], "timeout", "within 2 s"),
        "missing": (["no-such-program-here"], "fail", "cannot be started"),
    }
    suites = "".join(
        f"[suites.{name}]\ncommand = {json.dumps(command)}\ntest_timeout = 2\n"
        for name, (command, _, _) in commands.items()
    )
    names = ", ".join(f'"{name}"' for name in commands)
    project.write(make.matrix("2.11.0", suites=suites, names=names))
    project.run()
    rows = {row.suite: row for row in project.store.rows(project.last.entries)}
    assert {row.test for row in rows.values()} == {"command"}
    for name, (_, verdict, reason) in commands.items():
        assert rows[name].verdict == verdict, name
        assert reason in rows[name].reason
    lock = project.last.path / "cells" / make.cell("2.11.0") / "venv-cpu" / "passes"
    assert "pytest" not in (lock / "requirements.lock").read_text()


@pytest.fixture
def archive(tmp_path, project):
    """A project's wheel and source archive in a folder of the user's."""
    folder = tmp_path / "more"
    make_wheel(folder, "stackable", "1.0", {"stackable/__init__.py": "WORD = 'installed'\n"})
    make_sdist(folder, "stackable", "1.0", {
        "PKG-INFO": "Metadata-Version: 2.1\nName: stackable\nVersion: 1.0\n",
        "tests/test_word.py": "import stackable, torch\n"
        "def test_word(): assert stackable.WORD == 'installed'\n"
        "def test_release(): assert torch.__version__ >= '2.11'\n",
    })  # fmt: skip
    project.env["PIP_FIND_LINKS"] += f" {folder}"
    return folder


SOURCE = """
[suites.theirs]
source = "stackable==1.0"
tests = ["{}"]
requirements = ["stackable==1.0"]
"""


def test_the_tests_of_another_project_from_its_source_archive(project, make, archive):
    """Over two releases; the old one visibly fails what it lacks."""
    text = make.matrix(
        "2.10.0", "2.11.0", suites=SOURCE.format("tests/test_word.py"), names='"theirs"'
    )
    project.write(text)
    done = project.run()
    assert done["code"] == 0, done["stderr"]
    assert project.verdicts() == {
        ("2.10.0", "test_word.py::test_word"): "pass",
        ("2.10.0", "test_word.py::test_release"): "fail",
        ("2.11.0", "test_word.py::test_word"): "pass",
        ("2.11.0", "test_word.py::test_release"): "pass",
    }
    assert project.run()["run"] is None


def test_an_archive_without_the_named_tests_says_so(project, make, archive):
    project.write(make.matrix("2.11.0", suites=SOURCE.format("nowhere"), names='"theirs"'))
    [entry] = project.run()["executions"]
    assert entry["verdict"] == "infra"
    assert entry["reason"] == "`stackable==1.0` has no nowhere in its source archive"
