"""What a board knows of a run, and the words in which both boards say it."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from matrix.reports.marks import loudness, tally
from matrix.reports.text import clean

LABEL = 100
MOST_ENDED = 4
QUIET = frozenset({"pass", "skip", "unsupported"})


@dataclass(kw_only=True)
class RunningJob:
    """A job that runs: what it is called, since when, for how long, and what it does."""

    label: str
    began: float
    estimate: float | None
    stage: str = "starting"
    done: int = 0
    tests: int = 0

    @property
    def doing(self) -> str:
        """Stage, with the tests done where they are counted."""
        return f"{self.stage} {self.done}/{self.tests}" if self.tests else self.stage

    def left(self, at: float) -> float | None:
        """Seconds until the estimated end, negative past it."""
        return None if self.estimate is None else self.began + self.estimate - at


@dataclass(kw_only=True)
class State:
    """What the board knows; the lock of the board guards it."""

    total: int
    now: Callable[[], float]
    began: float
    jobs: dict[str, RunningJob] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    most: int = 1
    kept: int = 0
    stopping: bool = False

    def start(self, job_id: str, label: str, estimate: float | None) -> RunningJob:
        """Take up a job."""
        known = estimate if estimate and estimate > 0 else None
        job = RunningJob(label=clean(label, LABEL), began=self.now(), estimate=known)
        self.jobs[job_id] = job
        self.most = max(self.most, len(self.jobs))
        return job

    def end(self, job_id: str, counts: Mapping[str, int], reason: str, seconds: float) -> str:
        """Take a job as done and say what came out of it."""
        job = self.jobs.pop(job_id, None)
        label = job.label if job else clean(job_id, LABEL)
        self.verdicts.update(counts)
        self.took.append(seconds)
        self.kept += bool(counts)  # an environment is no result
        why = f": {clean(reason, 200)}" if reason else ""
        said = tally(counts) or ("failed" if reason else "done")
        return f"{label}: {said} ({duration(seconds)}){why}"

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return max(self.total - len(self.took) - len(self.jobs), 0)

    def eta(self) -> float | None:
        """Seconds until all is done, as if all slots used so far stay busy; None is unknown."""
        at = self.now()
        known = self.took or [job.estimate for job in self.jobs.values() if job.estimate]
        typical = sum(known) / len(known) if known else None
        lefts: list[float] = []
        for job in self.jobs.values():
            length = job.estimate or typical
            if length is None:
                return None
            lefts.append(max(job.began + length - at, 0.0))
        if typical is None:
            return None
        queued = self.waiting * typical
        return max((sum(lefts) + queued) / self.most, max(lefts, default=0.0))

    def totals(self, *, ended: bool = False) -> str:
        """`3/7 done, 2 running, 2 waiting; 40 pass, 1 WRONG; 2m 05s, about 3m 10s left`."""
        names = ("stopped", "not begun") if ended and self.stopping else ("running", "waiting")
        counts = dict(zip(names, (len(self.jobs), self.waiting), strict=True))
        words = [f"{count} {word}" for word, count in counts.items() if count]
        parts = [", ".join([f"{len(self.took)}/{self.total} done", *words])]
        if self.verdicts:
            parts.append(tally(self.verdicts))
        eta = None if ended else self.eta()
        left = "end unknown" if eta is None else f"about {duration(eta)} left"
        if self.stopping:
            left = "stopping"
        elapsed = duration(self.now() - self.began)
        over = ended or not (self.jobs or self.waiting)
        parts.append(elapsed if over else f"{elapsed}, {left}")
        return "; ".join(parts)

    def stop(self, why: str) -> str:
        """`SIGINT: stopping, what finished is kept (3 suites); ends …; …`."""
        kept = "1 suite" if self.kept == 1 else f"{self.kept or 'no'} suites"
        labels = [job.label for job in sorted(self.jobs.values(), key=lambda job: job.began)]
        more = f" and {len(labels) - MOST_ENDED} more" if len(labels) > MOST_ENDED else ""
        ends = f"; ends {', '.join(labels[:MOST_ENDED])}{more}" if labels else ""
        return f"{why}: stopping, what finished is kept ({kept}){ends}; once more does not wait"

    def running(self) -> Iterator[tuple[str, str, str, str]]:
        """(label, stage, elapsed, remaining) of each running job, the oldest first."""
        at = self.now()
        for job in sorted(self.jobs.values(), key=lambda job: job.began):
            left = job.left(at)
            if left is None:
                remaining = "end unknown"
            else:
                remaining = f"{duration(left)} left" if left >= 0 else f"{duration(-left)} over"
            yield job.label, job.doing, duration(at - job.began), remaining


class Recording:
    """What both boards do; they differ in what they say of an event."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.RLock()

    def started(self, job_id: str, label: str, estimate_s: float | None) -> None:
        """Show that a job runs."""
        with self._lock:
            job = self._state.start(job_id, label, estimate_s)
        about = f" (about {duration(job.estimate)})" if job.estimate else ""
        self._say("RUN", job.label + about)

    def stage(self, job_id: str, text: str) -> None:
        """Show the stage that a job has come to; said once."""
        name = clean(text, LABEL)
        with self._lock:
            job = self._state.jobs.get(job_id)
            if not job or job.stage == name:
                return
            job.stage, job.done, job.tests = name, 0, 0
        self._say("STEP", f"{job.label}: {name}")

    def progress(self, job_id: str, done: int, total: int) -> None:
        """Note how far a job is."""
        with self._lock:
            job = self._state.jobs.get(job_id)
            if job:
                job.done, job.tests = done, total

    def finished(
        self, job_id: str, verdict_counts: Mapping[str, int], reason: str, seconds: float
    ) -> None:
        """Show what came out of a job."""
        with self._lock:
            line = self._state.end(job_id, verdict_counts, reason, seconds)
        failed = bool(reason) and not any(verdict_counts.values())
        self._say("DONE", line, "fail" if failed else loud(verdict_counts))

    def stopping(self, why: str) -> None:
        """Say what is ended and what is kept."""
        with self._lock:
            self._state.stopping = True
            line = self._state.stop(clean(why, 20))
        self._say("STOP", line, "infra")

    def note(self, text: str) -> None:
        """Say something else."""
        self._say("NOTE", clean(text, 1000))

    def _say(self, word: str, text: str, verdict: str = "pass") -> None:
        # Never called under the lock: rich takes its own and then asks for ours to draw.
        raise NotImplementedError


def duration(seconds: float) -> str:
    """`0.4 s`, `41.2 s`, `3m 05s`, `2h 05m`."""
    if seconds < 99.95:  # noqa: PLR2004  then minutes read better
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}h {minutes_left:02}m" if hours else f"{minutes}m {rest:02}s"


def loud(verdicts: Mapping[str, int]) -> str:
    """Return the loudest verdict that one must look at, else `pass`."""
    found = [verdict for verdict, count in verdicts.items() if count and verdict not in QUIET]
    return min(found, key=loudness, default="pass")
