"""`host`: an interpreter that already has torch; nothing is installed, so it proves less."""

from collections.abc import Mapping
from pathlib import Path

from matrix.backends import Context, Environment, Progress
from matrix.backends.interpreter import Interpreter
from matrix.plan import Job


class HostBackend(Interpreter):
    """Enters existing interpreters; the identity probe says which cell each really is."""

    name = "host"

    def __init__(self, context: Context, pythons: Mapping[str, Path]) -> None:
        super().__init__(context)
        self.pythons = pythons

    def provision(self, job: Job, folder: Path, stage: Progress) -> Environment:  # noqa: ARG002
        """There is nothing to make."""
        return Environment(python=self.pythons[job.cell.id], provision="mounted", stages={})

    def discard(self, job: Job, folder: Path) -> None:
        """Leave the interpreter alone."""
