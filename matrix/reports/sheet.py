"""A console that writes into memory: what all reports for a terminal are drawn on."""

import io

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from matrix.reports.text import clean

LEAST_WIDTH = 40


def sheet(width: int, *, color: bool) -> Console:
    """Return an empty one; markup, emoji and this process's environment change nothing on it."""
    return Console(
        file=io.StringIO(),
        width=max(width, LEAST_WIDTH),
        force_terminal=color,
        color_system="standard" if color else None,
        markup=False,
        highlight=False,
        emoji=False,
        _environ={},
    )


def written(console: Console) -> str:
    """Return what was drawn on a sheet, without the blanks at the end of lines."""
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def heading(console: Console, text: str, note: str = "", style: str = "bold") -> None:
    """Begin a section."""
    console.print()
    console.print(Text.assemble((clean(text), style), (f"  {note}" if note else "", "dim")))


def hang(console: Console, text: Text, indent: int = 2) -> None:
    """Print a paragraph whose first line stands out to the left by two."""
    for number, line in enumerate(text.wrap(console, console.width - indent - 2)):
        console.print(Padding(line, (0, 0, 0, indent + 2 if number else indent)))
