"""The local pool: slots, turns, and how it stops."""

import threading
import time

import pytest

from matrix.dispatch.local import Turns, run_jobs
from matrix.process import Stopped


def test_all_jobs_run_on_at_most_the_slots():
    running, most, lock = 0, 0, threading.Lock()

    def job(item):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return [item]

    assert sorted(run_jobs(range(6), job, slots=2, stop=threading.Event())) == list(range(6))
    assert most == 2


def test_the_first_error_stops_the_rest_and_is_raised():
    started = []

    def job(item):
        started.append(item)
        if item == 0:
            raise RuntimeError("disk")
        return [item]

    stop = threading.Event()
    with pytest.raises(RuntimeError, match="disk"):
        run_jobs(range(50), job, slots=1, stop=stop)
    assert stop.is_set()
    assert started == [0]


def test_what_was_stopped_is_no_error_and_what_finished_is_kept():
    stop = threading.Event()

    def job(item):
        if item == 1:
            stop.set()
            raise Stopped
        return [item]

    assert run_jobs(range(9), job, slots=1, stop=stop) == [0]


def test_an_exclusive_turn_is_alone_and_is_not_starved():
    turns = Turns(threading.Event())
    alone, beside = threading.Event(), []

    def exclusive():
        with turns(True):
            alone.set()
            time.sleep(0.05)
            beside.append(turns._shared)

    with turns(False):
        thread = threading.Thread(target=exclusive)
        thread.start()
        time.sleep(0.05)
        assert not alone.is_set(), "an exclusive turn waits for shared ones"
        late = threading.Thread(target=lambda: turns(False).__enter__())
        late.start()
        time.sleep(0.05)
        assert turns._shared == 1, "a waiting exclusive holds new ones back"
    thread.join(5)
    late.join(5)
    assert beside == [0]


def test_shared_turns_are_taken_together():
    turns = Turns(threading.Event())
    with turns(False), turns(False):
        assert turns._shared == 2


def test_a_stopped_run_does_not_wait_for_its_turn():
    stop = threading.Event()
    turns = Turns(stop)
    with turns(True):
        stop.set()
        with pytest.raises(Stopped), turns(False):
            pass


def test_a_failed_turn_is_given_back():
    turns = Turns(threading.Event())
    with pytest.raises(RuntimeError), turns(True):
        raise RuntimeError
    with turns(True):
        pass
