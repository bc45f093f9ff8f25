"""The numbers of a workload as text: a place and a metric at a time, a line per execution."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from matrix.reports import plain
from matrix.reports.text import clean, number, scale
from matrix.trend import Course, Trend, overlap

HEAD = ("torch", "variant", "median", "±", "to the line above", "verified", "runs", "range")

NOTE = (
    "median ± half the interquartile range of the newest run, range of all runs' medians; "
    "a ratio above 1 is better; ~ in doubt, or no more than the same execution varies; "
    "n/c not compared: one of the two is in doubt, or other tests ran"
)


def render(found: Sequence[Trend]) -> str:
    """Write the trends; ends with a newline."""
    name = clean(found[0].workload, 80)
    parts = [f"workload {name} (measured); {NOTE}\n"]
    for trend in found:
        by, unit = scale([course.values[-1].median for course in trend.courses], trend.unit)
        pairs = zip([None, *trend.courses], trend.courses, strict=False)
        lines = [_line(trend, course, before, by) for before, course in pairs]
        what = clean(" ".join(filter(None, [trend.metric, trend.params])), 160)
        parts.append(f"{clean(trend.place, 120)}\n{what}, {unit}\n{plain.render(HEAD, lines)}")
    return "\n".join(parts)


def _line(trend: Trend, course: Course, before: Course | None, by: float) -> tuple[object, ...]:
    now = course.values[-1]
    medians = [value.median * by for value in course.comparable]
    ratio = trend.ratio(course, before) if before else None
    earlier = len(course.values) - len(medians)
    changed = f"{earlier} more of an older test" if earlier else ""
    span = f"{number(min(medians))} to {number(max(medians))}" if medians[1:] else ""
    build = " ".join(filter(None, [course.track.variant, course.track.companions]))
    return (
        course.track.torch, build, f"{'~ ' * bool(now.why)}{number(now.median * by)}",
        f"{now.spread / now.median * 50:.1f}%" if now.spread and now.median else "",
        _ratio(ratio, course, before), now.time[:10], len(medians),
        "; ".join(filter(None, [span, changed])),
    )  # fmt: skip


def _ratio(ratio: float | None, course: Course, before: Course | None) -> str:
    if ratio is None or before is None:
        return "n/c" if before else ""
    return f"{'~' * overlap(course, before)}{ratio:.2f}×"


def as_json(found: Sequence[Trend]) -> dict[str, Any]:
    """The trends for machines, with every run's value."""
    return {"workload": found[0].workload, "trends": [_trend(trend) for trend in found]}


def _trend(trend: Trend) -> dict[str, Any]:
    told = {name: value for name, value in asdict(trend).items() if name != "courses"}
    courses = []
    for course in trend.courses:
        track = {k: v for k, v in asdict(course.track).items() if k != "sights"}
        courses.append(track | {"values": [asdict(value) for value in course.values]})
    return told | {"executions": courses}
