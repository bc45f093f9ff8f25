"""The board of a run: what runs, for how long still, and what came out of what is done.

On a terminal it stays in place (rich); elsewhere it is one line per event and a heartbeat. Worker
threads may call it. It writes only to the stream it is given, and a stream that breaks does not
stop the run.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from matrix.reports import MARKS, clean, mark, tally

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

LABEL = 100
QUIET = frozenset({"pass", "skip", "unsupported"})


class Board(Protocol):
    """Shows a run; a context manager. Times are in seconds, jobs are told apart by `job_id`."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def started(self, job_id: str, label: str, estimate_s: float | None) -> None:
        """Show that a job runs; without an estimate its end is unknown."""

    def stage(self, job_id: str, text: str) -> None:
        """Show the stage that a job has come to, such as `install`."""

    def progress(self, job_id: str, done: int, total: int) -> None:
        """Show how many tests of a job are done."""

    def finished(
        self, job_id: str, verdict_counts: Mapping[str, int], reason: str, seconds: float
    ) -> None:
        """Show what came out of a job: without counts it is `done`, with a reason `failed`."""

    def note(self, text: str) -> None:
        """Say something else."""


def make_board(
    stream: TextIO,
    *,
    total: int,
    color: bool,
    interactive: bool,
    now: Callable[[], float] = time.monotonic,
    heartbeat_s: float = 60.0,
) -> Board:
    """Make the board for `total` jobs: in place where `interactive`, else line by line."""
    state = _State(total=total, now=now, began=now())
    if interactive:
        return _LiveBoard(stream, state, color=color)
    return _PlainBoard(stream, state, heartbeat_s=heartbeat_s)


@dataclass(kw_only=True)
class _Job:
    label: str
    began: float
    estimate: float | None
    stage: str = "starting"
    done: int = 0
    tests: int = 0

    @property
    def doing(self) -> str:
        return f"{self.stage} {self.done}/{self.tests}" if self.tests else self.stage

    def left(self, at: float) -> float | None:
        """Seconds until the estimated end, negative past it."""
        return None if self.estimate is None else self.began + self.estimate - at


@dataclass(kw_only=True)
class _State:
    """What the board knows; the lock of the board guards it."""

    total: int
    now: Callable[[], float]
    began: float
    jobs: dict[str, _Job] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    most: int = 1

    def start(self, job_id: str, label: str, estimate: float | None) -> _Job:
        known = estimate if estimate and estimate > 0 else None
        job = _Job(label=clean(label, LABEL), began=self.now(), estimate=known)
        self.jobs[job_id] = job
        self.most = max(self.most, len(self.jobs))
        return job

    def end(self, job_id: str, counts: Mapping[str, int], reason: str, seconds: float) -> str:
        job = self.jobs.pop(job_id, None)
        label = job.label if job else clean(job_id, LABEL)
        self.verdicts.update(counts)
        self.took.append(seconds)
        why = f": {clean(reason, 200)}" if reason else ""
        said = tally(counts) or ("failed" if reason else "done")
        return f"{label}: {said} ({duration(seconds)}){why}"

    @property
    def waiting(self) -> int:
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
        counts = {"running": len(self.jobs), "waiting": self.waiting}
        words = [f"{count} {word}" for word, count in counts.items() if count]
        parts = [", ".join([f"{len(self.took)}/{self.total} done", *words])]
        if self.verdicts:
            parts.append(tally(self.verdicts))
        eta = None if ended else self.eta()
        left = "end unknown" if eta is None else f"about {duration(eta)} left"
        elapsed = duration(self.now() - self.began)
        over = ended or not (self.jobs or self.waiting)
        parts.append(elapsed if over else f"{elapsed}, {left}")
        return "; ".join(parts)

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


def duration(seconds: float) -> str:
    """`0.4 s`, `41.2 s`, `3m 05s`, `2h 05m`."""
    if seconds < 99.95:  # noqa: PLR2004  then minutes read better
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}h {minutes_left:02}m" if hours else f"{minutes}m {rest:02}s"


class _Board:
    """What both boards do; they differ in what they say of an event."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._lock = threading.RLock()

    def started(self, job_id: str, label: str, estimate_s: float | None) -> None:
        with self._lock:
            job = self._state.start(job_id, label, estimate_s)
        about = f" (about {duration(job.estimate)})" if job.estimate else ""
        self._say("RUN", job.label + about)

    def stage(self, job_id: str, text: str) -> None:
        name = clean(text, LABEL)
        with self._lock:
            job = self._state.jobs.get(job_id)
            if not job or job.stage == name:
                return
            job.stage, job.done, job.tests = name, 0, 0
        self._say("STEP", f"{job.label}: {name}")

    def progress(self, job_id: str, done: int, total: int) -> None:
        with self._lock:
            job = self._state.jobs.get(job_id)
            if job:
                job.done, job.tests = done, total

    def finished(
        self, job_id: str, verdict_counts: Mapping[str, int], reason: str, seconds: float
    ) -> None:
        with self._lock:
            line = self._state.end(job_id, verdict_counts, reason, seconds)
        failed = bool(reason) and not any(verdict_counts.values())
        self._say("DONE", line, "fail" if failed else loud(verdict_counts))

    def note(self, text: str) -> None:
        self._say("NOTE", clean(text, 1000))

    def _say(self, word: str, text: str, verdict: str = "pass") -> None:
        # Never called under the lock: rich takes its own and then asks for ours to draw.
        raise NotImplementedError


def loud(verdicts: Mapping[str, int]) -> str:
    """Return the loudest verdict that one must look at, else `pass`."""
    return next((v for v in MARKS if verdicts.get(v) and v not in QUIET), "pass")


class _PlainBoard(_Board):
    """One line per event, `[ WORD ] …`; every `heartbeat_s` what runs and for how long."""

    def __init__(self, stream: TextIO, state: _State, *, heartbeat_s: float) -> None:
        super().__init__(state)
        self._stream = stream
        self._writing = threading.Lock()
        self._heartbeat = heartbeat_s
        self._last = state.began
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._say("END", self._state.totals(ended=True))

    def tick(self) -> None:
        """Write the heartbeat if it is due."""
        with self._lock:
            if self._state.now() - self._last < self._heartbeat:
                return
            self._last = self._state.now()
            lines = [self._state.totals()]
            lines += [
                f"{name}: {doing}, {since}, {left}"
                for name, doing, since, left in self._state.running()
            ]
        for line in lines:
            self._say("BEAT", line)

    def _beat(self) -> None:
        while not self._stop.wait(min(self._heartbeat / 4, 1.0)):
            self.tick()

    def _say(self, word: str, text: str, verdict: str = "pass") -> None:  # noqa: ARG002  the word says it
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        line = f"[ {word:<4} ] {text}\n".encode(encoding, "backslashreplace").decode(encoding)
        # A closed pipe must not take the run with it; the results are in the bundle.
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._stream.write(line)
            self._stream.flush()


class _LiveBoard(_Board):
    """Running jobs stay at the bottom, finished ones scroll away above them."""

    def __init__(self, stream: TextIO, state: _State, *, color: bool) -> None:
        from rich.console import Console  # noqa: PLC0415  plain mode must not pay for it
        from rich.live import Live  # noqa: PLC0415

        super().__init__(state)
        self._console: Console = Console(
            file=stream,
            force_terminal=True,
            no_color=not color,
            markup=False,
            highlight=False,
            emoji=False,
        )
        self._live: Live = Live(
            self,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._live.stop()
        self._say("END", self._state.totals(ended=True), loud(self._state.verdicts))

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """Draw the header and the running jobs."""
        from rich.text import Text  # noqa: PLC0415

        with self._lock:
            lines = list(self._lines(options.max_width, console.height))
        for style, line in lines:
            yield Text(line, style=style, no_wrap=True, overflow="ellipsis")

    def _lines(self, width: int, height: int) -> Iterator[tuple[str, str]]:
        rows = list(self._state.running())
        worst = loud(self._state.verdicts)
        yield f"bold {mark(worst).line}" if worst != "pass" else "bold", self._state.totals()
        shown = rows[: max(height - 3, 1)]
        sizes = [max((len(row[column]) for row in shown), default=0) for column in range(4)]
        # What does not fit is cut from the label: stage and times are what one looks at.
        label = max(min(sizes[0], width - sum(sizes[1:]) - 8), 12)
        for name, doing, since, left in shown:
            times = f"{since:>{sizes[2]}}  {left:>{sizes[3]}}"
            yield "", f"  {clean(name, label):<{label}}  {doing:<{sizes[1]}}  {times}"
        if len(rows) > len(shown):
            yield "dim", f"  and {len(rows) - len(shown)} more"

    def _say(self, word: str, text: str, verdict: str = "pass") -> None:
        from rich.text import Text  # noqa: PLC0415

        if word in {"DONE", "NOTE", "END"}:
            style = mark(verdict).line if verdict != "pass" else ""
            with contextlib.suppress(OSError, ValueError):
                self._console.print(Text(f"[ {word:<4} ] {text}", style=style), soft_wrap=True)
