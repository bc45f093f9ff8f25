"""The supervisor and plugin with real child processes, and tests that misbehave in every way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


class Ran:
    """What a finished suite left behind."""

    def __init__(self, out: Path, done: subprocess.CompletedProcess[str]) -> None:
        self.done = done
        lines = (out / "outcomes.jsonl").read_bytes().splitlines()
        assert all(len(line) < 64 * 1024 for line in lines)
        self.events: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.log = (out / "suite.log").read_bytes()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    @property
    def outcomes(self) -> dict[str, dict[str, Any]]:
        outcomes = self.of("outcome")
        by_id = {event["id"]: event for event in outcomes}
        assert len(by_id) == len(outcomes), "a test has two outcomes"
        return by_id

    @property
    def verdicts(self) -> dict[str, str]:
        return {key.rpartition("::")[2]: event["verdict"] for key, event in self.outcomes.items()}

    def reason(self, name: str) -> str:
        return next(str(e["reason"]) for key, e in self.outcomes.items() if key.endswith(name))

    @property
    def end(self) -> dict[str, Any]:
        (end,) = self.of("end")
        assert self.events[-1] is end
        return end


def environment(**more: str) -> dict[str, str]:
    # under pytest-xdist its variables would make pytest-benchmark switch itself off
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**own, "PYTHONPATH": str(ROOT), **more}


@pytest.fixture
def supervise(tmp_path: Path) -> Callable[..., Ran]:
    """Run a suite made of one test file (or of several, by name) to its end."""

    def run(body: str = "", files: dict[str, str] | None = None, **job: Any) -> Ran:
        tests, out = tmp_path / "suite", tmp_path / "out"
        tests.mkdir(exist_ok=True)
        for name, text in (files or {"test_it.py": body}).items():
            (tests / name).write_text(textwrap.dedent(text))
        job = {"suite": "s", "tests": [str(tests)], "out": str(out), "test_timeout": 20, **job}
        (tmp_path / "job.json").write_text(json.dumps(job))
        command = [sys.executable, "-m", "matrix.inside.supervise", str(tmp_path / "job.json")]
        done = subprocess.run(
            [*command, "--no-tether"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return Ran(out, done)

    return run


def test_a_crash_costs_one_test(supervise: Callable[..., Ran]) -> None:
    """The tests after a segfault run in a fresh process; every test has one outcome."""
    ran = supervise("""
        import ctypes

        def test_before():
            pass

        def test_segfault():
            print("about to fall")
            ctypes.string_at(0)

        def test_after():
            pass
    """)

    assert ran.verdicts == {"test_before": "pass", "test_segfault": "crash", "test_after": "pass"}
    assert "SIGSEGV" in ran.reason("test_segfault")
    assert "Segmentation fault" in ran.reason("test_segfault")
    assert [(e["signal"], e["why"]) for e in ran.of("process")] == [
        ("SIGSEGV", "crash"),
        (None, "finished"),
    ]
    assert ran.end["status"] == "complete"
    assert b"about to fall" in ran.log
    assert ran.done.stdout.splitlines() == [
        "outcome 1/3 pass test_it.py::test_before",
        "outcome 2/3 crash test_it.py::test_segfault",
        "outcome 3/3 pass test_it.py::test_after",
    ]


def test_leaving_in_silence_is_a_crash(supervise: Callable[..., Ran]) -> None:
    """Exit status 0 in the middle of a test is no success."""
    ran = supervise("""
        import os, pytest

        def test_exit():
            os._exit(0)

        def test_system_exit():
            raise SystemExit(0)

        def test_pytest_exit():
            pytest.exit("enough")

        def test_after():
            pass
    """)

    assert ran.verdicts == {
        "test_exit": "crash",
        "test_system_exit": "fail",
        "test_pytest_exit": "fail",
        "test_after": "pass",
    }
    assert "status 0 in the middle of the test" in ran.reason("test_exit")


def test_a_hang_is_stopped_and_shown(supervise: Callable[..., Ran]) -> None:
    """A hanging test is killed after its time, deaf to SIGTERM or not; its stack is in the log."""
    ran = supervise(
        """
        import signal, threading, time

        def where_it_hangs():
            time.sleep(1000)

        def test_hang():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            where_it_hangs()

        def test_after():
            pass
        """,
        test_timeout=1.5,
    )

    assert ran.verdicts == {"test_hang": "timeout", "test_after": "pass"}
    assert ran.reason("test_hang") == "did not end within 1.5 s"
    assert b"where_it_hangs" in ran.log
    assert ran.of("process")[0]["why"] == "timeout"


def test_a_flood_of_output_is_capped(supervise: Callable[..., Ran]) -> None:
    """200 MB of output neither fill the disk nor block the test."""
    ran = supervise(
        """
        import os

        def test_flood():
            block = b"x" * 99 + b"\\n"
            for _ in range(200):
                os.write(1, block * 10_000)
        """,
        log_cap=1_000_000,
    )

    assert ran.verdicts == {"test_flood": "pass"}
    assert len(ran.log) < 1_001_000
    assert b"[log cap reached: 199" in ran.log[-60:]


def test_grandchildren_do_not_survive(supervise: Callable[..., Ran], tmp_path: Path) -> None:
    """Neither one in the test's process group nor one that started a session of its own."""
    pids = tmp_path / "pids"
    ran = supervise(f"""
        import subprocess

        def test_leak():
            for new in (False, True):
                child = subprocess.Popen(["sleep", "1000"], start_new_session=new)
                with open({str(pids)!r}, "a") as file:
                    file.write(f"{{child.pid}}\\n")
    """)

    assert ran.verdicts == {"test_leak": "pass"}
    assert not any(map(_alive, map(int, pids.read_text().split())))


def test_verdicts(supervise: Callable[..., Ran]) -> None:
    """Each way to end a test has its verdict and its reason."""
    ran = supervise("""
        import pytest
        from matrix.inside import Refusal, WrongNumbers, feature

        REFUSED = Refusal("NotImplementedError", r"^no such kernel", "the manual")

        @feature("kernel", "A kernel", refusals=[REFUSED])
        def test_unsupported():
            raise NotImplementedError("no such kernel here")

        @feature("kernel", "A kernel", refusals=[REFUSED])
        def test_other_message():
            raise NotImplementedError("out of ideas")

        @feature("kernel", "A kernel", refusals=[REFUSED])
        def test_other_type():
            raise ValueError("no such kernel")

        @pytest.fixture
        def refusing():
            raise NotImplementedError("no such kernel")

        @feature("kernel", "A kernel", refusals=[REFUSED])
        def test_refused_in_setup(refusing):
            pass

        def test_wrong():
            raise WrongNumbers("off by 1", error=1.0, tolerance=0.5)

        def test_oom():
            raise MemoryError("all gone")

        def test_skip():
            pytest.skip("no cake")

        @pytest.mark.xfail(reason="known bug")
        def test_xfail():
            assert False

        @pytest.mark.xfail(reason="known bug")
        def test_xpass():
            pass

        @pytest.mark.xfail(reason="known bug", strict=True)
        def test_strict_xpass():
            pass

        def test_fail():
            assert 1 + 1 == 3, "sums"

        @pytest.fixture
        def untidy():
            yield
            raise RuntimeError("cannot tidy up")

        def test_teardown(untidy):
            pass

        def test_body_decides(untidy):
            pytest.skip("first reason")

        @feature("kernel", "A kernel", needs=["no-such-need"])
        def test_typo_in_needs():
            pass
    """)

    assert ran.verdicts == {
        "test_unsupported": "unsupported",
        "test_other_message": "fail",
        "test_other_type": "fail",
        "test_refused_in_setup": "fail",
        "test_wrong": "wrong",
        "test_oom": "oom",
        "test_skip": "skip",
        "test_xfail": "skip",
        "test_xpass": "pass",
        "test_strict_xpass": "fail",
        "test_fail": "fail",
        "test_teardown": "fail",
        "test_body_decides": "skip",
        "test_typo_in_needs": "fail",
    }
    assert ran.reason("test_unsupported") == (
        "NotImplementedError: no such kernel here (source: the manual)"
    )
    assert ran.reason("test_xfail") == "expected failure: known bug"
    assert ran.reason("test_skip") == "no cake"
    assert ran.reason("test_teardown") == "in teardown: RuntimeError: cannot tidy up"
    wrong = ran.outcomes["test_it.py::test_wrong"]
    assert wrong["numbers"] == {"error": 1.0, "tolerance": 0.5}
    assert wrong["error"]["type"] == "WrongNumbers"
    refused = ran.outcomes["test_it.py::test_unsupported"]
    assert (refused["feature"], refused["title"]) == ("kernel", "A kernel")
    assert len(refused["source"]) == 12
    assert all(e["reason"] for e in ran.of("outcome") if e["verdict"] != "pass")


def test_a_crashed_feature_keeps_its_row(supervise: Callable[..., Ran]) -> None:
    """What the supervisor writes about a crash names feature, parameters and source."""
    ran = supervise("""
        import os, pytest
        from matrix.inside import feature

        @feature("boom", "Explosions")
        @pytest.mark.parametrize("size", [64])
        def test_boom(size):
            os.abort()
    """)

    event = ran.outcomes["test_it.py::test_boom[64]"]
    assert event["verdict"] == "crash"
    assert (event["feature"], event["title"], event["params"]) == (
        "boom",
        "Explosions",
        {"size": 64},
    )
    assert len(event["source"]) == 12
    assert "SIGABRT" in event["reason"]


def test_what_cannot_be_collected_is_an_outcome(supervise: Callable[..., Ran]) -> None:
    """A broken file, a file that skips itself, and the good one beside them."""
    ran = supervise(
        files={
            "test_broken.py": "import no_such_module_at_all",
            "test_shy.py": "import pytest\npytest.skip('not today', allow_module_level=True)",
            "test_absent.py": "import pytest\npytest.importorskip('no_such_module_at_all')",
            "test_good.py": "import os\ndef test_good(): pass\ndef test_die(): os._exit(3)",
        }
    )

    assert ran.verdicts == {
        "test_broken.py": "fail",
        "test_shy.py": "skip",
        "test_absent.py": "skip",
        "test_good": "pass",
        "test_die": "crash",
    }
    assert "No module named 'no_such_module_at_all'" in ran.reason("test_broken.py")
    assert ran.reason("test_shy.py") == "not today"


@pytest.mark.parametrize("call", ["os._exit(0)", "os.abort()"])
def test_a_crash_while_collecting(supervise: Callable[..., Ran], call: str) -> None:
    """It is an outcome of the suite as a whole."""
    files = {"test_a.py": "def test_a(): pass", "test_b.py": f"import os\n{call}"}

    ran = supervise(files=files)

    assert ran.verdicts == {"suite": "fail"}
    assert "before the first test" in ran.reason("suite")
    assert ran.end["status"] == "uncollectable"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param({"conftest.py": "1 / 0"}, "ZeroDivisionError", id="conftest"),
        pytest.param({"nothing.txt": ""}, "no tests ran", id="empty"),
        pytest.param({"test_a.py": "def test_a(): pass"}, "unrecognized arguments", id="usage"),
    ],
)
def test_nothing_to_run(supervise: Callable[..., Ran], files: dict[str, str], reason: str) -> None:
    """A suite without a single test is no success."""
    args = ["--no-such-option"] if "test_a.py" in files else []

    ran = supervise(files=files, pytest_args=args)

    assert ran.verdicts == {"suite": "fail"}
    assert reason in ran.reason("suite")
    assert ran.end["status"] == "uncollectable"


def test_a_hang_while_collecting(supervise: Callable[..., Ran]) -> None:
    """Importing for ever is ended as well."""
    ran = supervise("import time\ntime.sleep(1000)", collect_timeout=2)

    assert ran.verdicts == {"suite": "fail"}
    assert "hung" in ran.reason("suite")


def test_the_deadline(supervise: Callable[..., Ran]) -> None:
    """What never started is `not-run`, with the reason; the one in flight timed out."""
    ran = supervise(
        """
        import time

        def test_quick():
            pass

        def test_slow():
            time.sleep(1000)

        def test_never():
            pass
        """,
        deadline=8,
    )

    assert ran.verdicts == {"test_quick": "pass", "test_slow": "timeout", "test_never": "not-run"}
    assert ran.reason("test_never") == "never started: the suite's deadline of 8 s was reached"
    assert ran.end["status"] == "deadline"


def test_the_deadline_while_collecting(supervise: Callable[..., Ran]) -> None:
    """Also then there is an outcome to see."""
    ran = supervise("import time\ntime.sleep(1000)", deadline=2)

    assert ran.verdicts == {"suite": "not-run"}
    assert ran.reason("suite") == (
        "ended while collecting: the suite's deadline of 2 s was reached"
    )
    assert ran.end["status"] == "deadline"


def test_a_broken_companion(supervise: Callable[..., Ran]) -> None:
    """It is an outcome, and whoever would skip because of it fails instead."""
    files = {
        "sickly.py": "import no_such_module_at_all",
        "test_it.py": """
            import pytest

            def test_companion():
                pytest.importorskip("sickly")

            def test_absent():
                pytest.importorskip("no_such_module_at_all")
        """,
    }

    ran = supervise(files=files, companions=["sickly"], env={})

    # A companion that the suite names must be there; what a test asks for by itself may be absent.
    assert ran.verdicts == {"sickly": "fail", "test_companion": "fail", "test_absent": "skip"}
    assert "sickly" in ran.reason("test_companion")


def test_a_broken_companion_is_found_beforehand(tmp_path: Path) -> None:
    """Installed but broken is told from not installed."""
    (tmp_path / "sickly.py").write_text("raise OSError('libfoo.so: undefined symbol: _ZN3c10')")
    code = (
        "import json;from matrix.inside.companions import check;"
        "print(json.dumps([check(n) for n in ('sickly', 'no-such-package', 'pytest')]))"
    )
    env = environment(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")

    out = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout
    broken, absent, sound = json.loads(out)

    assert (broken["installed"], broken["ok"]) == (True, False)
    assert broken["error"] == "OSError: libfoo.so: undefined symbol: _ZN3c10"
    assert (absent["installed"], absent["error"]) == (False, "no-such-package is not installed")
    assert sound["ok"]


def test_torch_stays_out(supervise: Callable[..., Ran]) -> None:
    """A suite that never imports torch does not pay for it."""
    ran = supervise("""
        import sys

        def test_no_torch():
            assert "torch" not in sys.modules
    """)

    assert ran.verdicts == {"test_no_torch": "pass"}


def test_foreign_configuration_stays_out(supervise: Callable[..., Ran], tmp_path: Path) -> None:
    """A pytest.ini above the suite is not the suite's; one inside is."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    inside = "[pytest]\npython_functions = check_*\n"

    assert supervise("def test_it(): pass").verdicts == {"test_it": "pass"}
    ran = supervise(files={"pytest.ini": inside, "test_it.py": "def check_it(): pass"})
    assert ran.of("outcome")[-1]["id"] == "test_it.py::check_it"


def test_metrics_are_those_of_passing_tests(supervise: Callable[..., Ran]) -> None:
    """Samples are seconds per call, one a round; a test that fails afterwards measures nothing."""
    pytest.importorskip("pytest_benchmark")
    ran = supervise("""
        import time
        import pytest
        from matrix.inside import workload

        @workload("nap", "Sleeping")
        @pytest.mark.parametrize("seconds", [0.005])
        def test_nap(measure, seconds):
            measure.once(lambda: time.sleep(0.02), metric="first-call")
            measure(lambda: time.sleep(seconds), work={"tokens": 2}, rounds=7, params={"n": 1})

        @workload("nap", "Sleeping")
        def test_spoilt(measure):
            measure(lambda: time.sleep(0.001), rounds=3)
            assert False
    """)

    assert list(ran.verdicts.values()) == ["pass", "fail"]
    first, steady = ran.of("metric")
    assert (first["metric"], first["unit"], first["better"]) == ("first-call", "s", "lower")
    assert steady["params"] == {"seconds": 0.005, "n": 1}
    assert steady["iterations"] == 1
    assert (steady["workload"], steady["work"]) == ("nap", {"tokens": 2})
    assert len(steady["samples"]) == 7
    assert all(0.005 <= sample < 0.5 for sample in steady["samples"])


def test_monstrous_texts_are_cut(supervise: Callable[..., Ran]) -> None:
    """Ids, messages and parameters of any size stay within a line."""
    ran = supervise("""
        import pytest

        @pytest.mark.parametrize("text", ["\\u00e9" * 100_000])
        def test_big(text):
            raise ValueError("\\u00e9" * 10_000_000)
    """)

    (event,) = ran.of("outcome")
    assert event["verdict"] == "fail"
    assert "characters cut" in event["error"]["message"]


@pytest.mark.parametrize(
    ("command", "verdict", "reason"),
    [
        pytest.param("echo fine", "pass", "fine", id="pass"),
        pytest.param("echo bad news; exit 3", "fail", "exit status 3: bad news", id="fail"),
        pytest.param("echo ouch; kill -SEGV $$", "crash", "ended by SIGSEGV: ouch", id="crash"),
        pytest.param("echo zzz; sleep 100", "timeout", "did not end within 2 s; zzz", id="hang"),
    ],
)
def test_commands(supervise: Callable[..., Ran], command: str, verdict: str, reason: str) -> None:
    """A command is one test, judged by its exit status and quoted by its last line."""
    ran = supervise(kind="command", command=["sh", "-c", command], test_timeout=2)

    assert ran.verdicts == {"command": verdict}
    assert ran.reason("command") == reason


def test_the_largest_process_of_a_suite_is_known(supervise: Callable[..., Ran]) -> None:
    """Its resident memory at its peak, in bytes; a grandchild counts as well."""
    code = "x = bytearray(200 << 20)"
    ran = supervise(kind="command", command=["sh", "-c", f"{sys.executable} -c '{code}'; true"])

    assert 200 << 20 < ran.end["peak_rss"] < 400 << 20


@pytest.mark.parametrize("how", ["tether", "SIGTERM", "SIGKILL"])
def test_nothing_outlives_the_orchestrator(tmp_path: Path, how: str) -> None:
    """When standard input closes, or the supervisor is killed, the test goes too."""
    tests, out = tmp_path / "suite", tmp_path / "out"
    tests.mkdir()
    note = tmp_path / "pid"
    (tests / "test_it.py").write_text(
        "import os, pathlib, time\n"
        f"def test_long():\n    pathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(1000)\n"
        "def test_next(): pass\n"
    )
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"suite": "s", "tests": [str(tests)], "out": str(out)}))
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "matrix.inside.supervise", str(job)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert supervisor.stdin
    pid = int(_wait_for(lambda: note.exists() and note.read_text()))

    if how == "tether":
        supervisor.stdin.close()
    else:
        supervisor.send_signal(getattr(signal, how))
    supervisor.wait(10)

    assert _wait_for(lambda: not _alive(pid))
    if how != "SIGKILL":
        last = json.loads((out / "outcomes.jsonl").read_text().splitlines()[-1])
        assert (last["event"], last["status"]) == ("end", "stopped")
    supervisor.stdin.close()


def test_the_probe_without_torch(tmp_path: Path) -> None:
    """It says what it knows, and exits 1."""
    (tmp_path / "torch.py").write_text("import os; os._exit(7)")
    (tmp_path / "ok").mkdir()
    (tmp_path / "ok" / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open')")
    for folder, code, error in (
        (tmp_path, 7, "importing torch ended the process"),
        (tmp_path / "ok", 1, "import torch: ImportError: libcudart.so.13: cannot open"),
    ):
        out = tmp_path / "probe.json"
        done = subprocess.run(
            [sys.executable, "-m", "matrix.inside.probe", str(out)],
            env=environment(PYTHONPATH=f"{folder}{os.pathsep}{ROOT}"),
            check=False,
        )
        identity = json.loads(out.read_text())

        assert done.returncode == code
        assert identity["torch"] is None
        assert identity["errors"] == [error]
        assert identity["packages"]["pytest"] == pytest.__version__
        assert identity["schema"] == 1


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"nothing happened within {seconds} s")


def test_numbers_of_a_plain_benchmark_are_kept(supervise: Callable[..., Ran]) -> None:
    """A test that uses pytest-benchmark by itself leaves its samples, named after the test."""
    ran = supervise("""
        import pytest

        @pytest.mark.parametrize("n", [3])
        def test_sum(benchmark, n):
            assert benchmark.pedantic(sum, args=(range(n),), rounds=4) == 3

        def test_wrong(benchmark):
            benchmark.pedantic(sum, args=(range(3),), rounds=4)
            assert False
    """)

    (metric,) = ran.of("metric")
    assert (metric["workload"], metric["metric"], metric["params"]) == (
        "test_sum",
        "time",
        {"n": 3},
    )
    assert len(metric["samples"]) == 4


def test_a_kept_compile_cache_is_found_again(supervise: Callable[..., Ran], tmp_path: Path) -> None:
    """The suite says whether it began with code of an earlier one; without a folder, `off`."""
    body = """
        import os

        def test_compile():
            folder = os.environ["TORCHINDUCTOR_CACHE_DIR"]
            os.makedirs(folder, exist_ok=True)
            open(os.path.join(folder, "code"), "w").close()
    """
    kept, states = tmp_path / "kept", []
    for folder in ("", str(kept), str(kept)):
        (tmp_path / "out" / "outcomes.jsonl").unlink(missing_ok=True)
        ran = supervise(body, compile_cache=folder)
        assert ran.verdicts == {"test_compile": "pass"}
        states += [event["compile_cache"] for event in ran.of("suite")]

    assert states == ["off", "cold", "warm"]
    assert (kept / "inductor" / "code").exists()


def test_what_a_process_took_to_start_is_told(supervise: Callable[..., Ran]) -> None:
    """Until the first test: interpreter, imports, collection."""
    ran = supervise("""
        import time
        time.sleep(0.3)

        def test_it():
            time.sleep(0.3)
    """)

    [process] = ran.of("process")
    assert 0.3 <= process["starting"] <= process["seconds"] - 0.3
    assert ran.outcomes["test_it.py::test_it"]["costs"] == {
        "compiling": 0.0,
        "children": 0.0,
        "importing": 0.0,
    }
