"""Tables → text for a terminal: narrow ones get shorter cells, then numbers for columns."""

import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from matrix.reports.marks import loudness, mark
from matrix.reports.names import Names, names, provenances
from matrix.reports.reasons import Cause, causes, gaps, unmeasured, wrong
from matrix.reports.sheet import hang, heading, sheet, written
from matrix.reports.terminal.grid import GAP, Grid, draw, draw_numbers
from matrix.reports.terminal.parts import (
    Form,
    cell_text,
    draw_causes,
    draw_known,
    heads_of,
    several,
    shared,
)
from matrix.reports.terminal.throughput import draw_throughput
from matrix.reports.text import clean
from matrix.tables.companions import by_companions, folded
from matrix.tables.verdicts import NOT_MEASURED

if TYPE_CHECKING:
    import pandas as pd

    from matrix.tables import Tables

LEAST_TITLE = 30

FORMS = (
    Form(cells="word", name=60),
    Form(cells="word"),
    Form(cells="short", name=60),
    Form(cells="short"),
    Form(cells="symbol", name=60),
    Form(cells="symbol"),
    Form(cells="symbol", name=60, numbered=True),
    Form(cells="symbol", numbered=True),
)
"""Of the features, the roomiest first: the first that fits is taken."""
FILE_FORMS = (Form(cells="short", name=80), Form(cells="short", name=36), Form(cells="symbol"))


def render(tables: "Tables", *, width: int, color: bool) -> str:
    """Render everything; `color=False` leaves only text, which says all that colour says."""
    console = sheet(width, color=color)
    short = names(tables.executions)
    worst = mark(tables.summary.loudest)
    if tables.summary.alarm:
        look = mark("wrong")
        console.print(Text(f"{look.symbol} {tables.summary.alarm}", style=look.style))
    console.print(Text(tables.summary.sentence, style=f"bold {worst.line}"))
    for section in (_wrong, _features, draw_throughput, _suites, _untested, _columns):
        section(console, tables, short)
    return written(console)


def _wrong(console: Console, tables: "Tables", short: Names) -> None:
    found = wrong(tables.problems)
    if found:
        heading(console, "Wrong numbers", "measured; loudest of all", style=mark("wrong").style)
        draw_causes(console, found, short)


def _features(console: Console, tables: "Tables", short: Names) -> None:
    missing: list[Cause] = []
    for companion, table in by_companions(tables.features, tables.executions).items():
        title = f"Features with {companion}" if companion else "Features"
        if companion:
            shown, columns = folded(table, tables.executions, NOT_MEASURED)
            own = names(columns)
            heading(console, title, f"measured{shared(own)}")
            _feature_grid(console, _under_features(shown), own)
        else:
            heading(console, title, f"measured{shared(short)}")
            _feature_grid(console, table, short)
        missing += unmeasured(table)
    draw_causes(console, [*causes(tables.problems, ["feature"]), *missing], short)


def _under_features(table: "pd.DataFrame") -> "pd.DataFrame":
    """Each feature as the group of its lines, which are companions' versions."""
    return table.set_axis([(name, version, version) for _, name, _, version in table.index])


def _feature_grid(console: Console, table: "pd.DataFrame", short: Names) -> None:
    """Draw as much of each line as fits."""
    rows = [
        ((str(group), str(name), str(title)), [str(verdict) for verdict in cells])
        for (group, name, title), cells in zip(table.index, table.to_numpy(), strict=True)
    ]
    columns = [str(label) for label in table.columns]
    for form in FORMS:
        heads = [str(place) for place in range(1, len(columns) + 1)]
        grid = Grid(
            first=["feature"],
            columns=heads if form.numbered else heads_of(columns, short),
            lines=list(_feature_lines(rows, form)),
        )
        if grid.width <= console.width:
            break
    room = console.width - grid.width - GAP
    if room >= LEAST_TITLE and any(title != name for (_, name, title), _ in rows):
        lines = list(_feature_lines(rows, form, room))
        grid = Grid(first=["feature", "title"], columns=grid.columns, lines=lines)
    if form.numbered:
        draw_numbers(console, [short.short[label] for label in columns])
        console.print()
    draw(console, grid)
    if form.numbered:
        console.print()
        draw_numbers(console, columns)
    if form.cells == "symbol":
        found = sorted({verdict for _, cells in rows for verdict in cells}, key=loudness)
        hang(console, Text("   ".join(str(mark(verdict)) for verdict in found), style="dim"))


def _feature_lines(
    rows: Sequence[tuple[tuple[str, str, str], list[str]]], form: Form, title_room: int = 0
) -> Iterator[tuple[list[Text], list[Text]]]:
    """Yield a line per feature, under a line per group."""
    texts = {verdict: cell_text(verdict, form) for _, cells in rows for verdict in set(cells)}
    for group, members in itertools.groupby(rows, key=lambda row: row[0][0]):
        lines = list(members)
        blank = [Text("")] * len(lines[0][1])
        yield [Text(clean(group, 30), style="bold dim"), *([Text("")] if title_room else [])], blank
        for (_, name, title), cells in lines:
            firsts = [Text("  " + clean(name, form.name))]
            if title_room:
                text = _title(title, title_room) if title != name else ""
                firsts.append(Text(text, style="dim"))
            yield firsts, [texts[verdict] for verdict in cells]


def _title(title: str, room: int) -> str:
    """Leave out of a title that is too long first what is in brackets, then its end."""
    line = clean(title)
    if cell_len(line) <= room:
        return line
    return textwrap.shorten(re.sub(r" \(.*\)$", "", line), room, placeholder=" …")


def _suites(console: Console, tables: "Tables", short: Names) -> None:
    if tables.suites.empty:
        return
    table, executions = folded(tables.suites, tables.executions, {})
    own = names(executions)
    earlier = [tables.features, tables.workloads] if own.common == short.common else []
    heading(console, "Your suites", f"measured; tests of each file{shared(own, *earlier)}")
    columns = heads_of([str(label) for label in table.columns], own)
    some = any(table.index.get_level_values("companions"))
    blank = [Text("")] * len(columns)
    for form in FILE_FORMS:
        lines: list[tuple[list[Text], list[Text]]] = []
        rows = zip(table.index, table.to_numpy(), strict=True)
        for suite, files in itertools.groupby(rows, key=lambda row: row[0][0]):
            head = Text(clean(suite, form.name), style="bold dim")
            lines.append(([head, *[Text("")] * some], blank))
            last = None
            for (_, file, version), counts in files:
                name = Text("  " + clean(file, form.name) if file != last else "")
                first = [name, *[Text(clean(version, 40))] * some]
                lines.append((first, [_counts(value, form) for value in counts]))
                last = file
        grid = Grid(first=["file", *["with"] * some], columns=columns, lines=lines)
        if grid.width <= console.width:
            break
    draw(console, grid)
    draw_causes(console, causes(tables.problems, ["feature", "throughput"], others=True), short)


def _counts(verdicts: dict[str, int], form: Form) -> Text:
    """Write counts under each other, the loudest on top."""
    if not verdicts:
        return cell_text("not measured", form)
    lines = []
    for verdict, count in verdicts.items():
        look = mark(verdict)
        word = f" {look.short}" if form.cells == "short" else ""
        lines.append(Text(f"{look.symbol} {count}{word}", style=look.style))
    return Text("\n").join(lines)


def _untested(console: Console, tables: "Tables", _short: Names) -> None:
    found = gaps(tables.cells)
    if found:
        heading(console, "Not tested")
    for gap in found:
        head = mark(gap.verdict)
        hang(console, Text.assemble((str(head), head.style), f" {several(gap.cells)}"))
        text = Text.assemble(gap.reason, (f" [{gap.source}]", "dim"))
        console.print(Padding(text, (0, 0, 0, 6)))
        draw_known(console, gap.known)


def _columns(console: Console, tables: "Tables", _short: Names) -> None:
    if tables.executions.empty:
        return
    heading(console, "Columns")
    for place in provenances(tables.executions):
        hang(console, Text(f"measured {place.when} on {place.text}"))
        for label in place.labels:
            console.print(Padding(Text(clean(label, 140), style="dim"), (0, 0, 0, 6)))
