"""A suite that is a command of the user's: one outcome, by its exit status."""

from __future__ import annotations

import time

from matrix.inside.process import Child, signal_name
from matrix.inside.suite import POLL, Suite

COMMAND_ID = "command"


class CommandSuite(Suite):
    """A command of the user's: one outcome, by its exit status."""

    def execute(self) -> tuple[str, str]:
        """Run it; returns status and reason of the ``end`` event."""
        if self.late():
            self.outcome(COMMAND_ID, "not-run", self.late())
            return self.ending(), self.late()
        job = self.job
        try:
            child = Child(list(job.command), job.cwd or job.out, self.environment(), self.log)
        except OSError as error:
            self.outcome(COMMAND_ID, "fail", f"cannot be started: {error}")
            return "uncollectable", f"cannot be started: {error}"
        start = {"event": "start", "id": COMMAND_ID, "at": time.time(), "pid": child.pid}
        self.events.write(start, sync=False)  # the supervisor itself knows what ran
        limit = min(job.test_timeout, job.deadline)
        code = child.wait(POLL)
        while code is None:
            ran = time.monotonic() - child.started
            if self.late() or ran > limit:
                code = self.end_child(child)
                why = self.late() or f"did not end within {limit:g} s"
                self._settle(child, code, "timeout", f"{why}; {self.log.last_line()}")
                return (self.ending(), why) if self.late() else ("complete", "")
            code = child.wait(POLL)
        child.finish()
        name = signal_name(code)
        verdict = "crash" if name else "fail" if code else "pass"
        ended = f"ended by {name}: " if name else f"exit status {code}: " if code else ""
        self._settle(child, code, verdict, ended + self.log.last_line())
        return "complete", ""

    def _settle(self, child: Child, code: int, verdict: str, reason: str) -> None:
        why = verdict if verdict in ("crash", "timeout") else "finished"
        self.process_event(child, code, why)
        seconds = round(time.monotonic() - child.started, 3)
        self.outcome(COMMAND_ID, verdict, reason, duration=seconds)
