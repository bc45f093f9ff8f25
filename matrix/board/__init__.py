"""The board of a run: what runs, for how long still, and what came out of what is done.

On a terminal it stays in place (`live`, with rich); elsewhere it is one line per event and a
heartbeat (`plain`). Worker threads may call it. It writes only to the stream it is given, and a
stream that breaks does not stop the run.
"""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol, Self, TextIO

from matrix.board.plain import PlainBoard
from matrix.board.state import State, duration

__all__ = ["Board", "duration", "make_board"]


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

    def stopping(self, why: str) -> None:
        """Show that the run was asked to stop (`why` is `SIGINT`), what ends and what is kept."""

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
    state = State(total=total, now=now, began=now())
    if interactive:
        from matrix.board.live import LiveBoard  # noqa: PLC0415  a log must not pay for rich

        return LiveBoard(stream, state, color=color)
    return PlainBoard(stream, state, heartbeat_s=heartbeat_s)
