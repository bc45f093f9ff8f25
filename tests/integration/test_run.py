"""A run in real environments: tables, freshness, exit codes, rows for what cannot be run."""

import os
import signal
import subprocess

import pytest
from standin import make_sdist

from matrix.locks import uv
from matrix.store import Store

PASSES = "def test_passes(): pass\n"
MIXED = """
import pytest, torch
def test_new(): assert torch.__version__ >= "2.11"
def test_old(): pass
def test_skipped(): pytest.skip("no GPU")
"""


def test_two_releases_end_in_a_table_a_bundle_markdown_and_csv(project, make):
    """Old releases visibly fail what they lack."""
    project.write(make.matrix("2.10.0", "2.11.0"), mine__test_a=MIXED)
    done = project.call("run")
    assert done.returncode == 0, done.stderr
    assert "2.10.0" in done.stdout
    assert project.verdicts() == {
        ("2.10.0", "test_a.py::test_new"): "fail",
        ("2.11.0", "test_a.py::test_new"): "pass",
        ("2.10.0", "test_a.py::test_old"): "pass",
        ("2.11.0", "test_a.py::test_old"): "pass",
        ("2.10.0", "test_a.py::test_skipped"): "skip",
        ("2.11.0", "test_a.py::test_skipped"): "skip",
    }
    tables = project.folder / "results" / "local" / "tables"
    assert "2.10.0" in (tables / "README.md").read_text()
    assert list(tables.glob("*.csv"))
    suite = project.last.path / "cells" / make.cell("2.10.0") / "venv-cpu" / "mine"
    assert {"execution.json", "rows.parquet", "probe.json", "outcomes.jsonl", "requirements.lock",
            "suite.log"} <= {path.name for path in suite.iterdir()}  # fmt: skip
    lock = (suite / "requirements.lock").read_text()
    assert "torch==2.10.0+cpu" in lock
    assert "--hash=sha256:" in lock


def test_a_run_leaves_nothing_but_results(project, make):
    """No environment, no scratch folder, no process; the user's tests stay as they are."""
    project.write(make.matrix("2.11.0"), mine__test_a=PASSES)
    project.run()
    local = project.folder / "results" / "local"
    assert {path.name for path in local.iterdir()} <= {"runs", "work", "tables"}
    assert not any(path.is_dir() for path in (local / "work").iterdir())
    assert project.processes() == []
    assert not list(project.last.path.rglob(".*"))
    assert [p.name for p in (project.folder / "mine").iterdir()] == ["test_a.py"]


def test_what_tests_write_beside_themselves_makes_nothing_stale(project, make):
    """In a git work tree that ignores it."""
    writes = "import pathlib, time\ndef test_writes():\n"
    writes += "    pathlib.Path(__file__).with_suffix('.out').write_text(str(time.time()))\n"
    project.write(make.matrix("2.11.0"), mine__test_a=writes)
    (project.folder / ".gitignore").write_text("*.out\n")
    subprocess.run(["git", "init", "-q"], cwd=project.folder, check=True)
    assert project.run()["executions"][0]["counts"] == {"pass": 1}
    assert (project.folder / "mine" / "test_a.out").is_file()
    assert project.run()["run"] is None


def test_freshness_goes_by_what_a_result_means(project, make):
    """Unchanged is fresh; an edited test is stale; failures are evidence and not tried again."""
    project.write(make.matrix("2.10.0", "2.11.0"), mine__test_a=MIXED)
    first = project.run()
    assert len(first["executions"]) == 2
    second = project.run()
    assert (second["run"], len(second["fresh"])) == (None, 2)
    project.write(make.matrix("2.10.0", "2.11.0"), mine__test_a=MIXED + "# edited\n")
    plan = project.call("plan")
    assert plan.stdout.count(f"stale: tests changed since {first['run']}; about") == 2
    failed = project.run("--select", "torch==2.11")
    assert [e["cell"] for e in failed["executions"]] == [make.cell("2.11.0")]
    project.run()
    again = project.call("plan", "--rerun", "failed").stdout.splitlines()
    assert [line.partition(": ")[0] for line in again] == [
        f"run    {make.cell('2.10.0')} venv-cpu mine",
        f"fresh  {make.cell('2.11.0')} venv-cpu mine",
    ]


def test_the_exit_code_says_what_is_new(project, make):
    """First one old failure, then a new one beside it."""
    text = "def test_a(): assert 0\ndef test_b(): assert {}\n"
    project.write(make.matrix("2.11.0"), mine__test_a=text.format(1))
    assert project.run()["code"] == 0
    project.write(make.matrix("2.11.0"), mine__test_a=text.format(0))
    done = project.run()
    assert done["code"] == 1
    assert sorted(f["change"] for f in done["findings"]) == ["known", "new"]


def test_a_cell_that_cannot_be_installed_is_a_row_and_the_run_goes_on(project, make):
    project.write(make.matrix("2.11.0", "2.13.0"), mine__test_a=PASSES)
    done = project.run()
    assert project.verdicts() == {("2.11.0", "test_a.py::test_passes"): "pass",
                                  ("2.13.0", ""): "uninstallable"}  # fmt: skip
    [entry] = [e for e in done["executions"] if e["verdict"]]
    assert "torch==2.13.0+cpu" in entry["reason"]
    assert done["code"] == 0
    assert project.run()["fresh"], "which is evidence"


def test_requirements_without_a_solution_are_evidence(project, make):
    suites = '[suites.mine]\ntests = "mine"\nrequirements = ["numpy>=99"]'
    project.write(make.matrix("2.11.0", suites=suites), mine__test_a=PASSES)
    project.run()
    assert project.verdicts() == {("2.11.0", ""): "uninstallable"}


def test_a_requirement_that_cannot_be_built_is_evidence_too(project, make, wheels, tmp_path):
    """A source archive whose build fails says something of the package, not of the network."""
    more = tmp_path / "more"
    make_sdist(more, "broken", "1.0", {
        "PKG-INFO": "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "no"\n'
                          'backend-path = ["."]\n',
        "no.py": "raise SystemExit('cannot be built')\n",
    })  # fmt: skip
    suites = '[suites.mine]\ntests = "mine"\nrequirements = ["broken==1.0"]'
    project.write(make.matrix("2.11.0", suites=suites), mine__test_a=PASSES)
    project.run(PIP_FIND_LINKS=f"{wheels} {more}")
    assert project.verdicts() == {("2.11.0", ""): "uninstallable"}


def test_a_network_that_fails_is_infrastructure_and_tried_again(project, make):
    """Exit 4; the next run, with a network, is not kept from running."""
    project.write(make.matrix("2.11.0"), mine__test_a=PASSES)
    unreachable = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": "http://127.0.0.1:9/"}
    done = project.run(**unreachable, UV_HTTP_RETRIES="0")
    assert done["code"] == 4
    assert project.verdicts() == {("2.11.0", ""): "infra"}
    again = project.run()
    assert (again["code"], len(again["executions"])) == (0, 1)


def test_a_missing_interpreter_is_said(project, make):
    """As uv sees it; pyenv's versions are looked at first, and this machine may have some."""
    missing = "3.12" if make.python != "3.12" else "3.13"
    text = make.matrix("2.11.0").replace(f'["{make.python}"]', f'["{make.python}", "{missing}"]')
    project.write(text, mine__test_a=PASSES)
    none = {"UV_PYTHON_PREFERENCE": "only-managed", "UV_PYTHON_INSTALL_DIR": project.folder}
    done = project.run(**none)
    verdicts = {e["cell"][-4:]: (e["verdict"], e["reason"]) for e in done["executions"]}
    assert verdicts == {
        make.python: ("", ""),
        missing: ("no-runner", (f"no Python {missing} on this machine; "
                  f"`uv python install {missing}` gives one")),
    }  # fmt: skip
    assert done["code"] == 0


def test_ctrl_c_stops_cleanly_and_keeps_what_finished(project, make, until):
    suites = '[suites.quick]\ntests = "quick"\n[suites.slow]\ntests = "slow"'
    project.write(
        make.matrix("2.11.0", suites=suites, names='"quick", "slow"'),
        quick__test_a=PASSES,
        slow__test_b="import os, time\ndef test_b():\n"
        "    open(os.environ['STALL_FILE'], 'w').close()\n    time.sleep(600)\n",
    )
    file = project.folder / "stalled"
    process = project.start("run", STALL_FILE=file)
    until(file.exists, "the slow test runs")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "[ STOP ] SIGINT: stopping, what finished is kept (1 suite); ends torch2.11.0" in err
    assert "Traceback" not in err
    assert [e.suite for e in project.last.entries] == ["quick"]
    assert project.processes() == []


def test_a_run_without_a_terminal_prints_plain_lines(project, make):
    project.write(make.matrix("2.11.0"), mine__test_a=PASSES)
    done = project.call("run", FORCE_COLOR="")
    assert "\x1b" not in done.stdout + done.stderr
    assert "bundle: " in done.stderr


def test_an_existing_interpreter_can_be_a_cell(project, make, wheels, tmp_path):
    """`host` installs nothing; the identity probe says which cell it is."""
    python = tmp_path / "own" / "bin" / "python"
    env = {**project.env, "UV_OFFLINE": "1"}
    subprocess.run([uv(), "venv", "-q", "--no-project", "-p", f"{make.python}", tmp_path / "own"],
                   env=env, check=True)  # fmt: skip
    subprocess.run([uv(), "pip", "install", "-q", "-p", python, "--no-index", "--find-links",
                    wheels, "torch==2.12.0", "pytest", "pytest-benchmark"],
                   env=env, check=True)  # fmt: skip
    project.write(make.matrix("2.11.0"), mine__test_a=PASSES)
    done = project.run("--backend", "host", "--python", python)
    [entry] = done["executions"]
    assert (entry["cell"], entry["execution"]) == (make.cell("2.12.0"), "host-cpu")
    assert (entry["provision"], entry["counts"]) == ("mounted", {"pass": 1})
    replayed = project.run("--backend", "replay", "--recording", project.last.path,
                           "--select", make.cell("2.11.0"))  # fmt: skip
    assert replayed["executions"][0]["verdict"] == "not-run"


def test_a_run_works_from_any_folder(project, make, tmp_path):
    """`--file` says where relative paths start; the caller's folder does not matter."""
    suites = '[suites.mine]\ncommand = ["python", "check.py"]'
    project.write(make.matrix("2.11.0", suites=suites), check="import torch; print('here')\n")
    (tmp_path / "else").mkdir()
    project.folder = tmp_path / "else"
    done = project.run("--file", "../matrix.toml")
    assert done["executions"][0]["counts"] == {"pass": 1}, done["stderr"]


def test_results_that_cannot_be_written_end_4(project, make):
    project.write(make.matrix("2.11.0"), mine__test_a=PASSES)
    (project.folder / "results").write_text("a file where the folder should be")
    done = project.call("run")
    assert done.returncode == 4
    assert "cannot be written" in done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    options = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if subprocess.run(options, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_nearly_full_is_infrastructure(project, make, small_disk):
    project.write(make.matrix("2.11.0"), mine__test_a=PASSES)
    done = project.run("--results", small_disk)
    assert done["code"] == 4
    [entry] = done["executions"]
    assert entry["verdict"] == "infra"
    assert "MiB free on the disk of" in entry["reason"]


def test_a_disk_that_fills_up_ends_4_and_keeps_what_finished(project, make, small_disk):
    """The second suite fills the disk where its own outcomes go."""
    suites = '[suites.quick]\ntests = "quick"\n[suites.writes]\ntests = "writes"'
    project.write(
        make.matrix("2.11.0", suites=suites, names='"quick", "writes"'),
        quick__test_a=PASSES,
        writes__test_b="""
import json, os
def test_b():
    place = os.path.dirname(json.load(open(os.environ["MATRIX_INSIDE"]))["events"])
    with open(os.path.join(place, "large"), "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
""",
    )
    driver = "import matrix.backends.venv as venv; venv.MIN_FREE_BYTES = 0"
    done = project.call("run", "--results", small_disk, driver=driver)
    assert done.returncode == 4, done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    [run] = Store(small_disk).runs()
    assert [e.suite for e in run.entries] == ["quick"]
    assert [row.verdict for row in Store(small_disk).rows(run.entries)] == ["pass"]
