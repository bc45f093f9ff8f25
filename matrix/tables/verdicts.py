"""Words that stand in a table: how many of each, and what kind of statement they make."""

import re
from collections.abc import Iterable

from matrix.verdicts import ACCEPTED, FLAKY, LOUDNESS, NOT_MEASURED, loudest, rank

__all__ = [
    "ACCEPTED",
    "FLAKY",
    "LOUDNESS",
    "NOT_MEASURED",
    "count",
    "kind_of",
    "loudest",
    "rank",
    "spoken",
]

_TRIED = frozenset({"uninstallable", "build-failed", "crash", "fail", "timeout", "oom"})


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
