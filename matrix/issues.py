"""Root causes of failures over nights, and what to do with an issue for each.

A night is the runs of one day in UTC. A cause comes when a failure shows it for the first time, or
again after it was gone. It is gone once every test that it was seen in has passed on two nights
since: what did not run, was skipped or is waived says nothing. What failed in the first night of
all is known from the beginning and gets no issue.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from matrix.query import Database
from matrix.signatures import normalize

PASSING_NIGHTS = 2
MOST = 20
"""So many issues are opened in a night at most; the rest waits for the next."""
Place = tuple[str, str, str, str]
"""(cell, execution, suite, test); no test where the suite got no further."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A test, or a suite that got no further, that failed in one night."""

    run: str
    place: Place
    subject: str
    verdict: str
    reason: str
    signature: str

    @property
    def cause(self) -> str:
        """What failures of one cause share; wrong numbers differ, so theirs is the subject."""
        text = self.subject if self.verdict == "wrong" else normalize(self.signature or self.reason)
        told = (self.verdict, text or self.subject)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """What failed in one day; `passed` is what passed of all that ever failed."""

    day: str
    passed: frozenset[Place]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Issue:
    """An issue that there is already for a cause."""

    number: int
    cause: str
    open: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """What to do: open an issue, or reopen or close that of `number`, and with what failures.

    `since` is the day the cause came, `last` the newest on which it was seen.
    """

    kind: Literal["open", "reopen", "close"]
    cause: str
    number: int | None
    since: str
    last: str
    failures: tuple[Failure, ...]


_FAILED = """
SELECT run, cell, execution, suite, test, verdict, reason, signature,
    coalesce(nullif(feature, ''), nullif(workload, ''), nullif(test, ''), suite) AS subject
FROM rows WHERE metric = '' AND is_bad(verdict) AND waiver = ''
ORDER BY run, cell, execution, suite, test, reason
"""
_PASSED = """
WITH failing AS (
    SELECT DISTINCT cell, execution, suite, test
    FROM rows WHERE metric = '' AND is_bad(verdict) AND waiver = ''
)
SELECT left(run, 8) AS day, cell, execution, suite, test
FROM rows SEMI JOIN failing USING (cell, execution, suite, test)
WHERE metric = '' AND test <> '' GROUP BY ALL
HAVING bool_or(verdict IN ('pass', 'unsupported')) AND NOT bool_or(is_bad(verdict))
UNION ALL
SELECT left(run, 8) AS day, cell, execution, suite, '' AS test
FROM rows SEMI JOIN (FROM failing WHERE test = '') USING (cell, execution, suite)
WHERE metric = '' AND verdict <> '' GROUP BY ALL
HAVING bool_or(test <> '' AND is_evidence(verdict))
    AND NOT bool_or(test = '' AND is_bad(verdict))
"""
_DAYS = """
SELECT DISTINCT left(run, 8) AS day
FROM rows WHERE metric = '' AND verdict <> '' AND is_evidence(verdict) ORDER BY day
"""


def nights(database: Database) -> list[Night]:
    """All nights of a store, oldest first."""
    passed: dict[str, set[Place]] = {}
    for day, cell, execution, suite, test in database.select(_PASSED).lines:
        passed.setdefault(day, set()).add((cell, execution, suite, test))
    failed: dict[str, list[Failure]] = {}
    for run, cell, execution, suite, test, *told in database.select(_FAILED).lines:
        verdict, reason, signature, subject = told
        failure = Failure(
            run=run, place=(cell, execution, suite, test), subject=subject, verdict=verdict,
            reason=reason, signature=signature,
        )  # fmt: skip
        failed.setdefault(run[:8], []).append(failure)
    return [
        Night(day=day, passed=frozenset(passed.get(day, ())), failures=tuple(failed.get(day, ())))
        for (day,) in database.select(_DAYS).lines
    ]


@dataclass(kw_only=True, slots=True)
class _Course:
    """A cause while the nights go by; `since` is "" while it is away.

    `passed` counts for each place that showed it the nights on which it passed since.
    """

    since: str
    first: bool
    last: str = ""
    failures: tuple[Failure, ...] = ()
    passed: dict[Place, int] = field(default_factory=dict)


def actions(past: Sequence[Night], issues: Iterable[Issue]) -> list[Action]:
    """What to do after the newest of these nights, loudest causes first; again: nothing.

    An issue that somebody closed while its cause was there stays closed until the cause comes anew.
    """
    known = {issue.cause: issue for issue in sorted(issues, key=lambda issue: issue.number)}
    tonight = past[-1].day if past else ""
    made = []
    for cause, course in _courses(past).items():
        issue = known.get(cause)
        kind: Literal["open", "reopen", "close"] | None = None
        if course.since and not course.first and issue is None:
            kind = "open"
        elif course.since == tonight and issue and not issue.open:
            kind = "reopen"
        elif not course.since and issue and issue.open:
            kind = "close"
        if kind:
            number = issue.number if issue else None
            made.append(
                Action(
                    kind=kind, cause=cause, number=number, since=course.since, last=course.last,
                    failures=course.failures,
                )
            )  # fmt: skip
    made.sort(key=lambda a: (a.kind, a.failures[0].verdict != "wrong", -len(a.failures), a.cause))
    late = [action for action in made if action.kind == "open"][MOST:]
    return [action for action in made if action not in late]


def _courses(past: Sequence[Night]) -> dict[str, _Course]:
    found: dict[str, _Course] = {}
    for number, night in enumerate(past):
        tonight: dict[str, list[Failure]] = {}
        for failure in night.failures:
            tonight.setdefault(failure.cause, []).append(failure)
        for cause, failures in tonight.items():
            course = found.get(cause)
            if course is None or not course.since:
                course = found[cause] = _Course(since=night.day, first=number == 0)
            course.last, course.failures = night.day, tuple(failures)
            course.passed |= {failure.place: 0 for failure in failures}
        for course in found.values():
            for place in night.passed & course.passed.keys():
                course.passed[place] += 1
            if min(course.passed.values()) >= PASSING_NIGHTS:
                course.since = ""
    return found
