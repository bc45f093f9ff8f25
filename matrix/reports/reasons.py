"""Why something is not a pass or has no number, grouped so that a root cause is one line."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matrix.reports.lines import records
from matrix.reports.marks import loudness
from matrix.reports.names import Names
from matrix.reports.text import clean

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = re.compile(r"error \S{1,40}(?: > |, tolerance )[^\s:;,]{1,40}(?: \([^()]{1,80}\))?")


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something is not a pass: subjects with the same verdict, reason and columns."""

    verdict: str
    subjects: list[str]
    reason: str
    count: str
    labels: list[str]


def causes(problems: "pd.DataFrame", suites: Iterable[str], *, others: bool = False) -> list[Cause]:
    """Group the problems of some suites (or of all `others`), so that a root cause is one line."""
    chosen = set(suites)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in records(problems):
        if (line["suite"] in chosen) != others:
            groups.setdefault((line["verdict"], line["reason"], line["labels"]), []).append(line)
    found = []
    for (verdict, reason, labels), lines in groups.items():
        part = [f"{x['tests']} of {x['of']} tests" for x in lines if x["tests"] < x["of"]]
        found.append(
            Cause(
                verdict=verdict,
                subjects=[clean(line["subject"], 80) for line in lines],
                reason=_reason(verdict, reason),
                count=part[0] if len(lines) == len(part) == 1 else "",
                labels=list(labels),
            )
        )
    return found


def _reason(verdict: str, reason: str) -> str:
    """One line; of a wrong result the error and the tolerance are never what is cut away."""
    line = clean(reason)
    numbers = _NUMBERS.search(" ".join(reason.split())) if verdict.startswith("wrong") else None
    if not numbers or clean(numbers[0]) in line:
        return line
    return clean(f"{numbers[0]}: {clean(reason, 300 - len(numbers[0]) - 2)}")


def unmeasured(features: "pd.DataFrame") -> list[Cause]:
    """Features without a result, grouped by the columns in which they have none."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for (_, name, _), cells in zip(features.index, features.to_numpy(), strict=True):
        pairs = zip(features.columns, cells, strict=True)
        labels = tuple(str(label) for label, verdict in pairs if verdict == "not measured")
        if labels:
            groups.setdefault(labels, []).append(clean(name, 80))
    return [
        Cause(verdict="not measured", subjects=some, reason="", count="", labels=list(labels))
        for labels, some in groups.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Cells without results for the same reason."""

    verdict: str
    reason: str
    source: str
    cells: list[str]


def gaps(cells: "pd.DataFrame") -> list[Gap]:
    """Group the cell table by verdict, reason and source, loudest first."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for line in records(cells):
        source = f"{line['kind']}: {line['source']}"
        source = clean(", ".join(filter(None, [source, line["date"][:10]])))
        where = " ".join(filter(None, [line["cell"], line["execution"], line["suite"]]))
        key = (line["verdict"], clean(line["reason"] or "no reason given"), source)
        groups.setdefault(key, []).append(clean(where, 140))
    found = [Gap(verdict=v, reason=r, source=s, cells=some) for (v, r, s), some in groups.items()]
    return sorted(found, key=lambda gap: loudness(gap.verdict))


def why_lines(
    lines: Sequence[tuple[tuple[str, ...], dict[str, dict[str, Any]]]], short: Names
) -> list[tuple[str, str, str]]:
    """Why values are not comparable or unstable: (mark, where, reason), one per reason."""
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for key, cells in lines:
        for label, cell in cells.items():
            unstable = cell["status"] == "unstable"
            kind = "~ unstable" if unstable else "n/c" if cell["ratio"] == "n/c" else ""
            if kind and cell["why"]:
                found = groups.setdefault((kind, clean(cell["why"])), {})
                found.setdefault(clean(" ".join(filter(None, key[:2])), 60), []).append(label)
    sentences = []
    for (kind, why), rows in groups.items():
        seen = {label for some in rows.values() for label in some}
        where = short.several([label for label in short.tokens if label in seen])
        what = ", ".join(rows) if len(rows) <= 3 else f"{len(rows)} workloads"  # noqa: PLR2004
        sentences.append((kind, f"{what} in {where}", why))
    return sentences
