"""What the sections of the terminal report share: headings, verdicts and reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from matrix.reports.marks import mark
from matrix.reports.names import Names
from matrix.reports.reasons import Cause
from matrix.reports.sheet import hang
from matrix.signatures import Known

if TYPE_CHECKING:
    import pandas as pd

MOST_CELLS = 8


@dataclass(frozen=True, kw_only=True)
class Form:
    """How verdicts are written, how long names may be, whether columns get numbers."""

    cells: Literal["word", "short", "symbol"]
    name: int = 30
    numbered: bool = False


def shared(short: Names, *earlier: "pd.DataFrame") -> str:
    """What all columns have in common, unless an earlier table has said it."""
    if not short.common or any(not table.empty for table in earlier):
        return ""
    return f"; all columns: {short.common}"


def heads_of(columns: Sequence[str], short: Names) -> list[str]:
    """Heads of columns: what tells them apart, a token per line."""
    return ["\n".join(filter(None, short.tokens[label])) or short.short[label] for label in columns]


def cell_text(verdict: str, form: Form) -> Text:
    """Write a verdict as briefly as the form asks."""
    look = mark(verdict)
    words = {"word": str(look), "short": f"{look.symbol} {look.short}", "symbol": look.symbol}
    return Text(words[form.cells], style=look.style)


def draw_causes(console: Console, found: Sequence[Cause], short: Names) -> None:
    """Say below a table why something in it is no pass, and in which columns."""
    if found:
        console.print()
    for cause in found:
        head = mark(cause.verdict)
        count = f" ({cause.count})" if cause.count else ""
        line = Text.assemble((str(head), head.style))
        for number, place in enumerate(cause.places):
            line.append(f"{';' if number else ''} {several(place.subjects)}")
            line.append(f" in {short.several(place.labels)}", style="dim")
        line.append(count, style="dim")
        hang(console, line)
        if cause.reason:
            console.print(Padding(Text(cause.reason), (0, 0, 0, 6)))
        draw_known(console, cause.known)


def draw_known(console: Console, known: Known | None) -> None:
    """Say the cause of a failure and what to do, where they are known."""
    if known:
        for word, text in (("cause", known.cause), ("fix", known.fix)):
            source = f" [{known.source}]" if word == "cause" else ""
            line = Text.assemble((f"{word}: ", "bold"), text, (source, "dim"))
            console.print(Padding(line, (0, 0, 0, 6)))


def several(texts: Sequence[str]) -> str:
    """List the first of many and count the rest."""
    more = len(texts) - MOST_CELLS
    return ", ".join(texts[:MOST_CELLS]) + (f" and {more} more" if more > 0 else "")
