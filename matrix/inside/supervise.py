"""Run one suite to its end whatever its tests do: `python -m matrix.inside.supervise JOB.json`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
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
    parser = argparse.ArgumentParser(prog="matrix.inside.supervise", description=__doc__)
    parser.add_argument("job", help="the job file")
    parser.add_argument(
        "--no-tether", action="store_true", help="do not end when standard input is closed"
    )
    arguments = parser.parse_args(argv)
    job = read_job(arguments.job)
    scratch = tempfile.mkdtemp(prefix="matrix-")
    suite = (CommandSuite if job.kind == "command" else PytestSuite)(job, scratch)
    adopt_orphans()
    _stop_on_signals(suite)
    if not arguments.no_tether:
        threading.Thread(target=_watch_stdin, args=(suite,), daemon=True).start()
    try:
        suite.run()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


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
