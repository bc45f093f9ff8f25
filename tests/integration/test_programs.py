"""Starting programs: output, deadlines, and nothing left behind."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from matrix import process
from matrix.process import Stopped, run


@pytest.fixture
def call():
    """Run Python code as a program."""

    def start(code, *, timeout=20.0, stop=None, **more):
        return run(
            [sys.executable, "-c", code], env=dict(os.environ), timeout=timeout,
            stop=stop or threading.Event(), **more,
        )  # fmt: skip

    return start


def test_a_program_runs_to_its_end_and_says_how(call, tmp_path):
    lines = []
    log = tmp_path / "a.log"
    done = call("import sys; print('a'); print('b', file=sys.stderr); sys.exit(3)", log=log,
                on_line=lines.append)  # fmt: skip
    assert (done.code, done.timed_out) == (3, False)
    assert sorted(lines) == ["a", "b"]
    assert log.read_text().startswith(f"+ {sys.executable} -c ")
    assert sorted(log.read_text().splitlines()[1:]) == ["a", "b"]


def test_a_signal_is_a_negative_code(call):
    assert call("import os; os.kill(os.getpid(), 9)").code == -9


def test_only_the_end_of_a_long_output_is_kept(call):
    done = call("print('x' * 100_000); print('end')", keep=10)
    assert (len(done.output), done.last_line) == (10, "end")


def test_a_program_past_its_deadline_is_ended_with_all_it_started(call, tmp_path, monkeypatch):
    """Deaf to SIGTERM, with a child that is too."""
    monkeypatch.setattr(process, "GRACE", 0.5)
    deaf = "import os, signal, time; signal.signal(15, signal.SIG_IGN); "
    child = f"{deaf}open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    code = f"{deaf}import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    done = call(code, timeout=1.5)
    assert (done.timed_out, done.code) == (True, -9)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
        except FileNotFoundError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("its child lives on")


def test_a_program_that_closed_its_output_still_has_its_deadline(call):
    done = call("import os, time; os.close(1); os.close(2); time.sleep(600)", timeout=1.0)
    assert (done.timed_out, done.code) == (True, -15)


def test_a_daemon_that_holds_the_output_does_not_hold_us(call):
    """The program ended; what it left in the background is ended too."""
    started = time.monotonic()
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; "
    code += "time.sleep(600)'])"
    assert call(code).code == 0
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import time; time.sleep(600)", id="ends-by-the-signal"),
        pytest.param("import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); "
                     "print('ready', flush=True); time.sleep(600)", id="ends-politely-with-0"),
    ],
)  # fmt: skip
def test_a_stopped_program_has_not_done_its_work(call, code):
    stop = threading.Event()
    threading.Timer(0.7, stop.set).start()
    with pytest.raises(Stopped):
        call(code, stop=stop)


def test_a_program_that_is_not_there_is_an_os_error():
    with pytest.raises(FileNotFoundError):
        run(["/no/such/program"], env={}, timeout=1.0, stop=threading.Event())
