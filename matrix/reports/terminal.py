"""Tables → text for a terminal: narrow ones get shorter cells, then numbers for columns."""

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from matrix.reports import (
    DIRECTION,
    MARKS,
    Cause,
    Names,
    causes,
    clean,
    gaps,
    mark,
    names,
    number,
    percent,
    provenances,
    ratio_mark,
    scale,
    unmeasured,
    why_lines,
    workloads,
)

if TYPE_CHECKING:
    from matrix.tables import Tables

Form = Literal["word", "short", "symbol"]
GAP = 2
MOST_CELLS = 8


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table to lay out: columns by label, lines of (first cells, other cells)."""

    head: list[str]
    columns: list[str]
    lines: list[tuple[list[Text], list[Text]]]


def render(tables: "Tables", *, width: int, color: bool) -> str:
    """Render everything; `color=False` leaves only text, which says all that colour says."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(width, 40),
        force_terminal=color,
        color_system="standard" if color else None,
        markup=False,
        highlight=False,
        emoji=False,
        _environ={},
    )
    short = names(tables.executions)
    worst = next(iter(tables.summary.verdicts), "pass")
    console.print(Text(tables.summary.sentence, style=f"bold {mark(worst).line}"))
    for section in (_features, _throughput, _suites, _untested, _columns):
        section(console, tables, short)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _heading(console: Console, text: str, note: str = "") -> None:
    console.print()
    console.print(Text.assemble((text, "bold"), (f"  {note}" if note else "", "dim")))


def _features(console: Console, tables: "Tables", short: Names) -> None:
    table = tables.features
    if table.empty:
        return
    common = f"; all columns: {short.common}" if short.common else ""
    _heading(console, "Features", f"measured{common}")
    columns = [str(label) for label in table.columns]
    rows = [(str(group), str(name), str(title)) for group, name, title in table.index]
    titled = sum(title != name for _, name, title in rows) > 0
    forms: list[tuple[Form, bool, bool]] = [("word", True, False)] if titled else []
    forms += [("word", False, False), ("short", False, False), ("symbol", False, False)]
    forms += [("symbol", False, True)]
    for form, with_title, numbered in forms:
        lines: list[tuple[list[Text], list[Text]]] = []
        for place, (group, name, title) in enumerate(rows):
            if place == 0 or rows[place - 1][0] != group:
                first = [
                    Text(clean(group, 30), style="bold dim"),
                    *([Text("")] if with_title else []),
                ]
                lines.append((first, [Text("")] * len(columns)))
            titles = [Text(clean(title, 40), style="dim")] if with_title and title != name else []
            titles += [Text("")] if with_title and not titles else []
            cells = [_cell(str(verdict), form) for verdict in table.iloc[place]]
            lines.append(([Text("  " + clean(name, 30)), *titles], cells))
        grid = Grid(
            head=["feature", *(["title"] if with_title else [])], columns=columns, lines=lines
        )
        if _width(grid, short, numbered=numbered) <= console.width:
            break
    _draw(console, grid, short, numbered=numbered)
    if numbered:
        console.print()
        _key(console, columns)
    if form == "symbol":
        found = list(dict.fromkeys(v for v in MARKS if v in set(table.to_numpy().ravel())))
        console.print(
            Padding(Text("   ".join(str(mark(v)) for v in found), style="dim"), (0, 0, 0, 2))
        )
    _causes(console, [*causes(tables.problems, ["feature"]), *unmeasured(table)], short)


def _causes(console: Console, found: Sequence[Cause], short: Names) -> None:
    if found:
        console.print()
    for cause in found:
        head = mark(cause.verdict)
        subjects = ", ".join(cause.subjects[:MOST_CELLS])
        more = len(cause.subjects) - MOST_CELLS
        subjects += f" and {more} more" if more > 0 else ""
        place = short.several(cause.labels)
        count = f" ({cause.count})" if cause.count else ""
        line = Text.assemble(
            (str(head), head.style), f" {subjects}", (f" in {place}{count}", "dim")
        )
        _hang(console, line)
        if cause.reason:
            console.print(Padding(Text(clean(cause.reason)), (0, 0, 0, 6)))


def _hang(console: Console, text: Text) -> None:
    """Print a paragraph whose first line stands out to the left."""
    for place, line in enumerate(text.wrap(console, console.width - 6)):
        console.print(Padding(line, (0, 0, 0, 6 if place else 2)))


def _throughput(console: Console, tables: "Tables", short: Names) -> None:
    table = tables.workloads
    if table.empty:
        return
    _heading(console, "Throughput", "measured; median ± half the interquartile range")
    if tables.baseline:
        note = f"ratio to {clean(tables.baseline, 140)}: {DIRECTION}; ~ within the spread"
        console.print(Text(note, style="dim"))
    rows = workloads(table)
    columns = list(rows[0][1])
    for wide in (True, False):
        lines = [line for key, cells in rows for line in _workload(key, cells, wide=wide)][:-1]
        grid = Grid(head=["workload", ""], columns=columns, lines=lines)
        if _width(grid, short, numbered=False) <= console.width:
            break
    _draw(console, grid, short, numbered=False)
    _causes(console, causes(tables.problems, ["throughput"]), short)
    for symbol, place, why in why_lines(rows, short):
        _hang(console, Text.assemble((symbol, "yellow"), f" {place}: {why}"))


def _workload(
    key: Sequence[str], by_label: dict[str, dict[str, Any]], *, wide: bool
) -> Iterator[tuple[list[Text], list[Text]]]:
    """Yield value, spread (narrow), rate and ratio; the name runs down beside them."""
    name, params, metric, unit = (clean(part, 60) for part in key)
    cells = list(by_label.values())
    values = [c["median"] for c in cells if c["status"] == "value"]
    factor, shown = scale(values, unit)
    rates = [c["rate"] for c in cells if c["rate"]]
    rate_unit = next((c["rate_unit"] for c in cells if c["rate"]), "")
    by, rate_shown = scale(rates, rate_unit)
    names_ = [
        Text(name, style="bold"),
        Text(f"  {params}" if params else ""),
        Text(f"  {metric}", style="dim"),
    ]
    names_ = [text for text in names_ if text.plain.strip()]
    lines = [(shown, [_value(c, factor, wide=wide) for c in cells])]
    if not wide:
        lines.append(("± %", [Text(percent(c)) for c in cells]))
    if rates:
        lines.append(
            (rate_shown, [Text(number(c["rate"] * by) if c["rate"] else "") for c in cells])
        )
    if any(c["ratio"] for c in cells):
        lines.append(("ratio", [ratio_text(c) for c in cells]))
    for first, line in itertools.zip_longest(names_, lines):
        head, texts = line or ("", [Text("")] * len(cells))
        yield [first or Text(""), Text(head, style="dim")], texts
    yield [Text(""), Text("")], [Text("")] * len(cells)


def ratio_text(cell: dict[str, Any]) -> Text:
    """Colour a ratio by whether it is better, unless it is within the spread."""
    text = ratio_mark(cell)
    ratio = cell["ratio"]
    plain = not isinstance(ratio, float) or text.startswith("~") or ratio == 1
    return Text(text, style="" if plain else ("green" if ratio > 1 else "red"))


def _value(cell: dict[str, Any], factor: float, *, wide: bool) -> Text:
    if cell["status"] != "value":
        return _cell(cell["status"], "word" if wide else "short")
    half = percent(cell) if wide else ""
    return Text(number(cell["median"] * factor) + (f" ±{half}%" if half else ""))


def _suites(console: Console, tables: "Tables", short: Names) -> None:
    table = tables.suites
    if table.empty:
        return
    _heading(console, "Your suites", "measured; tests of each file")
    columns = [str(label) for label in table.columns]
    for form in ("short", "symbol"):
        lines: list[tuple[list[Text], list[Text]]] = []
        for place, (suite, file) in enumerate(table.index):
            if place == 0 or table.index[place - 1][0] != suite:
                lines.append(
                    ([Text(clean(suite, 30), style="bold dim")], [Text("")] * len(columns))
                )
            cells = [_counts(value, form) for value in table.iloc[place]]
            lines.append(([Text("  " + clean(file, 36))], cells))
        grid = Grid(head=["file"], columns=columns, lines=lines)
        if _width(grid, short, numbered=False) <= console.width:
            break
    _draw(console, grid, short, numbered=False)
    _causes(console, causes(tables.problems, ["feature", "throughput"], others=True), short)


def _counts(verdicts: dict[str, int], form: str) -> Text:
    """Write counts under each other, the loudest on top."""
    if not verdicts:
        return _cell("not measured", "short")
    lines = []
    for verdict, count in verdicts.items():
        look = mark(verdict)
        word = f" {look.short}" if form == "short" else ""
        lines.append(Text(f"{look.symbol} {count}{word}", style=look.style))
    return Text("\n").join(lines)


def _untested(console: Console, tables: "Tables", _short: Names) -> None:
    if tables.cells.empty:
        return
    _heading(console, "Not tested")
    for gap in gaps(tables.cells):
        shown = ", ".join(gap.cells[:MOST_CELLS])
        shown += f" and {len(gap.cells) - MOST_CELLS} more" if len(gap.cells) > MOST_CELLS else ""
        head = mark(gap.verdict)
        _hang(console, Text.assemble((str(head), head.style), f" {shown}"))
        text = Text.assemble(gap.reason, (f" [{gap.source}]", "dim"))
        console.print(Padding(text, (0, 0, 0, 6)))


def _columns(console: Console, tables: "Tables", _short: Names) -> None:
    if tables.executions.empty:
        return
    _heading(console, "Columns")
    for place in provenances(tables.executions):
        console.print(Padding(Text(f"measured {place.when} on {place.text}"), (0, 0, 0, 2)))
        for label in place.labels:
            console.print(Padding(Text(clean(label, 140), style="dim"), (0, 0, 0, 6)))


def _key(console: Console, columns: Sequence[str]) -> None:
    texts = [f"{place} {clean(label, 140)}" for place, label in enumerate(columns, 1)]
    size = max(cell_len(text) for text in texts) + GAP
    fit = max((console.width - 2) // size, 1)
    for start in range(0, len(texts), fit):
        line = "".join(text.ljust(size) for text in texts[start : start + fit])
        console.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))


def _cell(verdict: str, form: Form) -> Text:
    look = mark(verdict)
    text = {"word": str(look), "short": f"{look.symbol} {look.short}", "symbol": look.symbol}[form]
    return Text(text, style=look.style)


def _head(label: str, short: Names, columns: Sequence[str], *, numbered: bool) -> str:
    return (
        str(columns.index(label) + 1) if numbered else "\n".join(filter(None, short.tokens[label]))
    )


def _sizes(grid: Grid, short: Names, *, numbered: bool) -> tuple[int, list[int]]:
    """Widths of the first columns together and of each other column, gaps included."""

    def widest(texts: list[str]) -> int:
        return max(cell_len(line) for text in texts for line in text.split("\n")) + GAP

    firsts = zip(grid.head, *([t.plain for t in first] for first, _ in grid.lines), strict=True)
    others = []
    for place, label in enumerate(grid.columns):
        head = _head(label, short, grid.columns, numbered=numbered)
        others.append(widest([head, *(cells[place].plain for _, cells in grid.lines)]))
    return sum(widest(list(texts)) for texts in firsts), others


def _width(grid: Grid, short: Names, *, numbered: bool) -> int:
    first, others = _sizes(grid, short, numbered=numbered)
    return first + sum(others) - GAP


def _draw(console: Console, grid: Grid, short: Names, *, numbered: bool) -> None:
    """Draw a grid; one that is too wide in several parts, each with the first columns."""
    first, others = _sizes(grid, short, numbered=numbered)
    parts: list[list[int]] = [[]]
    for place in range(len(grid.columns)):
        if parts[-1] and first + sum(others[p] for p in [*parts[-1], place]) - GAP > console.width:
            parts.append([])
        parts[-1].append(place)
    for place, part in enumerate(parts):
        if place:
            console.print()
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=True)
        for head in grid.head:
            table.add_column(Text(head, style="dim"), no_wrap=True, vertical="top")
        for column in part:
            head = _head(grid.columns[column], short, grid.columns, numbered=numbered)
            table.add_column(Text(head, style="bold"), no_wrap=True)
        for firsts, cells in grid.lines:
            table.add_row(*firsts, *(cells[column] for column in part))
        console.print(table)
