"""Compiled code that outlives a suite: one folder for each environment that a cell really was.

Only the feature suite has one. The throughput suite measures cold compilation, and what a user's
suite does with a cache is the user's business.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from matrix.definition import Suite
from matrix.plan import Job

KEPT_SUITES = ("feature",)
BACKENDS = ("venv", "host")  # a container's folders go with it
KEPT = 3  # environments of a cell, such as one for each of a machine's GPUs


@dataclass(frozen=True, kw_only=True, slots=True)
class CompileCaches:
    """Folders beneath `root`; with `cold` each suite begins with an empty one."""

    root: Path
    cold: bool = False

    def folder(self, job: Job, suite: Suite, evidence: str) -> Path | None:
        """Where a suite may keep compiled code; None where it must not.

        `evidence` stands for all that compiled code depends on: packages, compiler, device, driver.
        """
        if suite.name not in KEPT_SUITES or job.backend not in BACKENDS:
            return None
        cell = self.root / f"{job.cell.id}-{job.execution}"
        folder = cell / evidence
        if self.cold:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        for old in sorted(cell.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return folder
