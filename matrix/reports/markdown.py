"""Tables → Markdown for reviews: stable order, one thing per line, so that a diff stays small.

Untrusted text is only ever written inside code, where it is neither markup, nor HTML, nor a
mention, nor a link.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from matrix.reports import (
    DIRECTION,
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
    tally,
    unmeasured,
    why_lines,
    workloads,
)

if TYPE_CHECKING:
    from matrix.tables import Tables

FOLD = 20

_PLAIN = re.compile(
    r"(?!.*www\.)[A-Za-z0-9](?:[A-Za-z0-9 .,;()+%]|(?<=\w)[/=_-](?=\w)|: )*", re.ASCII
)


def render(tables: "Tables") -> str:
    """Render the tables; ends with a newline."""
    short = names(tables.executions)
    parts = [tables.summary.sentence]
    for section in (_features, _throughput, _suites, _untested, _columns):
        lines = list(section(tables, short))
        if lines:
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def code(text: str, limit: int = 300) -> str:
    """Untrusted text as a code span that cannot be left, in a table neither."""
    line = clean(text, limit)
    if not line:
        return ""
    if "|" not in line:
        fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
        pad = " " if len(fence) > 1 else ""
        return f"{fence}{pad}{line}{pad}{fence}"
    return f"<code>{re.sub(r'[^A-Za-z0-9 ]', lambda found: f'&#{ord(found[0])};', line)}</code>"


def prose(text: str, limit: int = 120) -> str:
    """Untrusted text as it is where it is harmless, else as code."""
    line = clean(text, limit)
    return line if _PLAIN.fullmatch(line) else code(line, limit)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    # Not padded: a longer cell would otherwise change every line of the diff.
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for line in lines:
        yield "| " + " | ".join(line) + " |"


def _features(tables: "Tables", short: Names) -> Iterator[str]:
    table = tables.features
    if table.empty:
        return
    yield "## Features (measured)"
    yield ""
    head = ["feature", "", *(code(str(label)) for label in table.columns)]
    lines = []
    for (_, name, title), cells in zip(table.index, table.to_numpy(), strict=True):
        second = prose(str(title)) if title != name else ""
        lines.append([code(str(name), 80), second, *(str(mark(str(v))) for v in cells)])
    yield from _table(head, lines)
    yield from _causes([*causes(tables.problems, ["feature"]), *unmeasured(table)], short)


def _causes(found: Sequence[Cause], short: Names) -> Iterator[str]:
    if found:
        yield ""
    for cause in found:
        subjects = ", ".join(code(subject) for subject in cause.subjects)
        count = f" ({cause.count})" if cause.count else ""
        reason = f": {code(cause.reason)}" if cause.reason else ""
        place = code(short.several(cause.labels))
        yield f"- {mark(cause.verdict)} {subjects} in {place}{count}{reason}"


def _throughput(tables: "Tables", short: Names) -> Iterator[str]:
    rows = workloads(tables.workloads)
    if not rows:
        return
    yield "## Throughput (measured)"
    yield ""
    yield "Median ± half the interquartile range; `~` is a difference within the spread."
    if tables.baseline:
        yield f"Ratio to {code(tables.baseline)}: {DIRECTION}."
    yield ""
    head = ["workload", "metric", *(code(label) for label in rows[0][1])]
    yield from _table(head, [_workload(key, list(cells.values())) for key, cells in rows])
    found = causes(tables.problems, ["throughput"])
    sentences = why_lines(rows, short)
    yield from _causes(found, short)
    if sentences and not found:
        yield ""
    for symbol, place, why in sentences:
        yield f"- {symbol} {code(place)}: {code(why)}"


def _workload(key: Sequence[str], cells: list[dict[str, Any]]) -> list[str]:
    name, params, metric, unit = key
    by, shown = scale([c["median"] for c in cells if c["status"] == "value"], unit)
    rates = [c for c in cells if c["rate"]]
    times, rate_unit = scale([c["rate"] for c in rates], rates[0]["rate_unit"] if rates else "")
    line = [" ".join(filter(None, [code(name, 60), code(params, 80)]))]
    line.append(prose(f"{metric}, {shown}") if metric else "")
    for cell in cells:
        if cell["status"] != "value":
            line.append(str(mark(cell["status"])))
            continue
        spread = percent(cell)
        parts = [number(cell["median"] * by) + (f" ±{spread}%" if spread else "")]
        parts += [f"{number(cell['rate'] * times)} {rate_unit}"] if cell["rate"] else []
        parts += [ratio_mark(cell)] if cell["ratio"] else []
        line.append("<br>".join(parts))
    return line


def _suites(tables: "Tables", short: Names) -> Iterator[str]:
    table = tables.suites
    if table.empty:
        return
    yield "## Your suites (measured)"
    yield ""
    head = ["suite", "file", *(code(str(label)) for label in table.columns)]
    lines = []
    for (suite, file), cells in zip(table.index, table.to_numpy(), strict=True):
        counts = [tally(value) or str(mark("not measured")) for value in cells]
        lines.append([code(str(suite), 60), code(str(file), 120), *counts])
    yield from _table(head, lines)
    yield from _causes(causes(tables.problems, ["feature", "throughput"], others=True), short)


def _untested(tables: "Tables", _short: Names) -> Iterator[str]:
    found = gaps(tables.cells)
    if not found:
        return
    yield "## Not tested"
    yield ""
    lines = [
        f"- {mark(gap.verdict)} {code(cell)}: {code(gap.reason)} ({code(gap.source)})"
        for gap in found
        for cell in gap.cells
    ]
    if len(lines) <= FOLD:
        yield from lines
        return
    yield f"<details><summary>{len(lines)} cells</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"


def _columns(tables: "Tables", _short: Names) -> Iterator[str]:
    if tables.executions.empty:
        return
    yield "## Columns"
    yield ""
    yield from _table(
        ["column", "measured", "on"],
        [
            [code(label, 140), place.when, code(place.text)]
            for place in provenances(tables.executions)
            for label in place.labels
        ],
    )
