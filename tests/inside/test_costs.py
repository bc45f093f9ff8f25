"""What the time of a test went into."""

import importlib
import subprocess
import sys
import threading
import time

import pytest

from matrix.inside import costs
from matrix.inside.costs import Costs

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(0.2)"]


@pytest.fixture
def watched(monkeypatch):
    """Count in this process until the end of the test."""
    for owner in (subprocess.Popen, costs.multiprocessing.process.BaseProcess):
        for name in ("wait", "communicate", "join"):
            if hasattr(owner, name):
                monkeypatch.setattr(owner, name, getattr(owner, name))
    loader = importlib.machinery.SourceFileLoader
    monkeypatch.setattr(loader, "exec_module", loader.exec_module)
    costs.watch()
    costs.COSTS.clear()
    return costs.COSTS


def test_the_outermost_counts() -> None:
    """What is nested is not counted twice."""
    spent = Costs()
    with spent.of("compiling"), spent.of("children"):
        time.sleep(0.01)

    assert spent.seconds["compiling"] >= 0.01
    assert spent.seconds["children"] == 0


def test_a_block_that_raises_is_counted() -> None:
    spent = Costs()
    with pytest.raises(KeyError), spent.of("compiling"):
        raise KeyError
    with spent.of("children"):
        time.sleep(0.01)

    assert spent.seconds["children"] >= 0.01


def test_another_thread_is_not_what_the_test_waits_for() -> None:
    spent = Costs()

    def work() -> None:
        with spent.of("compiling"):
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert sum(spent.seconds.values()) == 0


def test_waiting_for_a_process_is_counted_and_working_meanwhile_is_not(watched) -> None:
    begun = time.monotonic()
    child = subprocess.Popen(SLEEP)
    child.communicate()
    waited = time.monotonic() - begun
    time.sleep(0.1)

    assert 0.1 < watched.seconds["children"] <= waited


def test_modules_are_counted_and_their_compilers_too(watched, tmp_path, monkeypatch) -> None:
    (tmp_path / "slow_compiler.py").write_text(
        "import time; time.sleep(0.05)\ndef build(): time.sleep(0.1); return 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(costs.COMPILERS, "slow_compiler", "build")
    module = importlib.import_module("slow_compiler")

    assert module.build() == 3
    assert watched.seconds["importing"] >= 0.05
    assert watched.seconds["compiling"] >= 0.1
