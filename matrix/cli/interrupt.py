"""Ctrl-C: ask the run to stop, and say so where the run is shown."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TELLING_S = 1.0


class Interrupt(threading.Event):
    """Set by Ctrl-C and SIGTERM while it is entered; a second one does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self._tell: Callable[[str], None] = _print
        self._telling: threading.Thread | None = None

    def __enter__(self) -> None:
        self._before = {n: signal.signal(n, self._ask) for n in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._telling:
            self._telling.join(TELLING_S)

    def _ask(self, number: int, _frame: object) -> None:
        if self.is_set():
            raise KeyboardInterrupt
        name = signal.Signals(number).name
        # the code that the signal interrupts may hold the lock of the board
        self._telling = threading.Thread(target=self._tell, args=(name,), daemon=True)
        self._telling.start()
        self.set()

    @contextmanager
    def told_by(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Let a board say what is stopped: on a terminal a line of ours would spoil its own."""
        self._tell = tell
        try:
            yield
        finally:
            self._tell = _print


def _print(name: str) -> None:
    print(f"matrix: {name}: stopping, what finished is kept", file=sys.stderr)
