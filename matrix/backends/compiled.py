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
BACKENDS = ("venv", "host")
KEPT = 3  # environments of a cell, such as one for each of a machine's GPUs


@dataclass(frozen=True, kw_only=True, slots=True)
class CompileCaches:
    """Folders beneath `root`; with `cold` each suite begins with an empty one.

    A container's folders go with it. Of `containers` they are brought in and out, which takes a
    second: only worth it where machines share what is in them.
    """

    root: Path
    cold: bool = False
    containers: bool = False

    def folder(self, job: Job, suite: Suite, evidence: str) -> Path | None:
        """Where a suite may keep compiled code; None where it must not.

        `evidence` stands for all that compiled code depends on: packages, compiler, device, driver.
        """
        kept = job.backend in BACKENDS or (self.containers and job.backend == "docker")
        if suite.name not in KEPT_SUITES or not kept:
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


def files_in(folder: Path) -> dict[str, Path]:
    """Regular files below a folder by their names in it."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path for path in files}


def take_in(source: Path, folder: Path) -> None:
    """Move the files that a folder does not have into it."""
    for name, path in files_in(source).items():
        target = folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
