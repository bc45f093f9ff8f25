"""Tables of text that fit a width: what is too wide is drawn in several parts."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.text import Span, Text

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

    @cached_property
    def sizes(self) -> tuple[list[int], list[int]]:
        """Widths of the first columns and of the others, gaps included."""
        firsts = zip(
            self.first, *((t.plain for t in first) for first, _ in self.lines), strict=True
        )
        others = zip(
            self.columns, *((t.plain for t in cells) for _, cells in self.lines), strict=True
        )
        return list(map(_widest, firsts)), list(map(_widest, others))

    @property
    def width(self) -> int:
        """Columns of the terminal that it takes in one part."""
        return sum(map(sum, self.sizes)) - GAP


def _widest(texts: Iterable[str]) -> int:
    return max(cell_len(line) for text in set(texts) for line in text.split("\n")) + GAP


def draw(console: Console, grid: Grid) -> None:
    """Draw a grid; one that is too wide in several parts, each with the first columns."""
    firsts, others = grid.sizes
    parts: list[list[int]] = [[]]
    for place in range(len(grid.columns)):
        size = sum(firsts) + sum(others[p] for p in [*parts[-1], place]) - GAP
        if parts[-1] and size > console.width:
            parts.append([])
        parts[-1].append(place)
    for number, part in enumerate(parts):
        if number:
            console.print()
        widths = [*firsts, *(others[place] for place in part)]
        heads = [Text(head, style="dim") for head in grid.first]
        heads += [Text(grid.columns[place], style="bold") for place in part]
        lines = [_beside(heads, widths, bottom=True)]
        lines += [_beside([*f, *(c[place] for place in part)], widths) for f, c in grid.lines]
        # `rich.table` takes seconds for a hundred columns
        for line in itertools.chain.from_iterable(lines):
            line.rstrip()
            line.truncate(console.width, overflow="ellipsis")
            if not console.color_system:
                line.spans = []  # half the time of a large grid, for nothing
            console.print(line, soft_wrap=True)


def _beside(cells: Sequence[Text], widths: Sequence[int], *, bottom: bool = False) -> list[Text]:
    """Cells side by side, which may have several lines."""
    parts = [list(text.split("\n")) if "\n" in text.plain else [text] for text in cells]
    if bottom:
        parts = [part[::-1] for part in parts]
    made = [_line(row, widths) for row in itertools.zip_longest(*parts)]
    return made[::-1] if bottom else made


def _line(cells: Sequence[Text | None], widths: Sequence[int]) -> Text:
    """Texts of one line, each filled up to its width."""
    texts: list[str] = []
    spans: list[Span] = []
    end = 0
    for cell, width in zip(cells, widths, strict=True):
        if cell:
            start, end = end, end + len(cell.plain)
            texts.append(cell.plain)
            spans.append(Span(start, end, cell.style))
            spans += [span.move(start) for span in cell.spans]
        blank = width - cell_len(texts[-1]) if cell else width
        texts.append(" " * blank)
        end += blank
    return Text("".join(texts), spans=spans)


def draw_numbers(console: Console, columns: Sequence[str]) -> None:
    """Say which column each number is."""
    texts = [f"{number} {clean(label, 140)}" for number, label in enumerate(columns, 1)]
    size = max(cell_len(text) for text in texts) + GAP
    fit = max((console.width - 2) // size, 1)
    for start in range(0, len(texts), fit):
        line = "".join(text.ljust(size) for text in texts[start : start + fit])
        console.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))
