"""The sessions people type: cells by id, tags by accelerator and release."""

import json
import re
import subprocess
import sys

import pytest


@pytest.fixture
def nox(project, make):
    """Call nox on our noxfile with the project's matrix file, from another folder."""
    project.write(make.matrix("2.10.0", "2.11.0"), mine__test_a="def test_a(): pass\n")
    env = {**project.env, "MATRIX_FILE": str(project.folder / "matrix.toml")}

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "nox", "-f", make.root / "noxfile.py", *arguments],
            env=env, cwd=project.folder, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip

    return call


def test_cells_are_listed_by_id(nox, make):
    listed = nox("-l").stdout
    for name in ("tests", "lint", "report", "check"):
        assert re.search(rf"^- {name} -> \w", listed, re.MULTILINE), name
    for cell in (make.cell("2.10.0"), make.cell("2.11.0")):
        assert re.search(
            rf"^- {re.escape(cell)} \[.*\] -> Run the suites of {re.escape(cell)} on cpu\.$",
            listed,
            re.MULTILINE,
        )


def test_cells_have_tags_for_accelerator_and_release(nox, make):
    listed = json.loads(nox("-l", "--json", "-t", "cpu").stdout)
    assert {session["session"]: session["tags"] for session in listed} == {
        make.cell(release): ["cpu", f"torch{release}"] for release in ("2.10.0", "2.11.0")
    }


def test_only_the_main_job_is_a_default(nox):
    lines = nox("-l").stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("* ")] == ["matrix"]


def test_a_cells_session_runs_that_cell(nox, project, make):
    done = nox("-s", make.cell("2.11.0"), "--", "--fail-on", "any")
    assert done.returncode == 0, done.stderr
    assert [e.cell for e in project.last.entries] == [make.cell("2.11.0")]


def test_a_tag_runs_its_cells(nox, project, make):
    done = nox("-t", "torch2.10.0")
    assert done.returncode == 0, done.stderr
    assert [e.cell for e in project.last.entries] == [make.cell("2.10.0")]


def test_a_wrong_matrix_file_still_lists_the_other_sessions(nox, project):
    """nox itself must not end in a traceback, or nothing can be typed at all."""
    project.write("[[torch]]\nversion = '2.66.0'\n")
    listed = nox("-l")
    assert listed.returncode == 0
    assert "noxfile: no sessions for cells: " in listed.stderr
    assert "torch[0].version: torch 2.66.0 does not exist" in listed.stderr
    assert "* matrix" in listed.stdout
