"""Suites that crash, hang, lie, flood and forge: right verdicts, and others unharmed."""

import pytest

PASSES = "def test_passes(): pass\n"
CRASHES = """
import ctypes, os, signal, sys, time
def test_before(): pass
def test_segfault(): ctypes.string_at(0)
def test_exit_0(): os._exit(0)
def test_killed(): os.kill(os.getpid(), signal.SIGKILL)
def test_hangs(): time.sleep(600)
def test_memory(): raise MemoryError
def test_recursion():
    def again(): again()
    again()
def test_after(): pass
"""
FLOODS = """
import sys
def test_floods():
    line = "x" * 65535 + chr(10)
    for _ in range(800):
        sys.stdout.write(line)
def test_after(): pass
"""
FORGES = """
import json, os, time
def place():
    return json.load(open(os.environ["MATRIX_INSIDE"]))["events"]
def write(data):
    with open(place(), "ab") as file:
        file.write(data)
def event(**more):
    return json.dumps({"event": "outcome", **more}).encode() + b"\\n"
def test_a_long_line(): write(b"x" * 3_000_000 + b"\\n")
def test_no_json(): write(b"\\x00\\xff{]\\n[1]\\n5\\n")
def test_deep(): write(b"[" * 50_000 + b"\\n")
def test_wrong_types(): write(
    event(id=["t"], verdict={"a": 1}) + event(id="forged", verdict="excellent")
    + event(verdict="pass") + event(id="typed", verdict="pass", reason=[1], duration="long",
    params=5, error="no", feature={}, title=None, source=7, device=3))
def test_numbers(): write(event(id="large", verdict="pass", duration=10**400) + json.dumps(
    {"event": "metric", "id": "large", "samples": [10**400, -1, "x"], "work": 3}).encode() + b"\\n")
def test_control(): write(event(id="control", verdict="fail", title="<script>|a|",
    reason="\\x1b[2J\\x1b[31mred\\x07\\x00\\u202e"))
def test_start(): write(json.dumps({"event": "start", "id": "t", "at": "noon"}).encode() + b"\\n")
def test_after(): time.sleep(1)  # the supervisor has read all of it
"""
STOPS = """
import os, signal, time
def test_before(): pass
def test_kills_its_supervisor():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
def test_after(): pass
"""


def verdicts(project, release="2.11.0"):
    return {
        test.rpartition("::")[2]: verdict
        for (torch, test), verdict in project.verdicts().items()
        if torch == release
    }


@pytest.fixture
def suite(project, make):
    """Run one suite of hostile tests beside a suite of honest ones."""

    def call(text, *, settings="test_timeout = 2\ntimeout = 90"):
        suites = f'[suites.bad]\ntests = "bad"\n{settings}\n[suites.good]\ntests = "good"'
        project.write(
            make.matrix("2.11.0", suites=suites, names='"bad", "good"'),
            bad__test_bad=text,
            good__test_good=PASSES,
        )
        done = project.run()
        entries = {e["suite"]: e for e in done["executions"]}
        assert entries["good"]["counts"] == {"pass": 1}, "others are unharmed"
        assert project.processes() == []
        return done, entries["bad"]

    return call


def test_a_test_that_ends_its_process_costs_only_itself(suite, project):
    done, _ = suite(CRASHES)
    assert done["code"] == 0
    assert verdicts(project) == {
        "test_before": "pass",
        "test_segfault": "crash",
        "test_exit_0": "crash",
        "test_killed": "crash",
        "test_hangs": "timeout",
        "test_memory": "oom",
        "test_recursion": "fail",
        "test_after": "pass",
        "test_passes": "pass",
    }


def test_a_flood_is_capped_and_read_to_its_end(suite, project):
    """50 MB of output: the test still ends, the log has a limit, the bundle stays small."""
    suite(FLOODS)
    assert verdicts(project) == {
        "test_floods": "pass", "test_after": "pass", "test_passes": "pass",
    }  # fmt: skip
    sizes = [p.stat().st_size for p in project.last.path.rglob("*.log")]
    assert max(sizes) < 12 * 1024 * 1024


def test_forged_reports_are_read_as_what_they_are(suite, project):
    """Nothing forged stops the run or reaches a table raw."""
    _, entry = suite(FORGES)
    found = verdicts(project)
    honest = {name for name in found if name.startswith("test_")}
    assert {found[name] for name in honest} == {"pass"}
    assert {"test_after", "test_deep", "test_numbers", "test_wrong_types"} <= honest
    assert {name: v for name, v in found.items() if name not in honest} == {
        "typed": "pass", "large": "pass", "control": "fail", "t": "crash",
    }  # fmt: skip
    assert "cannot be read" in " ".join(entry["complaints"])
    assert "unknown verdict 'excellent'" in entry["complaints"]
    rows = {row.test: row for row in project.store.rows(project.last.entries) if row.verdict}
    assert rows["control"].reason == "red���"
    assert rows["typed"].duration is None
    for output in (project.call("report"), project.call("report", "--format", "markdown")):
        assert output.returncode == 0, output.stderr
        assert "\x1b[2J" not in output.stdout
        assert "<script>" not in output.stdout or "--format" not in output.args


def test_a_suite_that_kills_its_supervisor_is_read_as_far_as_it_came(suite, project):
    _, entry = suite(STOPS)
    found = verdicts(project)
    assert found["test_before"] == "pass"
    assert found["test_kills_its_supervisor"] == "crash"
    assert found["test_after"] == "not-run"
    assert entry["reason"] == "the suite ended without its closing line"


def test_a_report_that_is_gone_is_a_crash(suite, project):
    _, entry = suite("""
import json, os, signal, time
def test_a():
    os.unlink(json.load(open(os.environ["MATRIX_INSIDE"]))["events"])
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)  # its own outcome would make a new report
""")
    assert entry["verdict"] == "crash"


def test_a_folder_that_does_not_collect_is_a_row(project, make):
    """Whatever stops it; the other suites of the same cell are run."""
    broken = {
        "imports": ("import nothing_like_this\n", "nothing_like_this"),
        "syntax": ("def test(:\n", "SyntaxError"),
        "ends": ("import os; os._exit(3)\n", "status 3"),
        "crashes": ("import ctypes; ctypes.string_at(0)\n", "SIGSEGV"),
        "empty": ("x = 1\n", ""),
    }
    names = [*broken, "good"]
    suites = "\n".join(f'[suites.{name}]\ntests = "{name}"' for name in names)
    project.write(
        make.matrix("2.11.0", suites=suites, names=", ".join(f'"{name}"' for name in names)),
        good__test_good=PASSES,
        **{f"{name}__test_bad": text for name, (text, _) in broken.items()},
    )
    project.run()
    rows = {row.suite: row for row in project.store.rows(project.last.entries)}
    assert rows.pop("good").verdict == "pass"
    assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(broken, "fail")
    for name, (_, reason) in broken.items():
        assert reason in rows[name].reason


def test_a_suite_past_its_deadline_says_what_never_ran(suite, project):
    """And is tried again: what never ran is no evidence."""
    text = "import time\ndef test_a(): time.sleep(600)\ndef test_b(): pass\n"
    suite(text, settings="timeout = 2")
    assert verdicts(project)["test_a"] == "timeout"
    assert verdicts(project)["test_b"] == "not-run"
    [again, fresh] = project.call("plan").stdout.splitlines()
    assert "bad: its deadline of 2 s ended it last time; raise `timeout` in [suites.bad]" in again
    assert "good: recipe unchanged since " in fresh
