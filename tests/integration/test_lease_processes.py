"""Leases between processes: exclusion, kill -9 of a holder, a frozen holder."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from matrix import leases
from matrix.accelerators import Gpu
from matrix.leases import lease, living

GPUS = tuple(Gpu(uuid=f"GPU-{n}", index=n, name="GPU") for n in range(2))
SPAWN = multiprocessing.get_context("spawn")


def hold(place, ready, seconds, exclusive):
    """A process that holds a GPU for a while."""
    with lease(GPUS[:1], run="theirs", stop=threading.Event(), place=place, exclusive=exclusive):
        ready.set()
        time.sleep(seconds)


def count(place, rounds, path):
    """Adds to a number without any care but the lease's: what two do at once is lost."""
    for _ in range(rounds):
        with lease(GPUS[:1], run=str(os.getpid()), stop=threading.Event(), place=place):
            number = int(path.read_text())
            time.sleep(0.005)
            path.write_text(str(number + 1))


@pytest.fixture
def holder(tmp_path):
    """A living process that holds the first GPU."""
    started = []

    def start(seconds=60.0, *, exclusive=True):
        ready = SPAWN.Event()
        process = SPAWN.Process(target=hold, args=(tmp_path, ready, seconds, exclusive))
        process.start()
        started.append(process)
        assert ready.wait(30)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def take(place, *, exclusive=True, on_wait=lambda _: None):
    """Seconds until this process has the GPU."""
    begun = time.monotonic()
    with lease(GPUS[:1], run="ours", stop=threading.Event(), place=place,
               exclusive=exclusive, on_wait=on_wait):  # fmt: skip
        return time.monotonic() - begun


def test_processes_take_turns(tmp_path: Path):
    number = tmp_path / "number"
    number.write_text("0")
    place = tmp_path / "leases"
    processes = [SPAWN.Process(target=count, args=(place, 5, number)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert number.read_text() == "15"
    assert living(place) == {}


def test_a_killed_holder_holds_nothing(tmp_path, holder):
    """The system frees what a process held, however it ended, and nothing is left lying about."""
    process = holder()
    heard = []

    def kill(text):
        heard.append(text)
        os.kill(process.pid, signal.SIGKILL)

    assert take(tmp_path, on_wait=kill) < 5
    assert f"GPU-0 held by run theirs (pid {process.pid}, alone, for " in heard[0]
    assert [path.name for path in tmp_path.iterdir()] == ["gate.lock"]


def test_who_shares_does_not_wait_and_who_wants_it_alone_does(tmp_path, holder):
    process = holder(seconds=3.0, exclusive=False)
    heard = []
    assert take(tmp_path, exclusive=False, on_wait=heard.append) < 1
    assert heard == []
    take(tmp_path, on_wait=heard.append)
    assert f"GPU-0 held by run theirs (pid {process.pid}, shared" in heard[0]
    process.join(1)
    assert process.exitcode == 0


def test_sharers_that_come_later_wait_behind_one_who_wants_it_alone(tmp_path, holder):
    """And get it when that one is done."""
    process = holder(exclusive=False)
    waits, order = threading.Event(), []

    def alone():
        take(tmp_path, on_wait=lambda _: waits.set())
        order.append("alone")

    def share():
        take(tmp_path, exclusive=False, on_wait=lambda _: process.kill())
        order.append("shared")

    first = threading.Thread(target=alone)
    first.start()
    assert waits.wait(10)
    share()
    first.join(10)
    assert order == ["alone", "shared"]


def test_a_frozen_holder_keeps_its_gpu_and_is_named(tmp_path, holder, monkeypatch):
    """Its work may still be on the GPU: nobody else gets it, and the message says what to do."""
    monkeypatch.setattr(leases, "FROZEN", 1.0)
    monkeypatch.setattr(leases, "_SAY_AGAIN", 0.5)
    process = holder()
    os.kill(process.pid, signal.SIGSTOP)
    heard = []

    def hear(text):
        heard.append(text)
        if "frozen" in text:
            os.kill(process.pid, signal.SIGKILL)

    assert take(tmp_path, on_wait=hear) > 1
    assert f"frozen? `kill {process.pid}` ends it" in heard[-1]
