"""Lines of values as a table of plain text, or as CSV; what they hold is a stranger's."""

import csv
import io
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from matrix.reports.text import clean, number

LIMIT = 80


def render(head: Sequence[str], lines: Iterable[Sequence[object]], *, limit: int = LIMIT) -> str:
    """Columns side by side, numbers to the right; a value is cut at `limit` characters."""
    names = [clean(name, limit) for name in head]
    lines = list(lines)
    right = [all(isinstance(v, int | float | None) for v in c) for c in zip(*lines, strict=True)]
    table = [names, *([shown(value, limit) for value in line] for line in lines)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    out = []
    for row in table:
        cells = zip(row, widths, right or [False] * len(names), strict=True)
        out.append("  ".join(_padded(*cell) for cell in cells).rstrip())
    return "\n".join(out) + "\n"


def _padded(text: str, width: int, right: bool) -> str:  # noqa: FBT001  one of three columns
    blank = " " * (width - cell_len(text))
    return blank + text if right else text + blank


def shown(value: object, limit: int = LIMIT) -> str:
    """A value in a table: nothing for what is not there."""
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value)
    return clean(str(value), limit)


def comma_separated(lines: Iterable[Sequence[object]]) -> str:
    """CSV with values in full, each on one line and without control characters.

    Text that a spreadsheet would run as a formula gets a `'` in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows(zip(*map(_harmless, zip(*lines, strict=True)), strict=True))
    return out.getvalue()


def _harmless(column: Sequence[object]) -> Iterable[object]:
    """A column without what could harm; its texts repeat, and hardly ever one could."""
    texts = {value for value in column if isinstance(value, str)}
    changed = {text: made for text in texts if (made := inert(clean(text, len(text)))) != text}
    if not changed:
        return column
    return [changed.get(value, value) if isinstance(value, str) else value for value in column]


def inert(value: object) -> object:
    """Make text harmless for a spreadsheet."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
