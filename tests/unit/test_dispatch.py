"""The pool: slots of runners, what a lost runner leaves, and how it stops."""

import threading
import time

import pytest

from matrix.dispatch import local
from matrix.dispatch.local import Post, run_jobs
from matrix.execution import Unfinished
from matrix.process import Stopped


def no_giving_up(job, reason):
    raise AssertionError((job, reason))


def run(jobs, *posts, give_up=no_giving_up, stop=None):
    return run_jobs(jobs, posts, give_up, stop=stop or threading.Event())


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

    assert sorted(run(range(6), Post(slots=2, carry_out=job))) == list(range(6))
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
        run(range(50), Post(slots=1, carry_out=job), stop=stop)
    assert stop.is_set()
    assert started == [0]


def test_what_was_stopped_is_no_error_and_what_finished_is_kept():
    stop = threading.Event()

    def job(item):
        if item == 1:
            stop.set()
            raise Stopped
        return [item]

    assert run(range(9), Post(slots=1, carry_out=job), stop=stop) == [0]


class Item:
    """A job with two suites, as far as the queue looks into it."""

    execution, environment = "docker-cpu", "e"

    def __init__(self, name, todo=("one", "two")):
        self.cell = type("C", (), {"id": name})
        self.todo = todo

    def done(self, where):
        return [(self.cell.id, suite, where) for suite in self.todo]


def names(entries):
    return sorted((cell, suite) for cell, suite, _ in entries)


def test_a_job_goes_on_elsewhere_when_its_runner_is_lost():
    """What it had finished is kept, and every outcome is there once."""
    lost = threading.Event()

    def dies(job):
        lost.set()
        rest = Item(job.cell.id, job.todo[1:])
        raise Unfinished("gone", rest=rest, done=[(job.cell.id, job.todo[0], "first")])

    def works(job):
        lost.wait(5)
        return job.done("second")

    entries = run(
        [Item("a"), Item("b"), Item("c")],
        Post(slots=1, carry_out=dies), Post(slots=1, carry_out=works),
    )  # fmt: skip
    assert names(entries) == [(c, s) for c in "abc" for s in ("one", "two")]
    assert [where for *_, where in entries].count("first") == 1


def test_a_runner_that_answers_again_goes_on():
    losses = iter([True, False])

    def flaky(job):
        if next(losses, False):
            raise Unfinished("restarted", rest=job, done=[])
        return job.done("it")

    post = Post(slots=1, carry_out=flaky, answers=lambda: True)
    assert names(run([Item("a")], post)) == [("a", "one"), ("a", "two")]


def test_a_job_without_a_runner_left_is_given_up_with_the_reason(monkeypatch):
    monkeypatch.setattr(local, "PATIENCE", 0.1)
    asked = []

    def give_up(job, reason):
        asked.append(reason)
        return job.done("nowhere")

    def dies(job):
        raise Unfinished("the engine went away", rest=job, done=[])

    assert len(run([Item("a"), Item("b")], Post(slots=1, carry_out=dies), give_up=give_up)) == 4
    assert asked == ["the engine went away"] * 2


def test_a_job_that_takes_every_runner_along_is_given_up():
    asked = []

    def give_up(job, reason):
        asked.append((job.cell.id, reason))
        return job.done("nowhere")

    def poison(job):
        if job.cell.id == "bad":
            raise Unfinished("killed", rest=job, done=[])
        return job.done("it")

    post = Post(slots=1, carry_out=poison, answers=lambda: True)
    entries = run([Item("bad"), Item("good")], post, give_up=give_up)
    assert asked == [("bad", "killed (3 times)")]
    assert names(entries) == [(c, s) for c in ("bad", "good") for s in ("one", "two")]


def test_a_runner_gets_only_what_it_takes():
    def at(name):
        return Post(
            slots=2, takes=lambda job: job.cell.id.startswith(name),
            carry_out=lambda job: job.done(name),
        )  # fmt: skip

    entries = run([Item("cuda-1"), Item("cpu-1"), Item("cuda-2")], at("cpu"), at("cuda"))
    assert all(cell.startswith(where) for cell, _, where in entries)
    assert len(entries) == 6


def test_an_error_while_giving_up_is_not_swallowed(monkeypatch):
    monkeypatch.setattr(local, "MOST_LOSSES", 1)

    def dies(job):
        raise Unfinished("gone", rest=job, done=[])

    with pytest.raises(AssertionError, match="gone"):
        run([Item("a")], Post(slots=1, carry_out=dies))
