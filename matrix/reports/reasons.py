"""Why something is not a pass or has no number, grouped so that a root cause is one line."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matrix.cells import parse_id
from matrix.reports.lines import records
from matrix.reports.marks import loudness
from matrix.reports.names import Names
from matrix.reports.text import clean
from matrix.rows import BAD, WAIVED, Verdict
from matrix.signatures import Known, explain, without_places

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = re.compile(r"error \S{1,40}(?: > |, tolerance )[^\s:;,]{1,40}(?: \([^()]{1,80}\))?")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Subjects (features, workloads, files) that share their columns."""

    subjects: list[str]
    labels: list[str]


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something is not a pass, where, and what is known about it."""

    verdict: str
    places: list[Place]
    reason: str = ""
    count: str = ""
    known: Known | None = None


def wrong(problems: "pd.DataFrame") -> list[Cause]:
    """Wrong numbers of any suite, but those that the user accepts: what is reported first."""
    return _grouped(line for line in records(problems) if line["verdict"] == Verdict.WRONG)


def causes(problems: "pd.DataFrame", suites: Iterable[str], *, others: bool = False) -> list[Cause]:
    """Group the problems of some suites (or of all `others`), but for what is `wrong`.

    A failure's signature makes it one entry over features and columns; a refusal, a skip and what
    is waived are one where reason and columns are the same.
    """
    chosen = set(suites)
    return _grouped(
        line
        for line in records(problems)
        if (line["suite"] in chosen) != others and line["verdict"] != Verdict.WRONG
    )


def every(problems: Iterable[dict[str, Any]]) -> list[Cause]:
    """Group lines of problems of all suites, what is `wrong` first."""
    return _grouped(sorted(problems, key=lambda line: line["verdict"] != Verdict.WRONG))


def _grouped(lines: Iterable[dict[str, Any]]) -> list[Cause]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in lines:
        verdict = line["verdict"]
        failed = verdict in BAD and verdict != Verdict.WRONG
        key = (line["signature"],) if failed else (without_places(line["reason"]), line["labels"])
        groups.setdefault((verdict, *key), []).append(line)
    return [_cause(verdict, group) for (verdict, *_), group in groups.items()]


def _cause(verdict: str, lines: list[dict[str, Any]]) -> Cause:
    places: dict[tuple[str, ...], list[str]] = {}
    for line in lines:
        places.setdefault(line["labels"], []).append(clean(line["subject"], 80))
    part = [f"{x['tests']} of {x['of']} tests" for x in lines if x["tests"] < x["of"]]
    reason = lines[0]["reason"]
    return Cause(
        verdict=verdict,
        places=[Place(subjects=some, labels=list(labels)) for labels, some in places.items()],
        reason=_reason(verdict, reason),
        count=part[0] if len(lines) == len(part) == 1 else "",
        known=known_of(verdict, reason),
    )


def known_of(verdict: str, reason: str) -> Known | None:
    """What is known about a failure; of a refusal or a skip its own reason says all."""
    base = verdict.removesuffix(f" {WAIVED}")
    return explain(reason) if base in BAD | {Verdict.INFRA, "flaky"} else None


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
        Cause(verdict="not measured", places=[Place(subjects=some, labels=list(labels))])
        for labels, some in groups.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Cells without results for the same reason."""

    verdict: str
    reason: str
    source: str
    cells: list[str]
    known: Known | None = None


def gaps(cells: "pd.DataFrame") -> list[Gap]:
    """Group the cell table by verdict, reason and source, loudest first.

    Reasons that differ only in the cell's own release are one, with `…` for it.
    """
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for line in records(cells):
        source = f"{line['kind']}: {line['source']}"
        source = clean(", ".join(filter(None, [source, line["date"][:10]])))
        where = " ".join(filter(None, [line["cell"], line["execution"], line["suite"]]))
        reason = clean(line["reason"] or "no reason given")
        release = (parse_id(line["cell"]) or [""])[0]
        key = (line["verdict"], reason.replace(release, "…") if release else reason, source)
        groups.setdefault(key, []).append((clean(where, 140), reason))
    found = []
    for (verdict, common, source), some in groups.items():
        reasons = {reason for _, reason in some}
        reason = reasons.pop() if len(reasons) == 1 else common
        found.append(
            Gap(verdict=verdict, reason=reason, source=source, cells=[where for where, _ in some],
                known=known_of(verdict, reason))
        )  # fmt: skip
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
                found.setdefault(clean(" ".join(filter(None, key[:2]))), []).append(label)
    sentences = []
    for (kind, why), rows in groups.items():
        seen = {label for some in rows.values() for label in some}
        where = short.several([label for label in short.tokens if label in seen])
        what = ", ".join(rows) if len(rows) <= 3 else f"{len(rows)} workloads"  # noqa: PLR2004
        sentences.append((kind, f"{what} in {where}", why))
    return sentences
