"""The board of a terminal, which stays in place."""

import contextlib
from collections.abc import Iterator
from typing import Self, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from matrix.board.state import Recording, State, loud
from matrix.reports.marks import mark
from matrix.reports.text import clean


class LiveBoard(Recording):
    """Running jobs stay at the bottom, finished ones scroll away above them."""

    def __init__(self, stream: TextIO, state: State, *, color: bool) -> None:
        super().__init__(state)
        self._console = Console(
            file=stream,
            force_terminal=True,
            no_color=not color,
            markup=False,
            highlight=False,
            emoji=False,
        )
        self._live = Live(
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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the header and the running jobs."""
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
        if word in {"DONE", "NOTE", "STOP", "END"}:
            style = mark(verdict).line if verdict != "pass" else ""
            with contextlib.suppress(OSError, ValueError):
                self._console.print(Text(f"[ {word:<4} ] {text}", style=style), soft_wrap=True)
