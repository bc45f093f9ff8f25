"""What changed between runs: verdicts of the same test in the same execution, before and now."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from matrix.rows import BAD, NOT_EVIDENCE, Row

Change = Literal["first-seen", "new", "known", "gone", "now skipped", "missing", "flaky"]


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
    """Findings over all tests of `now`, and over those of `before` that are there no more.

    Infrastructure faults are never a baseline, nor is what another model of GPU did, and what the
    user waived is no finding. Where the recipe did not change and the verdict did, the test is
    `flaky`, whichever way it went. `before` is in the order of time.
    """
    new = {_key(row): row for row in now if row.verdict and row.verdict not in NOT_EVIDENCE}
    models = {key[:3]: _model(row) for key, row in new.items() if _model(row)}
    old = {
        _key(row): row
        for row in before
        if row.verdict and row.verdict not in NOT_EVIDENCE
        if _model(row) in {"", models.get(_key(row)[:3], _model(row))}
    }
    worked = {key[:3] for key, row in old.items() if row.verdict == "pass" and "::" in row.test}
    findings = []
    for key, row in new.items():
        was = old[key].verdict if key in old else ""
        if not was and "::" not in row.test and key[:3] in worked:
            was = "pass"  # the suite worked, and now its cell or one of its files gets no further
        change = _change(was, row.verdict)
        if key in old and _by_chance(old[key], row):
            change = "flaky"
        if row.waiver:
            change = None
        if change:
            findings.append(_finding(change, row, was, row.verdict))
    ran = {key[:3] for key, row in new.items() if row.test}
    findings += [
        _finding("missing", row, row.verdict, "")
        for key, row in old.items()
        if key not in new and key[:3] in ran and row.verdict == "pass"
    ]
    return findings


def _finding(change: Change, row: Row, before: str, now: str) -> Finding:
    return Finding(
        change=change,
        cell=row.cell,
        execution=row.execution,
        suite=row.suite,
        test=row.test,
        before=before,
        now=now,
        reason=row.reason,
    )


def _key(row: Row) -> tuple[str, str, str, str]:
    return row.cell, row.execution, row.suite, row.test


def _model(row: Row) -> str:
    """The model of its GPU; "" on processors, and where it got to none."""
    return "" if row.execution.endswith("-cpu") else row.device_model


def _by_chance(before: Row, now: Row) -> bool:
    """Whether nothing that we know of made the difference; a skip is of the machine."""
    verdicts = {before.verdict, now.verdict}
    same = bool(now.recipe) and before.recipe == now.recipe
    return same and len(verdicts) > 1 and "skip" not in verdicts and not before.waiver


def _change(before: str, now: str) -> Change | None:
    if now in BAD:
        if not before:
            return "first-seen"
        return "known" if before in BAD else "new"
    if before == "pass" and now in {"skip", "unsupported"}:
        return "now skipped"
    return "gone" if before in BAD else None
