"""One suite: child after child until every test has an outcome or time is up."""

from __future__ import annotations

import getpass
import json
import os
import resource
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Dict, List

from matrix.inside import companions
from matrix.inside.events import REASON_LIMIT, Event, EventFile, EventReader, clip
from matrix.inside.machine import usable_cores
from matrix.inside.process import GRACE, Child, Log, signal_name

if TYPE_CHECKING:
    from matrix.inside.job import Job

POLL = 0.05
POISONED = 86
USAGE_ERROR = 4
STOP_GRACE = 0.5
ABOUT = ("feature", "workload", "title", "params", "source")


class Suite:
    """What the kinds of suites have in common: events, log, clock, and the end of a child."""

    def __init__(self, job: Job, scratch: str) -> None:
        os.makedirs(job.out, exist_ok=True)
        self.job = job
        self.scratch = scratch
        self.events = EventFile(os.path.join(job.out, "outcomes.jsonl"))
        self.log = Log(os.path.join(job.out, "suite.log"), job.log_cap)
        self.begun = time.monotonic()
        self.items: Dict[str, Event] = {}
        self.done: Dict[str, str] = {}
        self.device = "cpu"
        self.compile_cache = cache_state(job.compile_cache)
        self._stopped = ""

    def stop(self, reason: str) -> None:
        """End soon; may be called from a signal handler or another thread."""
        self._stopped = self._stopped or reason

    def run(self) -> None:
        """Run it all; the last event says how it ended."""
        about: Event = {"event": "suite", "compile_cache": self.compile_cache}
        self.events.write(about, sync=False)
        status, reason = self.execute()
        # of the largest process among all that the suite started; Linux counts in KiB
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        end: Event = {"event": "end", "status": status, "reason": reason, "at": time.time()}
        self.events.write({**end, "peak_rss": peak})
        self.log.close()

    def execute(self) -> tuple[str, str]:
        """Run it; returns status and reason of the ``end`` event."""
        raise NotImplementedError

    def late(self) -> str:
        """Why nothing more may be started, empty while there is time."""
        if self._stopped:
            return self._stopped
        if time.monotonic() - self.begun > self.job.deadline:
            return f"the suite's deadline of {self.job.deadline:g} s was reached"
        return ""

    def ending(self) -> str:
        """The status that goes with :meth:`late`."""
        return "stopped" if self._stopped else "deadline"

    def environment(self) -> Dict[str, str]:
        """The child's variables: scratch folder and thread count are defaults a job may change."""
        payload = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        env = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
        env.setdefault("OMP_NUM_THREADS", str(usable_cores()))
        env.setdefault("PYTHONUNBUFFERED", "1")  # what a crashing process said must be in the log
        env["TMPDIR"] = self.scratch
        # A cache of another environment would hide a compiler that no longer works.
        caches = self.job.compile_cache or self.scratch
        env["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(caches, "inductor")
        env["TRITON_CACHE_DIR"] = os.path.join(caches, "triton")
        if self.job.compile_cache:
            self.keep_headers()
        env.update(self.job.env)
        env["PYTHONPATH"] = os.pathsep.join(
            part for part in (payload, env.get("PYTHONPATH", "")) if part
        )
        return env

    def keep_headers(self) -> None:
        """Precompiled C++ headers are kept as well, though Inductor has no setting for where.

        torch/_inductor/codecache.py: ``_HEADER_DIR`` is below the user's folder in TMPDIR.
        """
        kept = os.path.join(self.job.compile_cache, "headers")
        folder = os.path.join(self.scratch, f"torchinductor_{getpass.getuser()}")
        os.makedirs(kept, exist_ok=True)
        os.makedirs(folder, exist_ok=True)
        with suppress(FileExistsError):  # an earlier process of this suite
            os.symlink(kept, os.path.join(folder, "precompiled_headers"))

    def outcome(self, nodeid: str, verdict: str, reason: str, **more: object) -> None:
        """Write an outcome that only the supervisor can know."""
        event: Event = {"event": "outcome", "id": nodeid, "verdict": verdict}
        event["reason"] = clip(reason, REASON_LIMIT)
        event.update(duration=0.0, feature="", workload="", title="", params={}, source="")
        event.update(numbers={}, error=None, device=self.device)
        event.update(self.items.get(nodeid, {}))
        event.update(more)
        if nodeid not in self.items:
            self.items[nodeid] = {}
            self.events.write({"event": "item", "id": nodeid}, sync=False)
        self.events.write(event)
        self.finished(nodeid, verdict)

    def finished(self, nodeid: str, verdict: str) -> None:
        """Count a test and say so on standard output."""
        if nodeid not in self.done:
            self.done[nodeid] = verdict
            total = max(len(self.items), len(self.done))
            sys.stdout.write(f"outcome {len(self.done)}/{total} {verdict} {nodeid}\n")
            sys.stdout.flush()

    def end_child(self, child: Child, *, dump: bool = False) -> int:
        """Kill a child that must go; quickly when we must go ourselves."""
        return child.kill(dump=dump, grace=STOP_GRACE if self._stopped else GRACE)

    def process_event(self, child: Child, code: int, why: str, starting: float = 0.0) -> None:
        """Record how a child ended; until its first test it was ``starting``, in seconds."""
        self.events.write(
            {
                "event": "process",
                "pid": child.pid,
                "exit": code if code >= 0 else None,
                "signal": signal_name(code),
                "why": why,
                "seconds": round(time.monotonic() - child.started, 3),
                "starting": round(starting, 3),
            },
            sync=False,
        )


class PytestSuite(Suite):
    """A folder of tests, run by pytest with the plugin in as many processes as it takes."""

    def __init__(self, job: Job, scratch: str) -> None:
        super().__init__(job, scratch)
        self.reader = EventReader(self.events.path)
        self.reader.read()  # a file that was there before is none of this run
        self.name = os.path.basename(self.job.root)
        self.finish_mark = os.path.join(scratch, "finished")
        self.running = ""
        self.started = False
        self.since = 0.0
        self.first_at = 0.0
        self.broken: Dict[str, str] = {}

    def execute(self) -> tuple[str, str]:
        """Run it; returns status and reason of the ``end`` event."""
        self.check_companions()
        first = True
        while first or self.remaining():
            if self.late():
                return self.give_up(self.ending(), self.late())
            done = len(self.done)
            child = self.spawn(first=first)
            code, why = self.watch(child)
            self.digest(child, code, why)
            if why in ("deadline", "stopped"):
                return self.give_up(why, self.late())
            if not self.started:
                if why != "finished" or (first and len(self.done) == done):
                    reason = f"{_ended(code, why)} before the first test: {self.log.last_words()}"
                    self.outcome(self.name, "fail", f"cannot be collected: {reason}")
                    return self.give_up("uncollectable", clip(reason, REASON_LIMIT))
                if not first:
                    return self.give_up("stopped", "a fresh process did not collect it again")
            first = False
        return "complete", ""

    def check_companions(self) -> None:
        """A companion that does not import is an outcome, and no excuse for a skip."""
        for name in self.job.companions:
            found = companions.check(name)
            if not found["ok"]:
                self.broken[found["module"]] = found["error"]
                self.outcome(f"companion::{name}", "fail", f"does not import: {found['error']}")

    def remaining(self) -> List[str]:
        """Collected tests without an outcome."""
        return [nodeid for nodeid in self.items if nodeid not in self.done]

    def spawn(self, *, first: bool) -> Child:
        """Start pytest for the tests that are left."""
        if os.path.exists(self.finish_mark):
            os.unlink(self.finish_mark)
        settings = os.path.join(self.scratch, "settings.json")
        with open(settings, "w", encoding="utf-8") as file:
            json.dump(
                {
                    "events": self.events.path,
                    "done": sorted(self.done),
                    "first": first,
                    "broken": self.broken,
                    "finished": self.finish_mark,
                },
                file,
            )
        command = [sys.executable, "-m", "pytest", "-p", "matrix.inside.plugin"]
        # -s: what a crashing library says last must be in the log, not in a lost capture file.
        command += ["-p", "no:cacheprovider", "-s", "-v", "--tb=short", "--color=no"]
        command += ["--continue-on-collection-errors", f"--rootdir={self.job.root}"]
        command += [self._config(), *self.job.pytest_args, *self.job.tests]
        env = {**self.environment(), "MATRIX_INSIDE": settings}
        self.log.forget_tail()
        return Child(command, self.job.cwd or self.job.root, env, self.log)

    def _config(self) -> str:
        """Only a configuration inside the tests' folder is theirs; one further up is not."""
        for name in ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"):
            path = os.path.join(self.job.root, name)
            if os.path.isfile(path):
                return f"-c{path}"
        empty = os.path.join(self.scratch, "pytest.ini")
        with open(empty, "w", encoding="ascii") as file:
            file.write("[pytest]\n")
        return f"-c{empty}"

    def watch(self, child: Child) -> tuple[int, str]:
        """Follow a child to its end; returns its return code and why it ended."""
        self.running, self.started = "", False
        self.first_at = 0.0
        since = time.monotonic()
        while True:
            code = child.wait(POLL)
            if self.follow():
                since = time.monotonic()
            if code is not None:
                child.finish()
                break
            if self.late():
                return self.end_child(child), self.ending()
            limit = self.job.test_timeout if self.running else self.job.idle_timeout
            if time.monotonic() - since > limit:
                return self.end_child(child, dump=True), "timeout"
        if code == POISONED and not self.running:
            return code, "poisoned"
        by_itself = os.path.exists(self.finish_mark) or code == USAGE_ERROR
        return code, "crash" if code < 0 or self.running or not by_itself else "finished"

    def follow(self) -> bool:
        """Take in new events; says whether a test started or ended."""
        moved = False
        for event in self.reader.read():
            nodeid = event.get("id", "")
            if event["event"] == "item":
                about = {key: event[key] for key in ABOUT if key in event}
                self.items.setdefault(nodeid, about)
            elif event["event"] == "start":
                self.running, self.started, moved = nodeid, True, True
                self.since = time.time()
                self.first_at = self.first_at or time.monotonic()
                self.device = str(event.get("device", self.device))
            elif event["event"] == "outcome":
                if nodeid == self.running:
                    self.running = ""
                self.finished(nodeid, event.get("verdict", ""))
                moved = True
        return moved

    def digest(self, child: Child, code: int, why: str) -> None:
        """Record how a child ended, and what that means for the test it was in."""
        self.reader.heal()
        self.follow()
        starting = (self.first_at or time.monotonic()) - child.started
        self.process_event(child, code, "deadline" if why == "stopped" else why, starting)
        running, self.running = self.running, ""
        if not running:
            return
        verdict = "crash" if why == "crash" else "timeout"
        if why == "crash":
            reason = f"{_ended(code, why)} in the middle of the test: {self.log.last_words()}"
        elif why == "timeout":
            reason = f"did not end within {self.job.test_timeout:g} s"
        else:
            reason = f"was running when {self.late()}"
        error = {"type": verdict, "message": _ended(code, why), "traceback": self.log.tail()}
        seconds = round(time.time() - self.since, 3)
        self.outcome(running, verdict, reason, error=error, duration=seconds)

    def give_up(self, status: str, reason: str) -> tuple[str, str]:
        """Give every test that is left the outcome that it never ran.

        A suite that was ended before it said what tests it has is one outcome itself.
        """
        if not self.items:
            self.outcome(self.name, "not-run", f"ended while collecting: {reason}")
        for nodeid in self.remaining():
            self.outcome(nodeid, "not-run", f"never started: {reason}")
        return status, reason


def cache_state(folder: str) -> str:
    """Whether a suite begins with compiled code of earlier ones: `warm`, `cold`, or `off`."""
    if not folder:
        return "off"
    os.makedirs(folder, exist_ok=True)
    return "warm" if os.listdir(folder) else "cold"


def _ended(code: int, why: str) -> str:
    """How a process ended, in words."""
    if why == "timeout":
        return "the process hung and was killed"
    name = signal_name(code)
    return f"the process ended by {name}" if name else f"the process ended with status {code}"
