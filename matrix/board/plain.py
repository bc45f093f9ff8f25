"""The board of a log: one line per event, and a heartbeat."""

import contextlib
import threading
from typing import Self, TextIO

from matrix.board.state import Recording, State


class PlainBoard(Recording):
    """One line per event, `[ WORD ] …`; every `heartbeat_s` what runs and for how long."""

    def __init__(self, stream: TextIO, state: State, *, heartbeat_s: float) -> None:
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
