"""Words that stand in a table: how loud they are and what kind of statement they make."""

import re
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

_TRIED = frozenset({"uninstallable", "build-failed", "crash", "fail", "timeout", "oom"})


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


def count(verdicts: Iterable[str]) -> dict[str, int]:
    """Count verdicts, loudest first."""
    found = list(verdicts)
    return {verdict: found.count(verdict) for verdict in sorted(set(found), key=rank)}


def kind_of(verdict: str) -> str:
    """Kind of statement that the verdict of a cell is: measured, gated or unknown."""
    known = verdict.removesuffix(ACCEPTED)
    gated = known in {"excluded", "no-runner"}
    return "gated" if gated else "measured" if known in _TRIED else "unknown"


def spoken(verdict: str) -> str:
    """Write a verdict as a word of a sentence; a wrong result is written in capitals."""
    # Rows are untrusted: only a word may stand in a sentence that is not escaped further on.
    word = verdict if re.fullmatch(r"[a-z][a-z -]{0,19}", verdict) else "unknown"
    return re.sub(r"^wrong\b", "WRONG", word)
