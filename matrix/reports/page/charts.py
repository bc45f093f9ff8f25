"""Tables → charts: a kind, a title, and the points that it shows, for page and pictures."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from matrix.reports.lines import own_baselines, records, workloads
from matrix.reports.marks import MARKS, mark
from matrix.reports.names import names
from matrix.reports.text import clean, scale
from matrix.series import parameters
from matrix.tables.companions import by_companions
from matrix.tables.releases import place_of
from matrix.tables.verdicts import NOT_MEASURED
from matrix.trend import Series

if TYPE_CHECKING:
    from matrix.tables import Tables

MOST_POINTS = 12_000
"""Of all charts over time together: about 3 MB of a page."""
_KEY = ("cell", "execution", "device_model", "provision")


def versions(tables: "Tables") -> list[dict[str, Any]]:
    """One chart per workload, metric and device: its value over the releases of torch, by place.

    A point has the median and `low` to `high`, which is the interquartile range around it.
    """
    where = _columns(tables)
    charts = []
    for (name, params, metric, unit), cells in workloads(tables.workloads):
        for device in dict.fromkeys(column["device"] for column in where.values()):
            own = {label: c for label, c in cells.items() if where[label]["device"] == device}
            points = _scaled(_points(where, own, unit))
            if len({point["torch"] for point in points}) > 1:
                title = " ".join(filter(None, [clean(name, 60), clean(params)]))
                said = f"{_axis(metric, points)}, on {device}"
                chart = {"title": title, "subtitle": said, "points": points}
                charts.append({"kind": "versions", **chart})
    return charts


def curves(tables: "Tables") -> list[dict[str, Any]]:
    """One chart per workload, device and number that varies: its value over that parameter."""
    where = _columns(tables)
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for (name, params, metric, unit), cells in workloads(tables.workloads):
        words = params.split(" ")
        for place, word in enumerate(words):
            key, _, value = word.partition("=")
            if re.fullmatch(r"[1-9]\d{0,14}", value):
                rest = " ".join([*words[:place], *words[place + 1 :]])
                for point in _points(where, cells, unit):
                    more = {"x": int(value), "parameter": clean(key, 40), "series": point["short"]}
                    group = (name, rest, key, metric, point["device"], point["unit"])
                    groups[group].append(point | more)
    charts = []
    for (name, rest, key, metric, device, _), points in groups.items():
        seen = defaultdict(set)
        for point in points:
            seen[point["column"]].add(point["x"])
        kept = [point for point in points if len(seen[point["column"]]) > 1]
        if kept:
            kept = _scaled(kept)
            title = " ".join(filter(None, [clean(name, 60), clean(rest)]))
            head = {"title": f"{title} by {clean(key, 40)}"}
            said = f"{_axis(metric, kept)}, on {device}"
            charts.append({"kind": "curves", **head, "subtitle": said, "points": kept})
    return charts


def over_time(tables: "Tables", series: Iterable[Series]) -> list[dict[str, Any]]:
    """One chart per workload, metric and device: its value in every run, a line per column.

    Of many runs each line has so few that the page stays small: every second, third ….
    """
    where = _columns(tables)
    columns = zip(*(tables.executions[name] for name in _KEY), strict=True)
    labels = dict(zip(columns, map(str, tables.executions.index), strict=True))
    shown = [one for one in series if one.key in labels]
    step = -(-sum(len(one.values) for one in shown) // MOST_POINTS)
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in shown:
        at = where[labels[one.key]]
        params = parameters(one.params)[0]
        group = (one.workload, params, one.metric, one.better, at["device"], one.unit)
        for time, median, spread in one.values[::-step]:
            half = (spread or 0.0) / 2
            ends = {"low": median - half, "high": median + half}
            point = {"time": f"{clean(time[:19], 19)}Z", "value": median, **ends, "unit": one.unit}
            groups[group].append(at | point | {"series": at["short"]})
    every = "" if step == 1 else f", one run in {step}"
    charts = []
    for (name, params, metric, better, device, _), points in groups.items():
        made = _scaled(points)
        title = " ".join(filter(None, [clean(name, 60), clean(params)]))
        told = f"{_axis(metric, made)}, {clean(better, 10)} is better, on {device}{every}"
        head = {"title": f"{title} over time", "subtitle": told}
        charts.append({"kind": "time", **head, "points": made})
    return charts


def ratios(tables: "Tables") -> list[dict[str, Any]]:
    """A heat map of every workload's ratio to the baseline, in every column; or no chart."""
    where = _columns(tables)
    points = []
    for (name, params, metric, _), cells in workloads(tables.workloads):
        for label, cell in cells.items():
            if isinstance(cell["ratio"], float):
                row = " ".join(filter(None, [clean(name, 60), clean(params), clean(metric, 40)]))
                close = cell["why"] == "within the spread"
                told = f"{'~' if close else ''}{cell['ratio']:.2f}"
                points.append(where[label] | {"row": row, "ratio": cell["ratio"], "told": told})
    if len({point["column"] for point in points}) <= 1:
        return []
    short = names(tables.executions)
    own = [
        f"{clean(short.several(labels), 120)}: to {clean(base, 120)}"
        for base, labels in own_baselines(tables).items()
    ]
    said = "; ".join(["more than 1 is better", *own])
    head = {"title": f"Ratio to {clean(tables.baseline or '', 120)}"}
    return [{"kind": "ratios", **head, "subtitle": said, "points": points}]


def grid(tables: "Tables", *, only_differing: bool = False) -> dict[str, Any]:
    """The table of features as a chart: of cells without companions, where there are such.

    Its rows are those that ran in some column, or only those in which two verdicts differ.
    """
    where = _columns(tables)
    parts = by_companions(tables.features, tables.executions)
    table = next(iter(parts.values()), tables.features)
    points = []
    for (group, name, _), cells in zip(table.index, table.to_numpy(), strict=True):
        told = {str(verdict) for verdict in cells} - {NOT_MEASURED}
        if not told or (only_differing and not len(told - {"skip"}) > 1):
            continue
        for label, verdict in zip(map(str, table.columns), map(str, cells), strict=True):
            look = mark(verdict)
            known = verdict if verdict in MARKS else "fail"
            known = "waived" if verdict.endswith(" waived") else known
            place = {"group": clean(str(group), 40), "row": clean(str(name), 60)}
            points.append(where[label] | place | {"verdict": known, "told": str(look)})
    used = {point["verdict"] for point in points}
    head = {"title": "Features of PyTorch, as measured", "subtitle": tables.summary.sentence}
    return {"kind": "grid", **head, "points": points, "verdicts": [v for v in MARKS if v in used]}


def _columns(tables: "Tables") -> dict[str, dict[str, Any]]:
    """Of each label what its points say about it."""
    short = names(tables.executions)
    lines = zip(map(str, tables.executions.index), records(tables.executions), strict=True)
    return {
        label: {
            "column": order,
            "order": order,
            "short": clean(short.short[label], 60),
            "torch": clean(line["torch"], 40),
            "device": clean(line["device"], 20),
            "place": clean(place_of(line), 100),
        }
        for order, (label, line) in enumerate(lines)
    }


def _points(
    where: Mapping[str, dict[str, Any]], cells: Mapping[str, Mapping[str, Any]], unit: str
) -> list[dict[str, Any]]:
    """Rates where they are known, else the values themselves, each with its interval."""
    good = {label: cell for label, cell in cells.items() if cell["status"] == "value"}
    rated = bool(good) and all(cell["rate"] for cell in good.values())
    points = []
    for label, cell in good.items():
        half = (cell["spread"] or 0.0) / 2
        ends = [cell["median"] - half, cell["median"] + half]
        if rated:  # the work of a call does not change
            ends = [cell["rate"] * cell["median"] / end for end in ends if end > 0]
        value = {"value": cell["rate"] if rated else cell["median"], "low": min(ends)}
        value |= {"high": max(ends), "unit": cell["rate_unit"] if rated else unit}
        points.append(where[label] | value | {"series": where[label]["place"]})
    return points


def _scaled(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points of one unit in the multiple of it that suits them all."""
    by, unit = scale([point["value"] for point in points], points[0]["unit"] if points else "")
    numbers = ("value", "low", "high")
    return [
        point | {name: point[name] * by for name in numbers} | {"unit": clean(unit, 20)}
        for point in points
    ]


def _axis(metric: str, points: Iterable[Mapping[str, Any]]) -> str:
    unit = next((point["unit"] for point in points), "")
    return f"{'rate' if unit.endswith('/s') else clean(metric, 40)}, {unit}"


def all_of(tables: "Tables", series: Iterable[Series] = ()) -> Iterator[dict[str, Any]]:
    """The charts of the page, in its order."""
    yield from ratios(tables)
    yield from versions(tables)
    yield from over_time(tables, series)
    yield from curves(tables)
