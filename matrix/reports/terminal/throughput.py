"""The throughput section: value, spread, rate and ratio of each workload under each other."""

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from matrix.reports.lines import (
    DIRECTION,
    compared,
    is_idle,
    is_number,
    own_baselines,
    percent,
    ratio_mark,
    workloads,
)  # fmt: skip
from matrix.reports.marks import mark
from matrix.reports.names import Names
from matrix.reports.reasons import causes, why_lines
from matrix.reports.sheet import hang, heading
from matrix.reports.terminal.grid import Grid, draw
from matrix.reports.terminal.parts import Form, cell_text, draw_causes, heads_of, shared
from matrix.reports.text import clean, number, scale

if TYPE_CHECKING:
    from matrix.tables import Tables

PARAMETERS = 60
"""The widest line of parameters; what is longer takes several."""


def draw_throughput(console: Console, tables: "Tables", short: Names) -> None:
    """Draw the section with everything that kept values or ratios away below it."""
    rows = workloads(tables.workloads)
    if not rows:
        return
    common = shared(short, tables.features)
    heading(console, "Throughput", f"measured; median ± half the interquartile range{common}")
    ratios = compared(rows)
    if tables.baseline and ratios:
        note = f"ratio to {clean(tables.baseline, 140)}: {DIRECTION}; ~ within the spread"
        console.print(Text(note, style="dim"))
        for base, labels in own_baselines(tables).items():
            note = f"ratio of {short.several(labels)}, where it did not run: to {clean(base, 140)}"
            console.print(Text(note, style="dim"))
    columns = heads_of(list(rows[0][1]), short)
    room = min(console.width // 2, PARAMETERS)
    for wide in (True, False):
        lines = [
            line
            for key, cells in rows
            if not is_idle(cells)
            for line in _workload(key, list(cells.values()), room, wide=wide, ratios=ratios)
        ]
        grid = Grid(first=["workload", ""], columns=columns, lines=lines[:-1])
        if grid.width <= console.width:
            break
    if grid.lines:
        draw(console, grid)
    draw_causes(console, causes(tables.problems, ["throughput"]), short)
    reasons = why_lines(rows, short)
    if reasons:
        console.print()
    for symbol, place, why in reasons:
        hang(console, Text.assemble((symbol, "yellow"), f" {place}: {why}"))


def _workload(
    key: Sequence[str], cells: list[dict[str, Any]], room: int, *, wide: bool, ratios: bool
) -> Iterator[tuple[list[Text], list[Text]]]:
    """Yield value, spread (narrow), rate and ratio; the name runs down beside them."""
    name, metric, unit = (clean(part, 60) for part in (key[0], *key[2:]))
    # Whole: any parameter may be the one that tells a line from the next.
    params = textwrap.wrap(clean(key[1]), room, break_on_hyphens=False)
    values = [c["median"] for c in cells if is_number(c)]
    factor, shown = scale(values, unit)
    rated = [c for c in cells if c["rate"]]
    by, rate_shown = scale([c["rate"] for c in rated], rated[0]["rate_unit"] if rated else "")
    firsts = [
        Text(name, style="bold"),
        *(Text(f"  {line}") for line in params),
        Text(f"  {metric}" if metric else "", style="dim"),
    ]
    lines = [(shown if values else "", [_value(c, factor, wide=wide) for c in cells])]
    if not wide and any(map(percent, cells)):
        lines.append(("± %", [Text(percent(c)) for c in cells]))
    if rated:
        rates = [Text(number(c["rate"] * by) if c["rate"] else "") for c in cells]
        lines.append((rate_shown, rates))
    if ratios and any(c["ratio"] for c in cells):
        lines.append(("ratio", [ratio_text(c) for c in cells]))
    for first, line in itertools.zip_longest(filter(None, firsts), lines):
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
    if not is_number(cell):
        return cell_text(cell["status"], Form(cells="word" if wide else "short"))
    if cell["status"] != "value":
        look = mark(cell["status"])
        return Text(f"{look.symbol} {number(cell['median'] * factor)}", style=look.style)
    half = percent(cell) if wide else ""
    return Text(number(cell["median"] * factor) + (f" ±{half}%" if half else ""))
