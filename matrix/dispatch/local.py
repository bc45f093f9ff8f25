"""A thread per slot of every runner, and one queue of jobs, which outlive their runner."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from matrix.entries import Entry
from matrix.errors import CellFailed, RunnerUnfit
from matrix.execution import Unfinished
from matrix.plan import Job
from matrix.process import Stopped


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """A runner at work: how many jobs it takes at once, which, and how it carries one out.

    `answers` is asked of a runner that was lost: whether it can go on.
    """

    slots: int
    carry_out: Callable[[Job], list[Entry]]
    name: str = ""
    takes: Callable[[Job], bool] = lambda _job: True
    answers: Callable[[], bool] = lambda: False


GiveUp = Callable[[Job, CellFailed], list[Entry]]
MOST_LOSSES = 3  # a job that took so many runners along may be what kills them
PATIENCE = 60.0  # seconds that a lost runner has to come back


def run_jobs(
    jobs: Sequence[Job], posts: Sequence[Post], give_up: GiveUp, *, stop: threading.Event
) -> list[Entry]:
    """Run jobs wherever a slot is free; the first real error stops the rest and is raised.

    A job whose runner is lost goes to another one, or waits until it answers again. One whose
    runner is unfit goes to another one too, and so do all of its kind. `give_up` makes the entries
    of a job that has no runner left. `stop` ends it early: running jobs raise
    `Stopped`, which is not an error here.
    """
    queue = _Queue(jobs, posts, give_up, stop)
    with ThreadPoolExecutor(sum(post.slots for post in posts), thread_name_prefix="job") as pool:
        workers = [pool.submit(queue.work, post) for post in posts for _ in range(post.slots)]
    for worker in workers:
        worker.result()
    return queue.result()


class _Queue:
    """What is to be done, and what came of it."""

    def __init__(
        self, jobs: Sequence[Job], posts: Sequence[Post], give_up: GiveUp, stop: threading.Event
    ) -> None:
        self._waiting = list(jobs)
        self._posts = tuple(posts)
        self._gone: set[Post] = set()
        self._unfit: dict[tuple[Post, tuple[str, ...]], CellFailed] = {}
        self._give_up = give_up
        self._stop = stop
        self._running = 0
        self._entries: list[Entry] = []
        self._losses: Counter[tuple[object, ...]] = Counter()
        self._failure = CellFailed("infra", "no runner is there for it")
        self._changed = threading.Condition()

    def work(self, post: Post) -> None:
        """Take one job after the other, until there is none that could still come."""
        while (job := self._next(post)) is not None:
            try:
                self._end(post.carry_out(job))
            except Stopped:
                self._end([])
            except Unfinished as left:
                self._end(left.done, post, left)
                unfit = isinstance(left.failure, RunnerUnfit)
                if not unfit and not self._answers(post):
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
        return next((job for job in self._waiting if self._may_take(post, job)), None)

    def _may_take(self, post: Post, job: Job) -> bool:
        """An unfit runner is tried again only where there is no other."""
        return post.takes(job) and ((post, job.kind) not in self._unfit or not self._others(job))

    def _others(self, job: Job) -> bool:
        """Whether a runner is left that takes a job and is not known to be unfit for it."""
        return any(
            post.takes(job) and (post, job.kind) not in self._unfit
            for post in self._posts
            if post not in self._gone
        )

    def _end(
        self, entries: Sequence[Entry], post: Post | None = None, left: Unfinished | None = None
    ) -> None:
        with self._changed:
            self._entries += entries
            self._running -= 1
            if post is not None and left is not None:
                self._put_back(left.rest, post, left.failure)
            self._changed.notify_all()

    def _put_back(self, job: Job, post: Post, failure: CellFailed) -> None:
        """Let another runner have a job, or give it up."""
        if isinstance(failure, RunnerUnfit):
            self._unfit[post, job.kind] = failure
            if self._others(job):
                self._waiting.insert(0, job)
            else:
                self._entries += self._give_up(job, self._why(job))
            return
        self._failure = failure
        who = (job.cell.id, job.execution, job.environment)
        self._losses[who] += 1
        if self._losses[who] < MOST_LOSSES:
            self._waiting.insert(0, job)
        else:
            reason = f"{failure.reason} ({MOST_LOSSES} times)"
            self._entries += self._give_up(job, CellFailed(failure.verdict, reason))

    def _why(self, job: Job) -> CellFailed:
        """Why no runner did a job: what each that is unfit for it lacks, else how one was lost."""
        unfit = [(post.name, f) for (post, kind), f in self._unfit.items() if kind == job.kind]
        if not unfit:
            return self._failure
        reasons = [f"runner `{name}`: {failure.reason}" for name, failure in unfit]
        only = unfit[0][1].reason if len(unfit) == len(self._posts) == 1 else "; ".join(reasons)
        return CellFailed(unfit[-1][1].verdict, only)

    def _answers(self, post: Post) -> bool:
        """Wait for a lost runner while there is something for it to do."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not self._stop.is_set():
            if post.answers():
                return True
            with self._changed:
                if not self._running and self._wanted(post) is None:
                    break
                self._changed.wait(1.0)
        with self._changed:
            self._gone.add(post)
            self._changed.notify_all()
        return False

    def result(self) -> list[Entry]:
        """What came of it all, when all threads have ended."""
        for job in () if self._stop.is_set() else self._waiting:
            self._entries += self._give_up(job, self._why(job))
        return self._entries
