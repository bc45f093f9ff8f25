"""A child process in a group of its own: its output kept within bounds, and an end that is sure."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO, Dict, List

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
TAIL_BYTES = 16 * 1024
CHUNK = 64 * 1024
GRACE = 2.0
# What a dying process says about its end; the lines after it are stacks and lists of modules.
LAST_WORDS = re.compile(
    r"^(.*Fatal Python error|terminate called|\s*what\(\):|Segmentation fault|.*Assertion .* failed"
    r"|.*CUDA error|.*HIP error|.*(Error|Exception|FATAL)\b.*:|ERROR: (?!usage)|.*: error: )"
)


class Log:
    """The suite's log file: takes ``cap`` bytes, counts the rest, remembers the last ones."""

    def __init__(self, path: str, cap: int) -> None:
        self._file = open(path, "ab")  # noqa: SIM115 - closed by close()
        self._left = cap
        self._dropped = 0
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Keep what still fits; from a relay that outlives the suite, nothing."""
        if self._file.closed:
            return
        kept = data[: self._left]
        self._left -= len(kept)
        self._dropped += len(data) - len(kept)
        self._tail = (self._tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]
        if kept:
            self._file.write(kept)
            self._file.flush()

    def forget_tail(self) -> None:
        """From here on ``last_line`` knows only what comes now."""
        self._tail = b""

    def last_line(self) -> str:
        """The last line with something in it."""
        lines = [line.strip() for line in self.tail().splitlines()]
        return next((line for line in reversed(lines) if line), "no output")

    def last_words(self) -> str:
        """The line that tells most about a crash, else the last line."""
        telling = [line.strip() for line in self.tail().splitlines() if LAST_WORDS.match(line)]
        return telling[-1] if telling else self.last_line()

    def tail(self) -> str:
        """The last few kilobytes."""
        return self._tail.decode("utf-8", "replace")

    def close(self) -> None:
        """Say how much was dropped, if any."""
        if self._dropped:
            note = f"\n[log cap reached: {self._dropped} bytes dropped]\n"
            self._file.write(note.encode("ascii"))
        self._file.close()


class Child:
    """A running command; every method may be called after it has ended."""

    def __init__(self, command: List[str], cwd: str, env: Dict[str, str], log: Log) -> None:
        self.started = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - running commands is what this is for
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._relay = threading.Thread(target=_relay, args=(self._process.stdout, log), daemon=True)
        self._relay.start()

    def wait(self, seconds: float) -> int | None:
        """Its return code (negative: the signal), or nothing if it still runs after ``seconds``.

        The end of its output tells of its end at once; `subprocess` alone would look only now and
        then.
        """
        until = time.monotonic() + seconds
        self._relay.join(seconds)
        try:
            return self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None

    def kill(self, *, dump: bool = False, grace: float = GRACE) -> int:
        """End the whole group: SIGTERM, after ``grace`` seconds SIGKILL. ``dump`` asks for stacks.

        Only the process itself gets the signal for stacks: to others it would be deadly.
        """
        if dump and self._process.poll() is None:
            os.kill(self.pid, signal.SIGUSR1)
            self.wait(0.5)
        self._signal_group(signal.SIGTERM)
        self.wait(grace)
        return self.finish()

    def finish(self) -> int:
        """Kill what is left of the group, collect the last output and return the return code."""
        self._signal_group(signal.SIGKILL)
        code = self._process.wait()
        end_orphans()
        # A descendant may have left the group and still hold the pipe: do not wait for it long.
        self._relay.join(GRACE)
        return code

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def end_with_parent(number: int) -> None:
    """Ask the kernel to send this process a signal when its parent ends (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ends (Linux), to end them."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_orphans() -> None:
    """Kill the descendants that left their group and outlived the child that started them."""
    for _ in range(100):
        orphans = _children()
        if not orphans:
            return
        for pid in orphans:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def signal_name(code: int) -> str | None:
    """The signal of a negative return code, or of a shell's 128 + n."""
    number = -code if code < 0 else 0
    if not number:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _children() -> List[int]:
    path = f"/proc/self/task/{os.getpid()}/children"
    try:
        with open(path, encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except (OSError, ValueError):
        return []


def _relay(pipe: IO[bytes], log: Log) -> None:
    with pipe:
        while True:
            data = os.read(pipe.fileno(), CHUNK)
            if not data:
                return
            log.write(data)
