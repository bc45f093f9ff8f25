"""A thread per slot of every runner, and one queue of jobs, which outlive their runner."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from matrix.execution import Unfinished
from matrix.plan import Job
from matrix.process import Stopped
from matrix.store import Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """A runner at work: how many jobs it takes at once, which, and how it carries one out.

    `answers` is asked of a runner that was lost: whether it can go on.
    """

    slots: int
    carry_out: Callable[[Job], list[Entry]]
    takes: Callable[[Job], bool] = lambda _job: True
    answers: Callable[[], bool] = lambda: False


GiveUp = Callable[[Job, str], list[Entry]]
MOST_LOSSES = 3  # a job that took so many runners along may be what kills them
PATIENCE = 60.0  # seconds that a lost runner has to come back


def run_jobs(
    jobs: Sequence[Job], posts: Sequence[Post], give_up: GiveUp, *, stop: threading.Event
) -> list[Entry]:
    """Run jobs wherever a slot is free; the first real error stops the rest and is raised.

    A job whose runner is lost goes to another one, or waits until it answers again; `give_up`
    makes the entries of one that has no runner left. `stop` ends it early: running jobs raise
    `Stopped`, which is not an error here.
    """
    queue = _Queue(jobs, give_up, stop)
    with ThreadPoolExecutor(sum(post.slots for post in posts), thread_name_prefix="job") as pool:
        workers = [pool.submit(queue.work, post) for post in posts for _ in range(post.slots)]
    for worker in workers:
        worker.result()
    return queue.result()


class _Queue:
    """What is to be done, and what came of it."""

    def __init__(self, jobs: Sequence[Job], give_up: GiveUp, stop: threading.Event) -> None:
        self._waiting = list(jobs)
        self._give_up = give_up
        self._stop = stop
        self._running = 0
        self._entries: list[Entry] = []
        self._losses: Counter[tuple[object, ...]] = Counter()
        self._reason = "no runner is there for it"
        self._changed = threading.Condition()

    def work(self, post: Post) -> None:
        """Take one job after the other, until there is none that could still come."""
        while (job := self._next(post)) is not None:
            try:
                self._end(post.carry_out(job))
            except Stopped:
                self._end([])
            except Unfinished as lost:
                self._end(lost.done, back=lost)
                if not self._answers(post):
                    return
            except BaseException:
                self._stop.set()
                self._end([])
                raise

    def _next(self, post: Post) -> Job | None:
        with self._changed:
            while not self._stop.is_set():
                if (job := self._wanted(post)) is not None:
                    self._waiting.remove(job)
                    self._running += 1
                    return job
                if not self._running:  # nobody is left who could put one back
                    break
                self._changed.wait(0.2)
        return None

    def _wanted(self, post: Post) -> Job | None:
        return next((job for job in self._waiting if post.takes(job)), None)

    def _end(self, entries: Sequence[Entry], back: Unfinished | None = None) -> None:
        with self._changed:
            self._entries += entries
            self._running -= 1
            if back is not None:
                self._reason = str(back)
                job = back.rest
                who = (job.cell.id, job.execution, job.environment)
                self._losses[who] += 1
                if self._losses[who] < MOST_LOSSES:
                    self._waiting.insert(0, job)
                else:
                    self._entries += self._give_up(job, f"{self._reason} ({MOST_LOSSES} times)")
            self._changed.notify_all()

    def _answers(self, post: Post) -> bool:
        """Wait for a lost runner while there is something for it to do."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not self._stop.is_set():
            if post.answers():
                return True
            with self._changed:
                if not self._running and self._wanted(post) is None:
                    return False
                self._changed.wait(1.0)
        return False

    def result(self) -> list[Entry]:
        """What came of it all, when all threads have ended."""
        for job in () if self._stop.is_set() else self._waiting:
            self._entries += self._give_up(job, self._reason)
        return self._entries
