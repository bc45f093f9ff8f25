"""Charts → Vega-Lite specifications.

A specification is the same for all charts of its kind; only the points differ. Colours of text and
lines are left to a configuration, so that a chart fits a light and a dark page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matrix.reports.marks import mark
from matrix.reports.page.shapes import COLOURS, SHAPES

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
# Okabe and Ito's colours, which differ for all common kinds of colour blindness, without black; the
# page has its own for a dark ground.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
_ORDER = {"field": "order", "op": "min"}
_RULE = {"type": "rule", "strokeWidth": 2, "opacity": 0.6}


def spec(chart: Mapping[str, Any]) -> dict[str, Any]:
    """The specification of a chart without its points."""
    makers = {
        "versions": _versions,
        "curves": _curves,
        "time": _time,
        "ratios": _ratios,
        "grid": _grid,
    }
    base = {"$schema": SCHEMA, "data": {"name": "points"}, "background": "transparent"}
    return base | makers[chart["kind"]](chart)


def complete(chart: Mapping[str, Any]) -> dict[str, Any]:
    """The specification with its points and its title: a picture of its own."""
    title = {"text": chart["title"], "subtitle": _wrapped(chart["subtitle"]), "anchor": "start"}
    made = spec(chart) | {"data": {"name": "points", "values": chart["points"]}, "title": title}
    config = {"range": {"category": PALETTE}, **made.get("config", {})}
    return made | {"background": "white", "padding": 16, "config": config}


def together(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several charts as one picture, three in a row."""
    parts = [complete(chart) for chart in found]
    outer = {name: parts[0][name] for name in ("$schema", "background", "padding", "config")}
    inner = [{k: v for k, v in part.items() if k not in outer} for part in parts]
    for place, part in enumerate(inner):  # each with its own points
        part["data"] = part["data"] | {"name": f"points{place}"}
    resolve = {"scale": {"color": "independent", "shape": "independent"}}
    return outer | {"concat": inner, "columns": 3, "resolve": resolve}


def _wrapped(text: str, width: int = 110) -> list[str]:
    """Lines of a subtitle, broken between its parts."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _told(*fields: str) -> list[dict[str, str]]:
    return [{"field": name, "title": name} for name in fields]


def _versions(_chart: Mapping[str, Any]) -> dict[str, Any]:
    y = {"field": "value", "type": "quantitative", "title": None, "scale": {"zero": True}}
    x = {"field": "torch", "type": "ordinal", "sort": _ORDER, "title": None}
    told = _told("short", "series", "value", "low", "high", "unit")
    legend = {"orient": "bottom", "columns": 1, "title": None, "labelLimit": 420}
    colour = {"field": "series", "sort": _ORDER, "legend": legend}
    shape = {"field": "series", "sort": _ORDER, "legend": None}
    low = y | {"field": "low"}
    line = {"mark": {"type": "line", "strokeWidth": 1.5, "opacity": 0.5}}
    dot = {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1}}
    return {
        "width": 360,
        "height": 170,
        "encoding": {"x": x | {"axis": {"labelAngle": -40}}},
        "layer": [
            line | {"encoding": {"y": y, "color": colour}},
            {"mark": _RULE, "encoding": {"y": low, "y2": {"field": "high"}, "color": colour}},
            dot | {"encoding": {"y": y, "tooltip": told, "color": colour, "shape": shape}},
        ],
    }


def _curves(chart: Mapping[str, Any]) -> dict[str, Any]:
    parameter = chart["points"][0]["parameter"]
    made = _versions(chart)
    axis = {"grid": False, "values": sorted({point["x"] for point in chart["points"]})}
    x: dict[str, Any] = {"field": "x", "type": "quantitative", "title": parameter}
    x |= {"scale": {"type": "log", "base": 2}, "axis": axis}
    return made | {"encoding": {"x": x}}


def _time(chart: Mapping[str, Any]) -> dict[str, Any]:
    made = _versions(chart)
    for layer in made["layer"]:
        colour = layer["encoding"]["color"]
        layer["encoding"]["color"] = colour | {"legend": colour["legend"] | {"symbolLimit": 8}}
        if "tooltip" in layer["encoding"]:
            layer["encoding"]["tooltip"] = _told("short", "time", "value", "low", "high", "unit")
    axis = {"labelAngle": -40, "format": "%Y-%m-%d", "grid": False, "tickCount": 6}
    x: dict[str, Any] = {"field": "time", "type": "temporal", "title": None, "axis": axis}
    return made | {"encoding": {"x": x | {"scale": {"type": "utc"}}}}


def _ratios(_chart: Mapping[str, Any]) -> dict[str, Any]:
    # blue is better, orange is worse, and as many times either way
    scheme = {"type": "log", "domain": [0.5, 1, 2], "range": ["#E69F00", "#f4f4f4", "#56B4E9"]}
    return {
        "width": {"step": 58},
        "height": {"step": 24},
        "encoding": {
            "x": {"field": "short", "type": "ordinal", "sort": _ORDER, "title": None,
                  "scale": {"paddingInner": 0.04}, "axis": {"orient": "top", "labelAngle": -40}},
            "y": {"field": "row", "type": "ordinal", "sort": None, "title": None,
                  "scale": {"paddingInner": 0.1}, "axis": {"labelLimit": 840}},
        },
        "layer": [
            {
                "mark": {"type": "rect", "cornerRadius": 2},
                "encoding": {
                    "color": {"field": "ratio", "type": "quantitative", "legend": None,
                              "scale": scheme | {"clamp": True}},
                    "tooltip": _told("row", "short", "place", "told"),
                },
            },
            {"mark": {"type": "text", "color": "#1c2330"}, "encoding": {"text": {"field": "told"}}},
        ],
    }  # fmt: skip


def _grid(chart: Mapping[str, Any]) -> dict[str, Any]:
    seen: list[str] = chart["verdicts"]
    x: dict[str, Any] = {"field": "short", "type": "ordinal", "sort": _ORDER, "title": None}
    x["axis"] = {"orient": "top", "labelAngle": -45, "domain": False, "ticks": False}
    y: dict[str, Any] = {"field": "row", "type": "ordinal", "sort": None, "title": None}
    y["axis"] = {"domain": False, "ticks": False, "labelLimit": 300}
    head = {"labelAngle": 0, "labelAlign": "left", "labelAnchor": "end", "labelBaseline": "top"}
    group = {"field": "group", "sort": None, "title": None, "header": head}
    key = {"values": [_entry(place, verdict) for place, verdict in enumerate(seen)]}
    at = {"field": "column", "type": "ordinal", "axis": None, "title": None}
    word = {"type": "text", "align": "left", "dx": 16}
    return {
        "vconcat": [
            {
                "data": key,
                "width": {"step": 92},
                "height": {"step": 20},
                "encoding": {"x": at, "y": at | {"field": "line"}},
                "layer": [
                    *_marks(seen, 18),
                    {"mark": word, "encoding": {"text": {"field": "word"}}},
                ],
            },
            {
                "spacing": 4,
                "facet": {"row": group},
                "resolve": {"scale": {"y": "independent"}},
                "spec": {
                    "width": {"step": 26},
                    "height": {"step": 17},
                    "encoding": {"x": x, "y": y},
                    "layer": _marks(seen),
                },
            },
        ],
        "config": {"view": {"stroke": None}, "headerRow": {"labelFontWeight": "bold"}},
    }


def _entry(place: int, verdict: str) -> dict[str, Any]:
    """A verdict in the key of the grid, which has four in a line."""
    return {"verdict": verdict, "word": mark(verdict).word, "column": place % 4, "line": place // 4}


def _marks(seen: Sequence[str], width: int | None = None) -> list[dict[str, Any]]:
    """Layers that draw a verdict: its fill, and its mark upon it."""
    fill = {"domain": seen, "range": [COLOURS[verdict].fill for verdict in seen]}
    ink = {"domain": seen, "range": [COLOURS[verdict].ink for verdict in seen]}
    shape = {"domain": seen, "range": [SHAPES[verdict] for verdict in seen]}
    rect: dict[str, Any] = {"type": "rect", "stroke": "#ffffff", "strokeWidth": 1.5}
    rect |= {"width": width} if width else {}
    sign = {"type": "point", "filled": False, "strokeWidth": 1.7, "size": 90, "opacity": 1}
    by = {"field": "verdict", "legend": None}
    return [
        {"mark": rect, "encoding": {"fill": by | {"scale": fill}}},
        {"mark": sign, "encoding": {"shape": by | {"scale": shape}, "stroke": by | {"scale": ink}}},
    ]
