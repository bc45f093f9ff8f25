"""Tables of text that fit a width: what is too wide is drawn in several parts."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from matrix.reports.text import clean

GAP = 2


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table to lay out: `first` heads and those of the other `columns`, which may have lines.

    `lines` are (cells of the first columns, cells of the others).
    """

    first: list[str]
    columns: list[str]
    lines: list[tuple[list[Text], list[Text]]]

    @property
    def sizes(self) -> tuple[int, list[int]]:
        """Widths of the first columns together and of each other column, gaps included."""
        firsts = zip(
            self.first, *((t.plain for t in first) for first, _ in self.lines), strict=True
        )
        others = zip(
            self.columns, *((t.plain for t in cells) for _, cells in self.lines), strict=True
        )
        return sum(map(_widest, firsts)), [_widest(texts) for texts in others]

    @property
    def width(self) -> int:
        """Columns of the terminal that it takes in one part."""
        first, others = self.sizes
        return first + sum(others) - GAP


def _widest(texts: Sequence[str]) -> int:
    return max(cell_len(line) for text in texts for line in text.split("\n")) + GAP


def draw(console: Console, grid: Grid) -> None:
    """Draw a grid; one that is too wide in several parts, each with the first columns."""
    first, others = grid.sizes
    parts: list[list[int]] = [[]]
    for place in range(len(grid.columns)):
        if parts[-1] and first + sum(others[p] for p in [*parts[-1], place]) - GAP > console.width:
            parts.append([])
        parts[-1].append(place)
    for number, part in enumerate(parts):
        if number:
            console.print()
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=True)
        for head in grid.first:
            table.add_column(Text(head, style="dim"), no_wrap=True, vertical="top")
        for place in part:
            table.add_column(Text(grid.columns[place], style="bold"), no_wrap=True)
        for firsts, cells in grid.lines:
            table.add_row(*firsts, *(cells[place] for place in part))
        console.print(table)


def draw_numbers(console: Console, columns: Sequence[str]) -> None:
    """Say which column each number is."""
    texts = [f"{number} {clean(label, 140)}" for number, label in enumerate(columns, 1)]
    size = max(cell_len(text) for text in texts) + GAP
    fit = max((console.width - 2) // size, 1)
    for start in range(0, len(texts), fit):
        line = "".join(text.ljust(size) for text in texts[start : start + fit])
        console.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))


def hang(console: Console, text: Text, indent: int = 2) -> None:
    """Print a paragraph whose first line stands out to the left by two."""
    for number, line in enumerate(text.wrap(console, console.width - indent - 2)):
        console.print(Padding(line, (0, 0, 0, indent + 2 if number else indent)))
