"""Every way a command can stop early, and the exit code each one has.

MatrixError
├── InputError        2   the user's input: every mistake at once
├── NothingToRun      3   the selection is empty
└── InfrastructureError 4 disk, network or engine kept the run from finishing
"""

from typing import ClassVar

OK = 0
NEW_WRONG = 1
INTERRUPTED = 130

EXIT_CODES: dict[int, str] = {
    OK: "done; nothing new is wrong (failures without a baseline are `first-seen` and still 0)",
    NEW_WRONG: "something new is wrong (with `--fail-on any`: anything is wrong)",
    2: "the input is wrong: every mistake is listed",
    3: "nothing to do: the selection is empty, or there is nothing to read",
    4: "disk, network or engine kept something from finishing or being read; what finished is kept",
    INTERRUPTED: "stopped with Ctrl-C; what finished is kept",
}


class MatrixError(Exception):
    """Root of all expected failures; `str()` is the whole message for the user."""

    exit_code: ClassVar[int] = 1


class InputError(MatrixError):
    """The user's input is wrong."""

    exit_code = 2

    def __init__(self, title: str, problems: list[str]) -> None:
        self.title = title
        self.problems = problems
        super().__init__("\n".join([title, *(f"  - {problem}" for problem in problems)]))


class NothingToRun(MatrixError):  # noqa: N818  the name is the message
    """The selection leaves no cell."""

    exit_code = 3


class InfrastructureError(MatrixError):
    """Disk, network or engine kept the run from finishing."""

    exit_code = 4


class CellFailed(Exception):  # noqa: N818  it carries a verdict
    """A cell got no further; the verdict says whether that is evidence (`infra` is not)."""

    def __init__(self, verdict: str, reason: str) -> None:
        super().__init__(f"{verdict}: {reason}")
        self.verdict = verdict
        self.reason = reason


class RunnerUnfit(CellFailed):
    """It is the runner: it lacks something, or its engine fails; another one may do it."""
