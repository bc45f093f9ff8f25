"""What changed between runs: verdicts of the same test in the same execution, before and now."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from matrix.rows import BAD, NOT_EVIDENCE, Row

Change = Literal["first-seen", "new", "known", "gone"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One wrong result, or one that is gone, beside what it was before ("" without a baseline)."""

    change: Change
    cell: str
    execution: str
    suite: str
    test: str
    before: str
    now: str
    reason: str


def compare(before: Iterable[Row], now: Iterable[Row]) -> list[Finding]:
    """Findings over all tests of `now`.

    Infrastructure faults are never a baseline, and what the user waived is no finding.
    """
    old = {_key(row): row for row in before if row.verdict and row.verdict not in NOT_EVIDENCE}
    findings = []
    for row in now:
        if not row.verdict or row.waiver or row.verdict in NOT_EVIDENCE:
            continue
        was = old.get(_key(row))
        change = _change(was.verdict if was else "", row.verdict)
        if change:
            findings.append(
                Finding(
                    change=change,
                    cell=row.cell,
                    execution=row.execution,
                    suite=row.suite,
                    test=row.test,
                    before=was.verdict if was else "",
                    now=row.verdict,
                    reason=row.reason,
                )
            )
    return findings


def _key(row: Row) -> tuple[str, str, str, str]:
    return row.cell, row.execution, row.suite, row.test


def _change(before: str, now: str) -> Change | None:
    if now in BAD:
        if not before:
            return "first-seen"
        return "known" if before in BAD else "new"
    return "gone" if before in BAD else None
