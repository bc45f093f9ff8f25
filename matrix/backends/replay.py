"""`replay`: recorded artefacts go through the same stages; for demos, tests and report work."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from matrix.backends import CellFailed, Environment, Progress
from matrix.plan import Job, SuiteRun
from matrix.store import ENTRY_FILE, ROWS_FILE

_DERIVED = {ENTRY_FILE, ROWS_FILE}


def identity(recording: Path) -> str:
    """What a recording says; a replay of it says the same."""
    found = {}
    for path in recording.glob("cells/*/*/*/outcomes.jsonl"):
        cell, execution, suite, _ = path.parts[-4:]
        device = execution.rpartition("-")[2]
        found[cell, device, suite] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]


class ReplayBackend:
    """Answers with what a recorded run left for the same cell and suite."""

    name = "replay"

    def __init__(self, recording: Path) -> None:
        self.recording = recording

    def answers(self) -> bool:
        """A recording is never lost."""
        return True

    def provision(self, job: Job, folder: Path, stage: Progress) -> Environment:  # noqa: ARG002
        """Take the recorded lock, and the times at which the suites really ran."""
        lock = next((f / "requirements.lock" for f in self._folders(job, "*")), None)
        text = lock.read_text(encoding="utf-8") if lock and lock.is_file() else ""
        times = {run.suite.name: self._started(job, run.suite.name) for run in job.suites}
        return Environment(
            python=Path(), provision="replayed", lock=text, stages={}, recorded=times
        )

    def probe(self, job: Job, environment: Environment, out: Path) -> None:  # noqa: ARG002
        """Take the recorded probe."""
        for folder in self._folders(job, "*"):
            if (folder / "probe.json").is_file():
                shutil.copy(folder / "probe.json", out / "probe.json")
                return

    def run_suite(
        self, job: Job, run: SuiteRun, environment: Environment, out: Path, line: Progress
    ) -> None:  # fmt: skip
        """Take the recorded outcomes; of a round that was not recorded nothing is left."""
        del environment, line
        for recorded in self._folders(job, run.suite.name):
            folder = recorded / "rounds" / out.name if out.parent.name == "rounds" else recorded
            if not folder.is_dir():
                out.rmdir()
                return
            for path in folder.iterdir():
                if path.is_file() and path.name not in _DERIVED:
                    shutil.copy(path, out / path.name)
            return

    def discard(self, job: Job, folder: Path) -> None:
        """There is nothing to remove."""

    def _started(self, job: Job, suite: str) -> str:
        """When a recorded suite began, in UTC; "" where the recording does not say."""
        device = job.cell.device
        for path in sorted(self.recording.glob(f"cells/{job.cell.id}/*-{device}/{suite}")):
            try:
                text = json.loads((path / ENTRY_FILE).read_text(encoding="utf-8"))["started"]
                return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return ""

    def _folders(self, job: Job, suite: str) -> list[Path]:
        device = job.cell.device
        places = sorted(self.recording.glob(f"cells/{job.cell.id}/*-{device}/{suite}"))
        found = [path for path in places if not path.name.startswith(".")]
        if not found:
            reason = f"`{self.recording.name}` has no record of {job.cell.id} on {device}"
            raise CellFailed("not-run", reason)
        return found
