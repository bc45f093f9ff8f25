"""Tables → what the page shows at once, as plain values for JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matrix.cells import parse_companion, parse_id
from matrix.features import Feature
from matrix.reports.lines import is_number, own_baselines, percent, ratio_mark, records, workloads
from matrix.reports.marks import MARKS, Mark, loudness, mark
from matrix.reports.names import names
from matrix.reports.reasons import Cause, Gap, every, gaps
from matrix.reports.text import clean, number, scale
from matrix.rows import BAD, WAIVED, Verdict
from matrix.tables.releases import place_of
from matrix.tables.verdicts import FLAKY, NOT_MEASURED

if TYPE_CHECKING:
    from matrix.tables import Tables

_AXES = ("cell", "torch", "variant", "python", "device", "backend")


def for_script(data: object) -> str:
    """JSON that no HTML parser can leave or read anything else in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"})


class Marks:
    """Verdicts by number: a table of many cells names each of them once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {NOT_MEASURED: 0}

    def __call__(self, verdict: str) -> int:
        """The number of a verdict."""
        return self._places.setdefault(verdict, len(self._places))

    def table(self) -> list[dict[str, str]]:
        """How each verdict looks, and its `rank` among them (0 is the loudest), by number."""
        ranks = {verdict: rank for rank, verdict in enumerate(sorted(self._places, key=loudness))}
        return [
            _look(verdict, mark(verdict)) | {"rank": ranks[verdict]} for verdict in self._places
        ]


def _look(verdict: str, look: Mark) -> dict[str, Any]:
    return {
        "verdict": clean(verdict, 40),
        "symbol": look.symbol,
        "word": look.word,
        "short": look.short,
        "look": style_of(verdict),
        "kind": "unknown" if verdict in {NOT_MEASURED, Verdict.NOT_RUN} else "measured",
        "trouble": verdict in BAD | {FLAKY} or style_of(verdict) == "fail",
    }


def style_of(verdict: str) -> str:
    """Name of a verdict's look in the style sheet; an unknown word looks like a failure."""
    if verdict.endswith(f" {WAIVED}"):
        return WAIVED
    return verdict.replace(" ", "-") if verdict in MARKS else "fail"


def columns(tables: "Tables") -> list[dict[str, Any]]:
    """One per execution, in the order of the tables."""
    short = names(tables.executions)
    found = []
    for label, line in zip(
        map(str, tables.executions.index), records(tables.executions), strict=True
    ):
        axes = {name: clean(str(line[name] or ""), 120) for name in _AXES}
        companions = [part for part in str(line["companions"]).split(";") if part]
        found.append(
            axes
            | {"label": clean(label, 160), "short": clean(short.short[label], 80)}
            | {"tokens": [clean(token, 40) for token in short.tokens[label]]}
            | {"companions": [clean(part, 60) for part in companions]}
            | {"model": clean(line["device_model"], 80), "place": clean(place_of(line), 120)}
            | {"provision": clean(line["provision"], 20), "stale": clean(line["stale"], 200)}
            | {"last": clean(line["last"][:10], 10)}
        )
    return found


def features(tables: "Tables", declared: Iterable[Feature], marks: Marks) -> list[dict[str, Any]]:
    """One per feature, with a verdict number for every column."""
    known = {one.id: one for one in declared}
    order = [str(label) for label in tables.executions.index]
    unknown = marks(NOT_MEASURED)
    found = []
    for (group, name, title), cells in zip(
        tables.features.index, tables.features.to_numpy(), strict=True
    ):
        by_label = dict(zip(map(str, tables.features.columns), cells, strict=True))
        one = known.get(str(name))
        found.append(
            {
                "group": clean(str(group), 60),
                "id": clean(str(name), 120),
                "title": clean(str(title), 200) if title != name else "",
                "purpose": one.purpose if one else "",
                "tests": [[case.name, case.doc] for case in one.tests] if one else [],
                "needs": list(one.needs) if one else [],
                "cells": [
                    marks(str(by_label[label])) if label in by_label else unknown for label in order
                ],
            }
        )
    return found


def suites(tables: "Tables", marks: Marks) -> list[dict[str, Any]]:
    """One per file of the user's suites, with `[[verdict number, tests], …]` for every column."""
    order = [str(label) for label in tables.executions.index]
    found = []
    for (suite, file), cells in zip(tables.suites.index, tables.suites.to_numpy(), strict=True):
        by_label = dict(zip(map(str, tables.suites.columns), cells, strict=True))
        counts = [by_label.get(label) or {} for label in order]
        found.append(
            {"suite": clean(str(suite), 60), "file": clean(str(file), 160)}
            | {"cells": [[[marks(v), n] for v, n in one.items()] for one in counts]}
        )
    return found


def throughput(tables: "Tables", marks: Marks) -> list[dict[str, Any]]:
    """One per workload and metric, with what to write (or why not) for every column."""
    order = [str(label) for label in tables.executions.index]
    found = []
    for (name, params, metric, unit), cells in workloads(tables.workloads):
        values = [cell for cell in cells.values() if is_number(cell)]
        by, shown = scale([cell["median"] for cell in values], unit)
        rated = [cell for cell in values if cell["rate"]]
        times, rate_unit = scale([c["rate"] for c in rated], rated[0]["rate_unit"] if rated else "")
        found.append(
            {"workload": clean(name, 60), "params": clean(params), "metric": clean(metric, 40)}
            | {"unit": clean(shown, 16), "rate_unit": clean(rate_unit, 16)}
            | {"cells": [_value(cells.get(label), by, times, marks) for label in order]}
        )
    return found


def baselines(tables: "Tables") -> list[list[str]]:
    """What ratios are to: the named baseline, then those in its place with the columns' names."""
    short = names(tables.executions)
    own = own_baselines(tables).items()
    found = [["", tables.baseline or ""], *([short.several(some), base] for base, some in own)]
    return [[clean(where), clean(base, 160)] for where, base in found if base]


def _value(
    cell: Mapping[str, Any] | None, by: float, times: float, marks: Marks
) -> dict[str, Any] | None:
    if cell is None or cell["status"] == NOT_MEASURED:
        return None
    if cell["status"] != "value":
        found = {"verdict": marks(cell["status"]), "why": clean(cell["why"] or "")}
        return found | ({"value": number(cell["median"] * by)} if is_number(cell) else {})
    return {
        "value": number(cell["median"] * by),
        "spread": percent(cell),
        "rate": number(cell["rate"] * times) if cell["rate"] else "",
        "ratio": ratio_mark(cell),
        "why": clean(cell["why"] or ""),
    }


def untested(tables: "Tables", planned: Sequence[str]) -> list[dict[str, Any]]:
    """Cells without results, with the reason; those that were planned and never ran, too."""
    tried = {str(cell) for cell in tables.executions["cell"]} | {*map(str, tables.cells["cell"])}
    never = [
        Gap(verdict="not-run", reason="in the matrix file, and no result is here", source="",
            cells=[cell for cell in planned if cell not in tried])
    ]  # fmt: skip
    found = []
    for gap in [*gaps(tables.cells), *never]:
        kind, _, source = gap.source.partition(": ")
        for where in gap.cells:
            torch, variant, python = parse_id(where.split(" ")[0]) or ("", "", "")
            package, _ = parse_companion(where.split(" ")[0]) or ("", "")
            look = mark(gap.verdict)
            found.append(
                {"cell": where, "symbol": look.symbol, "word": look.word}
                | {"look": style_of(gap.verdict), "kind": kind or "unknown"}
                | {"reason": gap.reason, "source": source, "torch": torch, "variant": variant}
                | {"python": python, "companions": [package] if package else []}
                | {"cause": gap.known.cause if gap.known else ""}
                | {"fix": gap.known.fix if gap.known else ""}
            )
    return found


def root_causes(tables: "Tables") -> list[dict[str, Any]]:
    """What did not pass, one per root cause, loudest first; refusals and skips are no causes."""
    order = {str(label): place for place, label in enumerate(tables.executions.index)}
    found = every(records(tables.problems))
    return [
        _cause(cause, order)
        for cause in found
        if cause.verdict.removesuffix(" waived") not in {"unsupported", "skip", "not-run"}
    ]


def _cause(cause: Cause, order: Mapping[str, int]) -> dict[str, Any]:
    look = mark(cause.verdict)
    return {
        "symbol": look.symbol,
        "word": look.word,
        "look": style_of(cause.verdict),
        "reason": cause.reason,
        "cause": cause.known.cause if cause.known else "",
        "fix": cause.known.fix if cause.known else "",
        "source": cause.known.source if cause.known else "",
        "places": [
            [place.subjects, [order[label] for label in place.labels]] for place in cause.places
        ],
    }
