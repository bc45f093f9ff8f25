"""A comparison as text: for a terminal, and as Markdown for reviews."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from matrix.reports.lines import records
from matrix.reports.markdown import code, table_lines
from matrix.reports.sheet import hang, sheet, written
from matrix.reports.terminal.grid import Grid, draw
from matrix.reports.terminal.parts import several
from matrix.reports.text import clean, number, scale

if TYPE_CHECKING:
    import pandas as pd

SYMBOLS: Mapping[str, tuple[str, str]] = {
    "regressed": ("↓", "bold red"),
    "improved": ("↑", "green"),
    "unstable": ("~", "yellow"),
    "missing": ("?", "red"),
    "gone": ("-", "magenta"),
    "new": ("+", "cyan"),
    "first-seen": ("·", "dim"),
    "known": ("=", ""),
}
"""A symbol and a style for each verdict between two numbers."""
NOTE = "ratio: more than 1 is better than before, whatever the metric; 95 % intervals"


def terminal(series: "pd.DataFrame", whole: "pd.DataFrame", title: str, *, width: int,
             color: bool) -> str:  # fmt: skip
    """Render for a terminal, with the reasons below."""
    console = sheet(width, color=color)
    console.print(Text(clean(title, 300), style="bold"))
    console.print(Text(NOTE, style="dim"))
    heads = ["before", "after", "ratio", "interval", "verdict"]
    for place, lines in _places(series):
        console.print()
        console.print(Text(clean(place, 140), style="bold"))
        draw(console, Grid(first=["workload"], columns=heads, lines=[
            ([Text(_name(line))], _cells(line)) for line in lines
        ]))  # fmt: skip
        for verdict, why, names in _reasons(lines):
            symbol, style = SYMBOLS[verdict]
            hang(console, Text.assemble((f"{symbol} {verdict}", style), f" {names}: {why}"))
    console.print()
    for line in _aggregates(whole):
        console.print(Text(line))
    return written(console)


def markdown(series: "pd.DataFrame", whole: "pd.DataFrame", title: str) -> str:
    """Render as Markdown, a line per series."""
    parts = [f"# {title}", f"{NOTE}."]
    for place, lines in _places(series):
        parts.append(f"## {code(place)}")
        head = ["workload", "before", "after", "ratio", "interval", "verdict", "why"]
        parts.append("\n".join(table_lines(head, (
            [code(_name(line)), *(text.plain for text in _cells(line)), code(line["why"])]
            for line in lines
        ))))  # fmt: skip
    parts += [f"- {line}" for line in _aggregates(whole)]
    return "\n\n".join(parts) + "\n"


def _places(series: "pd.DataFrame") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    lines = [_plain(line) for line in records(series.reset_index())]
    for place in dict.fromkeys(line["place"] for line in lines):
        yield place, [line for line in lines if line["place"] == place]


def _plain(line: Mapping[str, Any]) -> dict[str, Any]:
    """Without pandas' own missing value, the only one that differs from itself."""
    return {key: None if value != value else value for key, value in line.items()}  # noqa: PLR0124


def _name(line: Mapping[str, Any]) -> str:
    parts = (line["workload"], line["params"], line["metric"] if line["metric"] != "time" else "")
    return " ".join(clean(part, 80) for part in parts if part)


def _cells(line: Mapping[str, Any]) -> list[Text]:
    """Medians, ratio, interval, verdict."""
    symbol, style = SYMBOLS[line["verdict"]]
    verdict = Text(f"{symbol} {line['verdict']}", style=style)
    if line["ratio"] is None:
        return [*[Text("")] * 4, verdict]
    factor, unit = scale([line["before"], line["after"]], line["unit"])
    medians = [f"{number(line[side] * factor)} {unit}" for side in ("before", "after")]
    interval = f"{line['low']:.3f}-{line['high']:.3f}"
    return [*map(Text, (*medians, f"{line['ratio']:.3f}", interval)), verdict]


def _reasons(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield verdict, reason, and which series it is of."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if line["why"]:
            key = line["verdict"], clean(line["why"], 300)
            found.setdefault(key, []).append(_name(line))
    for (verdict, why), names in found.items():
        yield verdict, why, several(names)


def _aggregates(whole: "pd.DataFrame") -> Iterator[str]:
    for line in map(_plain, records(whole.reset_index())):
        counted = f"{line['series']} series on both sides, {line['excluded']} excluded"
        where = f"{clean(line['place'], 140)} {clean(line['metric'], 40) or 'no metric'}"
        if line["ratio"] is None:
            yield f"geometric mean, {where}: none ({counted})"
            continue
        interval = f" ({line['low']:.3f}-{line['high']:.3f})" if line["low"] else ""
        yield f"geometric mean, {where}: {line['ratio']:.3f}{interval} of {counted}"
