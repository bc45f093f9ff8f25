"""The only room that starts programs: logged, with a deadline, killed in stages, never a shell."""

import os
import selectors
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

WORK_LABEL = "TORCH_MATRIX_WORK"  # in the environment of every process of a run: its scratch folder
GRACE = 5.0
_POLL = 0.5


class Stopped(Exception):  # noqa: N818  it is no error: the user asked for it
    """The run was asked to stop while a program was running."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """How a program ended; `code` is negative for a signal, as in `subprocess`."""

    code: int
    output: str
    seconds: float
    timed_out: bool

    @property
    def last_line(self) -> str:
        """The last line that says something, for one-line reasons."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def cell_environment(env: Mapping[str, str], *, bin_dir: Path | None = None) -> dict[str, str]:
    """Clean the caller's environment of what would leak into a cell's interpreter."""
    leaks = (
        "PYTHON",
        "PYTEST_",
        "COV_",
        "COVERAGE",
        "NOX",
        "VIRTUAL_ENV",
        "CONDA",
        "PYENV_VERSION",
    )
    kept = {name: value for name, value in env.items() if not name.startswith(leaks)}
    if bin_dir is not None:
        kept["PATH"] = f"{bin_dir}{os.pathsep}{kept.get('PATH', os.defpath)}"
        kept["VIRTUAL_ENV"] = str(bin_dir.parent)
    return kept


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    timeout: float,
    stop: threading.Event,
    log: Path | None = None,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    keep: int = 64 * 1024,
) -> Completed:
    """Run a program to its end.

    Its output goes to `log` (appended, after the command as one can paste it) and line by line to
    `on_line`; the last `keep` characters are returned. The program's standard
    input is a pipe that closes when this process dies: `matrix.inside` ends by it, uv comes to its
    end soon. Raises `Stopped` when `stop` is set, `OSError` when the program cannot be started.
    """
    command = [str(part) for part in argv]
    started = time.monotonic()
    child = subprocess.Popen(  # noqa: S603  argv is a list, no shell
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    )
    stream = log.open("ab") if log else None
    try:
        if stream:
            stream.write(f"+ {shlex.join(command)}\n".encode())
        tail, timed_out = _follow(child, started + timeout, stop, stream, on_line, keep)
        # a program that is asked to end may do so with code 0, and has not done its work
        stopped = stop.is_set() and child.poll() is None
    finally:
        _kill(child)
        if stream:
            stream.close()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()
    if stopped or (stop.is_set() and child.returncode != 0):
        raise Stopped
    return Completed(
        code=child.returncode,
        output=tail.decode(errors="replace"),
        seconds=time.monotonic() - started,
        timed_out=timed_out,
    )


def _follow(
    child: subprocess.Popen[bytes],
    deadline: float,
    stop: threading.Event,
    stream: object,
    on_line: Callable[[str], None] | None,
    keep: int,
) -> tuple[bytes, bool]:
    """Read until the program closes its output; returns the tail and whether time ran out."""
    assert child.stdout is not None
    descriptor = child.stdout.fileno()
    tail = b""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if stop.is_set():
                return tail, False
            left = deadline - time.monotonic()
            if left <= 0:
                return tail, True
            if not selector.select(min(left, _POLL)):
                if child.poll() is not None:  # a grandchild may hold the pipe open
                    return tail, False
                continue
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return tail, not _ended(child, deadline, stop)
            if stream:
                stream.write(chunk)  # type: ignore[attr-defined]
            tail = (tail + chunk)[-keep:]
            if on_line:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    on_line(line.decode(errors="replace"))


def _ended(child: subprocess.Popen[bytes], deadline: float, stop: threading.Event) -> bool:
    """Wait for a program that closed its output; False when it outlives the deadline."""
    while not stop.is_set():
        try:
            child.wait(max(0.0, min(_POLL, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= deadline:
                return False
        else:
            return True
    return True


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the program's whole process group: ask, wait, then kill; nothing is left behind."""
    if child.poll() is None:
        _signal(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
    _signal(child.pid, signal.SIGKILL)
    child.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
