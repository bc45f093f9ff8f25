"""The output of a container: into a log file of limited size, and line by line to who watches."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

CAP = 10 << 20
_LINE = 64 << 10


class Output:
    """Keeps `cap` bytes in a file and says how many more there were."""

    def __init__(
        self, path: Path, on_line: Callable[[str], None] | None = None, cap: int = CAP
    ) -> None:
        self._file = path.open("ab")
        self._on_line = on_line
        self._left = cap
        self._dropped = 0
        self._rest = b""
        self.begun = False
        self.last_line = ""

    def write(self, data: bytes) -> None:
        """Take a piece of output, which may end in the middle of a line."""
        if self._file.closed:  # a stream that outlives its reader
            return
        self.begun = True
        kept = data[: self._left]
        self._left -= len(kept)
        self._dropped += len(data) - len(kept)
        self._file.write(kept)
        self._file.flush()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._tell(line)
        self._rest = self._rest[-_LINE:]

    def _tell(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        self.last_line = text.strip() or self.last_line
        if self._on_line:
            self._on_line(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rest:
            self._tell(self._rest)
            self._rest = b""
        if self._dropped:
            self._file.write(f"\n[log cap reached: {self._dropped} bytes dropped]\n".encode())
        self._file.close()
