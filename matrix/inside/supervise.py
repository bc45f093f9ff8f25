"""Run one suite to its end whatever its tests do: `python -m matrix.inside.supervise JOB.json`.

It ends when its standard input is closed, which the orchestrator holds; not with `--no-tether`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from matrix.inside.commands import CommandSuite
from matrix.inside.job import read_job
from matrix.inside.process import adopt_orphans, end_orphans
from matrix.inside.suite import PytestSuite, Suite

if TYPE_CHECKING:
    from types import FrameType


def main(argv: list[str] | None = None) -> int:
    """Run the job; 0 whenever that was possible, whatever the tests said."""
    words = sys.argv[1:] if argv is None else argv
    tethered = "--no-tether" not in words
    job = read_job(next(word for word in words if word != "--no-tether"))
    scratch = make_scratch()
    suite = (CommandSuite if job.kind == "command" else PytestSuite)(job, scratch)
    adopt_orphans()
    _stop_on_signals(suite)
    if tethered:
        threading.Thread(target=_watch_stdin, args=(suite,), daemon=True).start()
    try:
        suite.run()
    finally:
        remove_scratch(scratch)
    return 0


def make_scratch() -> str:
    """A folder for temporary files, with a short name: sockets in it have 108 characters."""
    parent = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - private by its mode
    scratch = os.path.join(parent, f"matrix-{os.getpid()}-{time.time_ns():x}")
    os.mkdir(scratch, 0o700)
    return scratch


def remove_scratch(scratch: str) -> None:
    """Remove the folder; most commands leave it empty, and shutil is slow to import."""
    try:
        os.rmdir(scratch)
    except OSError:
        import shutil  # noqa: PLC0415 - see above

        shutil.rmtree(scratch, ignore_errors=True)


def _stop_on_signals(suite: Suite) -> None:
    def stop(number: int, _frame: FrameType | None) -> None:
        suite.stop(f"the supervisor got {signal.Signals(number).name}")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)


def _watch_stdin(suite: Suite) -> None:
    """The orchestrator holds the other end of this pipe: when it is gone, so must we be."""
    while True:
        try:
            if not os.read(0, 4096):
                break
        except OSError:
            break
    suite.stop("the orchestrator went away (standard input was closed)")
    # Should the suite not get there by itself, nothing may be left behind all the same.
    time.sleep(15)
    end_orphans()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
