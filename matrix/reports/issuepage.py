"""Actions on issues as titles and Markdown, and the mark by which an issue is found again."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from matrix.issues import SILENT_NIGHTS, Action, Failure, Issue
from matrix.reports.markdown import code, known_lines, table_lines
from matrix.reports.marks import mark
from matrix.reports.reasons import known_of
from matrix.reports.text import clean

SHOWN = 20
_MARK = re.compile(r"<!-- torch-matrix cause ([0-9a-f]{12}) -->")


def read_issues(data: object) -> list[Issue]:
    """Issues out of `gh issue list --json number,state,body`; others' are left out.

    Raises `ValueError` where it is no such list.
    """
    items = data if isinstance(data, list) else [data]
    found = []
    for item in items:
        if not (isinstance(item, dict) and isinstance(item.get("number"), int)):
            message = "an issue has no `number`"
            raise ValueError(message)  # noqa: TRY004  of a file, not of an argument
        if marks := _MARK.findall(str(item.get("body", ""))):  # the last: a reason may have one
            opened = str(item.get("state", "")).upper() == "OPEN"
            found.append(Issue(number=item["number"], cause=marks[-1], open=opened))
    return found


def as_json(action: Action) -> dict[str, Any]:
    """An action for machines: `body` of an issue to open, `comment` of one that there is."""
    told: dict[str, Any] = {"action": action.kind, "cause": action.cause, "number": action.number}
    if action.kind == "open":
        return told | {"title": title(action), "body": _body(action)}
    return told | {"title": title(action), "comment": _comment(action)}


def title(action: Action) -> str:
    """A line without markup."""
    failure = action.failures[0]
    subjects = list(dict.fromkeys(one.subject for one in action.failures))
    more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
    reason = failure.signature or failure.reason
    return clean(f"{failure.verdict}: {subjects[0]}{more}" + (f": {reason}" if reason else ""), 160)


def _body(action: Action) -> str:
    failure = action.failures[0]
    known = known_of(failure.verdict, failure.reason)
    lines = [
        f"{mark(failure.verdict)}: {code(failure.reason)}",
        "",
        *known_lines(known),
        *[""] * bool(known),
        f"Seen on {_day(action.since)} and not before, or not for {SILENT_NIGHTS} nights.",
        "",
        *_where(action.failures),
        "",
        "To run it again:",
        "",
        "```",
        # a cell's id has nothing that a shell or Markdown would read
        *dict.fromkeys(
            f"python -m matrix run --select {re.sub(r'[^a-z0-9._-]', '', one.place[0])} --rerun all"
            for one in action.failures[:3]
        ),
        "```",
        "",
        f"<!-- torch-matrix cause {action.cause} -->",
    ]
    return "\n".join(lines) + "\n"


def _comment(action: Action) -> str:
    if action.kind == "close":
        return (
            f"Not seen since {_day(action.last)}: {SILENT_NIGHTS} nights ran all that it was in.\n"
        )
    return "\n".join([f"It is back on {_day(action.since)}.", "", *_where(action.failures), ""])


def _where(failures: Iterable[Failure]) -> list[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for one in failures:
        groups.setdefault((one.place[0], one.place[1]), []).append(
            one.test or f"suite {one.place[2]}"
        )
    lines = [
        [code(cell), code(execution), code(", ".join(dict.fromkeys(tests)))]
        for (cell, execution), tests in groups.items()
    ]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [*table_lines(["cell", "execution", "tests"], lines[:SHOWN]), *more]


def _day(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}"


def render(made: Iterable[Mapping[str, Any]]) -> str:
    """Actions for a terminal, a line each; ends with a newline where there are any."""
    lines = []
    for item in made:
        number = f"#{item['number']} " if item["number"] else ""
        lines.append(f"{item['action']:<6} {number}{item['title']}\n")
    return "".join(lines)
