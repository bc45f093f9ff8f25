"""How verdicts look: a mark, a word and a colour for each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from matrix.rows import WAIVED

_ACCEPTED = f" {WAIVED}"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How a verdict looks: it must be told apart without colour too."""

    symbol: str
    word: str
    short: str
    style: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.word}"

    @property
    def line(self) -> str:
        """Style for a whole line, where a background would be too much."""
        return self.style.replace("white on ", "")


def _mark(symbol: str, word: str, style: str, short: str = "") -> Mark:
    return Mark(symbol=symbol, word=word, short=short or word, style=style)


MARKS: dict[str, Mark] = {
    "wrong": _mark("≠", "WRONG", "bold white on red"),
    "crash": _mark("☠", "crash", "bold red"),
    "fail": _mark("✗", "fail", "red"),
    "timeout": _mark("⧖", "timeout", "red", "time"),
    "oom": _mark("▲", "oom", "red"),
    "flaky": _mark("⇅", "flaky", "bold magenta"),
    "waived": _mark("w", "waived", "bold yellow"),
    "unsupported": _mark("–", "unsupported", "yellow", "unsup"),
    "skip": _mark("○", "skip", "cyan"),
    "not-run": _mark("·", "not-run", "magenta", "unrun"),
    "pass": _mark("✓", "pass", "green"),
    "not measured": _mark("?", "not measured", "magenta", "unkn"),
    "unstable": _mark("~", "unstable", "yellow", "unst"),
    "no metric": _mark("?", "no metric", "magenta", "none"),
    "build-failed": _mark("⊗", "build-failed", "red"),
    "uninstallable": _mark("⊗", "uninstallable", "red"),
    "damaged": _mark("!", "damaged", "yellow"),
    "infra": _mark("!", "infra", "yellow"),
    "stale": _mark("≈", "stale", "magenta"),
    "no-runner": _mark("∅", "no-runner", "magenta"),
    "excluded": _mark("⊘", "excluded", "dim"),
}
"""Loudest first."""


def mark(verdict: str) -> Mark:
    """Return the mark of a verdict; an unknown word is never shown as a pass.

    What the user accepts, such as `wrong waived`, keeps its symbol with a `w` behind it.
    """
    known = verdict.removesuffix(_ACCEPTED)
    if known != verdict:
        look = mark(known)
        symbol, word = f"{look.symbol}w", f"{look.word}{_ACCEPTED}"
        return replace(look, symbol=symbol, word=word, style=MARKS[WAIVED].style)
    # Rows are untrusted: a report writes only a word as it is.
    word = verdict if re.fullmatch(r"[a-z][a-z -]{0,19}", verdict) else "unknown"
    return MARKS.get(verdict) or _mark("✗", word, "red")


def loudness(verdict: str) -> tuple[int, str]:
    """Sort key, loudest first; an unknown word is as loud as `fail`."""
    known = verdict.removesuffix(_ACCEPTED)
    places = list(MARKS)
    place = places.index(known if known in MARKS else "fail")
    return (place if known == verdict else max(place, places.index(WAIVED)), verdict)


def tally(verdicts: Mapping[str, int]) -> str:
    """Count verdicts in words: passes first, then the loudest: `17 pass, 1 WRONG`."""
    found = sorted((v for v in verdicts if verdicts[v]), key=lambda v: (v != "pass", loudness(v)))
    return ", ".join(f"{verdicts[verdict]} {mark(verdict).word}" for verdict in found)
