"""How verdicts look: a mark, a word and a colour for each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from matrix.records import WAIVED
from matrix.reports.text import clean


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
    "unsupported": _mark("–", "unsupported", "yellow", "unsup"),
    "skip": _mark("○", "skip", "cyan"),
    "not-run": _mark("·", "not-run", "magenta", "unrun"),
    "pass": _mark("✓", "pass", "green"),
    "not measured": _mark("?", "not measured", "magenta", "unkn"),
    "unstable": _mark("~", "unstable", "yellow", "unst"),
    "no metric": _mark("?", "no metric", "magenta", "none"),
    "build-failed": _mark("⊗", "build-failed", "red"),
    "uninstallable": _mark("⊗", "uninstallable", "red"),
    "infra": _mark("!", "infra", "yellow"),
    "stale": _mark("≈", "stale", "magenta"),
    "no-runner": _mark("∅", "no-runner", "magenta"),
    "excluded": _mark("⊘", "excluded", "dim"),
}
"""Loudest first."""


def mark(verdict: str) -> Mark:
    """Return the mark of a verdict; an unknown word is shown as it is, never as a pass."""
    return MARKS.get(verdict) or _mark("✗", clean(verdict, 20), "red")


def tally(verdicts: Mapping[str, int]) -> str:
    """Count verdicts in words: passes first, then the loudest: `17 pass, 1 WRONG`."""
    order = ["pass", *(verdict for verdict in MARKS if verdict != "pass")]
    known = [verdict for verdict in order if verdicts.get(verdict)]
    strange = sorted(verdict for verdict in verdicts if verdict not in MARKS and verdicts[verdict])
    return ", ".join(f"{verdicts[v]} {mark(v).word}" for v in known + strange)
