"""The local pool: one thread per slot, and turns that keep exclusive suites alone."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from matrix.plan import Job
from matrix.process import Stopped
from matrix.store import Entry


class Turns:
    """Shared and exclusive turns on one runner; a waiting exclusive holds new ones back."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._condition = threading.Condition()
        self._shared = 0
        self._exclusive = False
        self._waiting = 0

    @contextmanager
    def __call__(self, exclusive: bool) -> Iterator[None]:  # noqa: FBT001  one meaning, by position
        """Hold a turn; raises `Stopped` when the run is stopped while waiting."""
        with self._condition:
            self._waiting += exclusive
            try:
                while self._exclusive or (self._shared if exclusive else self._waiting):
                    if self._stop.is_set():
                        raise Stopped
                    self._condition.wait(0.2)
            finally:
                self._waiting -= exclusive
            if exclusive:
                self._exclusive = True
            else:
                self._shared += 1
        try:
            yield
        finally:
            with self._condition:
                if exclusive:
                    self._exclusive = False
                else:
                    self._shared -= 1
                self._condition.notify_all()


def run_jobs(
    jobs: Sequence[Job],
    carry_out: Callable[[Job], list[Entry]],
    *,
    slots: int,
    stop: threading.Event,
) -> list[Entry]:
    """Run jobs on `slots` threads; the first real error stops the rest and is raised.

    `stop` ends the pool early: running jobs raise `Stopped`, which is not an error here.
    """
    entries: list[Entry] = []
    failure: BaseException | None = None
    waiting = list(jobs)
    with ThreadPoolExecutor(max_workers=slots, thread_name_prefix="job") as pool:
        running: set[Future[list[Entry]]] = set()
        while (waiting and not stop.is_set()) or running:
            while waiting and len(running) < slots and not stop.is_set():
                running.add(pool.submit(carry_out, waiting.pop(0)))
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                error = future.exception()
                if error is None:
                    entries += future.result()
                elif not isinstance(error, Stopped):
                    failure = failure or error
                    stop.set()
    if failure is not None:
        raise failure
    return entries
