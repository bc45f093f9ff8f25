"""What changed between two runs, as text, Markdown and data; what is wrong comes first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from matrix.diff import Changed, Difference
from matrix.judge import Finding
from matrix.reports.markdown import code, table_lines
from matrix.reports.marks import loudness, mark
from matrix.reports.text import clean

ORDER = ("new", "flaky", "first-seen", "known", "missing", "now skipped", "gone", "changed")
MEANING: Mapping[str, str] = {
    "new": "wrong now, and was not",
    "flaky": "another outcome of the same recipe",
    "first-seen": "wrong, without a counterpart in the first run",
    "known": "wrong before and now",
    "missing": "passed, and is there no more",
    "now skipped": "passed, and does not run or is refused now",
    "gone": "wrong before, and is no more",
    "changed": "another verdict",
}

SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One change of a test, in all executions where it is the same."""

    kind: str
    test: str
    before: str
    now: str
    reason: str
    where: tuple[str, ...]

    @property
    def verdicts(self) -> str:
        """`pass → fail`."""
        return " → ".join(dict.fromkeys(mark(v).word if v else "not there" for v in self._steps))

    @property
    def marks(self) -> str:
        """`✓ pass → ✗ fail`."""
        return " → ".join(dict.fromkeys(str(mark(v)) if v else "not there" for v in self._steps))

    @property
    def _steps(self) -> tuple[str, ...]:
        """Before and now; what was seen for the first time has no before."""
        return (self.before, self.now) if self.before else (self.now,)


def lines(found: Difference) -> list[Line]:
    """The changes, loudest first; executions with the same change share a line."""
    groups: dict[tuple[str, str, str, str, str], list[str]] = {}
    every: list[Finding | Changed] = [*found.findings, *found.changed]
    for one in every:
        kind = one.change if isinstance(one, Finding) else "changed"
        key = (kind, one.test or f"suite {one.suite}", one.before, one.now, one.reason)
        groups.setdefault(key, []).append(_where(one))
    made = [
        Line(kind=kind, test=test, before=before, now=now, reason=reason, where=tuple(where))
        for (kind, test, before, now, reason), where in groups.items()
    ]
    kinds = [*ORDER, *sorted({line.kind for line in made}.difference(ORDER))]
    return sorted(made, key=lambda x: (kinds.index(x.kind), loudness(x.now or "pass"), x.test))


def _where(one: Finding | Changed) -> str:
    return f"{one.cell} {one.execution}"


def counts(found: Difference) -> str:
    """How many tests changed in which way."""
    kinds: dict[str, int] = {}
    for line in lines(found):
        kinds[line.kind] = kinds.get(line.kind, 0) + len(line.where)
    told = [f"{count} {kind}" for kind, count in kinds.items()]
    return ", ".join([*told, f"{found.same} unchanged"])


def summary(found: Difference) -> str:
    """All of it in a sentence."""
    told = [counts(found)]
    parts = (("added", found.added), ("left out", found.left_out), ("excluded", found.excluded))
    told += [f"{len(some)} {what}" for what, some in parts if some]
    return f"{found.before} → {found.now}: {', '.join(told)}"


def render(found: Difference) -> str:
    """Write it for a terminal; ends with a newline."""
    out = [clean(summary(found))]
    made = lines(found)
    for kind in dict.fromkeys(line.kind for line in made):
        out += ["", f"{kind}: {MEANING.get(kind, '')}".rstrip(": ")]
        for line in made:
            if line.kind == kind:
                out.append(f"  {clean(line.test, 160)}: {line.verdicts}")
                out += [
                    f"    {clean(text)}" for text in (_several(line.where), line.reason) if text
                ]
    for title, texts in _rest(found):
        out += ["", title, *(f"  {clean(text)}" for text in _first(texts))]
    return "\n".join(out) + "\n"


def _several(where: Sequence[str]) -> str:
    shown = ", ".join(where[:6])
    return f"{shown} and {len(where) - 6} more" if len(where) > 6 else shown  # noqa: PLR2004


def _rest(found: Difference) -> Iterator[tuple[str, list[str]]]:
    """What is on one side alone."""
    left_out = [f"{' '.join(place)}: {why}".rstrip(": ") for place, why in found.left_out.items()]
    groups = {
        "added: suites of executions that only the second has": [" ".join(p) for p in found.added],
        "left out: suites of executions that only the first has": left_out,
        "excluded: combinations that only the second excludes": _reasons(found.excluded),
        "included: combinations that only the first excludes": _reasons(found.included),
    }
    return ((title, texts) for title, texts in groups.items() if texts)


def _first(texts: list[str]) -> list[str]:
    """As many as are read; `--json` has all."""
    if len(texts) <= SHOWN:
        return texts
    return [*texts[:SHOWN], f"and {len(texts) - SHOWN} more"]


def _reasons(excluded: Mapping[str, str]) -> list[str]:
    return [f"{name}: {reason}" for name, reason in excluded.items()]


def markdown(found: Difference) -> str:
    """Write it for an issue or a step summary; ends with a newline."""
    out = [f"**{code(summary(found))}**", ""]
    head = ["", "test", "verdict", "where", "reason"]
    made = [
        [
            line.kind,
            code(line.test, 160),
            line.marks,
            code(_several(line.where)),
            code(line.reason),
        ]
        for line in lines(found)
    ]
    if made:
        out += [*table_lines(head, made), ""]
    for title, texts in _rest(found):
        out += [f"{title}", "", *(f"- {code(text)}" for text in _first(texts)), ""]
    return "\n".join(out)


def since_last(found: Difference) -> str:
    """A line of Markdown for the top of a report."""
    run, _, others = found.now.partition(" ")
    beside = f" {others}" if others else ""
    return f"Beside the runs before, run {code(run)}{beside} has: {counts(found)}."


def as_json(found: Difference) -> dict[str, Any]:
    """It for machines; places are lists of cell, execution and suite."""
    names = ("cell", "execution", "suite")
    return {
        "before": found.before,
        "now": found.now,
        "unchanged": found.same,
        "findings": [asdict(finding) for finding in found.findings],
        "changed": [asdict(change) for change in found.changed],
        "added": [dict(zip(names, place, strict=True)) for place in found.added],
        "left_out": [
            dict(zip(names, place, strict=True)) | {"reason": why}
            for place, why in found.left_out.items()
        ],
        "excluded": dict(found.excluded),
        "included": dict(found.included),
    }
