"""How loud verdicts are: what several tests, or several runs, come to in one word."""

from collections.abc import Iterable

from matrix.rows import WAIVED

FLAKY = "flaky"
"""Two runs of one recipe did not agree: no verdict of a test, but of its runs together."""
_WORSE = ("wrong", "crash", "fail", "timeout", "oom")
LOUDNESS = (*_WORSE, FLAKY, "unsupported", "skip", "not-run", "pass")
"""Verdicts of a test, loudest first: a feature has the loudest of its tests."""
ACCEPTED = f" {WAIVED}"
"""Ends the verdict of a problem that the user accepts, as in `wrong waived`."""
NOT_MEASURED = "not measured"
WANTS_DEVICES = r"needs \d+ devices; there is \d+"
"""The reason of a skip that is of the machine, not of the cell; a regular expression."""


def loudest(verdicts: Iterable[str]) -> str:
    """Return the worst verdict; one that this version does not know counts as `fail`."""
    return min(verdicts, key=rank, default=NOT_MEASURED)


def rank(verdict: str) -> tuple[int, int, str]:
    """Sort key, loudest first; what is waived comes after all problems that are not."""
    known = verdict.removesuffix(ACCEPTED)
    place = LOUDNESS.index(known if known in LOUDNESS else "fail")
    if verdict == NOT_MEASURED:
        place = len(LOUDNESS)
    if known == verdict:
        return (place, 0, verdict)
    return (LOUDNESS.index(FLAKY), 1 + place, verdict)
