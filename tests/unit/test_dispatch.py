"""The pool: slots of runners, what a lost runner leaves, and how it stops."""

import threading
import time

import pytest

from matrix.dispatch import local
from matrix.dispatch.local import Post, run_jobs
from matrix.errors import CellFailed, RunnerUnfit
from matrix.execution import Unfinished
from matrix.process import Stopped


def no_giving_up(job, failure):
    raise AssertionError((job, failure.reason))


class Number(int):
    """A job that is nothing but its number."""

    kind = ""


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

    assert sorted(run(map(Number, range(6)), Post(slots=2, carry_out=job))) == list(range(6))
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
        run(map(Number, range(50)), Post(slots=1, carry_out=job), stop=stop)
    assert stop.is_set()
    assert started == [0]


def test_what_was_stopped_is_no_error_and_what_finished_is_kept():
    stop = threading.Event()

    def job(item):
        if item == 1:
            stop.set()
            raise Stopped
        return [item]

    assert run(map(Number, range(9)), Post(slots=1, carry_out=job), stop=stop) == [0]


class Item:
    """A job with two suites, as far as the queue looks into it."""

    execution, environment = "docker-cpu", "e"

    def __init__(self, name, todo=("one", "two"), kind="cpu"):
        self.cell = type("C", (), {"id": name})
        self.kind = kind
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
        raise Unfinished(
            CellFailed("infra", "gone"), rest=rest, done=[(job.cell.id, job.todo[0], "first")]
        )

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
            raise Unfinished(CellFailed("infra", "restarted"), rest=job, done=[])
        return job.done("it")

    post = Post(slots=1, carry_out=flaky, answers=lambda: True)
    assert names(run([Item("a")], post)) == [("a", "one"), ("a", "two")]


def test_a_job_without_a_runner_left_is_given_up_with_the_reason(monkeypatch):
    monkeypatch.setattr(local, "PATIENCE", 0.1)
    asked = []

    def give_up(job, failure):
        asked.append(failure.reason)
        return job.done("nowhere")

    def dies(job):
        raise Unfinished(CellFailed("infra", "the engine went away"), rest=job, done=[])

    assert len(run([Item("a"), Item("b")], Post(slots=1, carry_out=dies), give_up=give_up)) == 4
    assert asked == ["the engine went away"] * 2


def test_a_job_that_takes_every_runner_along_is_given_up():
    asked = []

    def give_up(job, failure):
        asked.append((job.cell.id, failure.reason))
        return job.done("nowhere")

    def poison(job):
        if job.cell.id == "bad":
            raise Unfinished(CellFailed("infra", "killed"), rest=job, done=[])
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
        raise Unfinished(CellFailed("infra", "gone"), rest=job, done=[])

    with pytest.raises(AssertionError, match="gone"):
        run([Item("a")], Post(slots=1, carry_out=dies))


def unfit(reason, tried):
    """What carries a job out on a runner that lacks something for jobs named `old`."""

    def carry_out(job):
        tried.append(job.cell.id)
        if job.kind == "old":
            failure = RunnerUnfit("infra", reason)
            raise Unfinished(failure, rest=Item(job.cell.id, job.todo, job.kind), done=[])
        return job.done("first")

    return carry_out


def test_what_a_runner_is_unfit_for_goes_to_another_one_and_so_does_all_of_its_kind():
    """It is asked once, and goes on with what it can do."""
    tried, begun = [], threading.Event()

    def works(job):
        begun.wait(5)
        return job.done("second")

    def first(job):
        try:
            return unfit("no base", tried)(job)
        finally:
            if len(tried) == 3:
                begun.set()

    jobs = [Item("a", kind="old"), Item("b", kind="old"), Item("c"), Item("d", kind="old"),
            Item("e"), Item("f", kind="old")]  # fmt: skip
    second = Post(slots=1, carry_out=works, name="2", takes=lambda job: job.kind == "old")
    entries = run(jobs, Post(slots=1, carry_out=first, name="1"), second)
    assert names(entries) == [(c, s) for c in "abcdef" for s in ("one", "two")]
    assert [cell for cell in tried if cell not in "ce"] == tried[:1]
    assert {cell for cell, _, where in entries if where == "first"} == {"c", "e"}


def test_what_all_runners_are_unfit_for_is_given_up_with_the_reason_of_each():
    asked = []

    def give_up(job, failure):
        asked.append((job.cell.id, failure.verdict, failure.reason))
        return job.done("nowhere")

    posts = [Post(slots=1, carry_out=unfit(f"no {n}", []), name=n) for n in ("base", "toolkit")]
    assert len(run([Item("a", kind="old")], *posts, give_up=give_up)) == 2
    [(cell, verdict, reason)] = asked
    assert (cell, verdict) == ("a", "infra")
    assert sorted(reason.split("; ")) == ["runner `base`: no base", "runner `toolkit`: no toolkit"]


def test_the_only_runner_is_tried_with_every_job_though_it_was_unfit_for_one():
    """What it lacked may be there by now, such as room on its disk."""
    tried, asked = [], []

    def give_up(job, failure):
        asked.append(failure.reason)
        return job.done("nowhere")

    post = Post(slots=1, carry_out=unfit("no base", tried), name="it")
    assert len(run([Item("a", kind="old"), Item("b", kind="old")], post, give_up=give_up)) == 4
    assert (tried, asked) == (["a", "b"], ["no base"] * 2)


def test_an_unfit_runner_is_not_waited_for_when_the_other_one_is_lost(monkeypatch):
    monkeypatch.setattr(local, "PATIENCE", 0.1)
    asked = []

    def give_up(job, failure):
        asked.append(failure.reason)
        return job.done("nowhere")

    def dies(job):
        raise Unfinished(CellFailed("infra", "gone"), rest=job, done=[])

    mine = {"takes": lambda job: job.kind == "old", "name": "2"}
    posts = [
        Post(slots=1, carry_out=unfit("no base", []), name="1"),
        Post(slots=1, carry_out=dies, **mine),
    ]
    assert len(run([Item("a", kind="old")], *posts, give_up=give_up)) == 2
    assert asked == ["runner `1`: no base"]
