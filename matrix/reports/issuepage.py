"""Actions on issues as titles and Markdown, and the mark by which an issue is found again."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from matrix.issues import PASSING_NIGHTS, Action, Failure, Issue
from matrix.reports.markdown import code, known_lines, table_lines
from matrix.reports.marks import mark
from matrix.reports.reasons import known_of
from matrix.reports.text import clean

SHOWN = 20
_STATES = ("OPEN", "CLOSED")
_MARK = re.compile(r"<!-- torch-matrix cause ([0-9a-f]{12}) -->")


def read_issues(data: object) -> tuple[list[Issue], list[str]]:
    """Issues out of `gh issue list --json number,state,body`, and all that is wrong with it.

    Issues without a mark are left out: they are others'.
    """
    if not isinstance(data, list):
        return [], ["it is no list"]
    found: list[Issue] = []
    problems: list[str] = []
    for place, item in enumerate(data, 1):
        if wrong := list(_mistakes(item)):
            problems.extend(f"issue {place} of {len(data)}: {text}" for text in wrong)
        elif marks := _MARK.findall(item["body"]):  # the last: a reason may have one
            opened = item["state"].upper() == "OPEN"
            found.append(Issue(number=item["number"], cause=marks[-1], open=opened))
    return found, problems


def _mistakes(item: object) -> Iterator[str]:
    if not isinstance(item, dict):
        yield "it is no object"
        return
    number = item.get("number")
    if type(number) is not int or number < 1:  # a bool is an int too
        yield "`number` must be a whole number from 1 on"
    if str(item.get("state", "")).upper() not in _STATES:
        yield f"`state` must be one of {', '.join(_STATES)}"
    if not isinstance(item.get("body"), str):
        yield "`body` must be a text"


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
        f"Came on {_day(action.since)}: new, or back after {PASSING_NIGHTS} nights that passed.",
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
            f"Last seen on {_day(action.last)}: everything that showed it passed on "
            f"{PASSING_NIGHTS} nights since.\n"
        )
    return "\n".join([f"It is back on {_day(action.since)}.", "", *_where(action.failures), ""])


def _where(failures: Iterable[Failure]) -> list[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for one in failures:
        groups.setdefault((one.place[0], one.place[1]), []).append(
            one.place[3] or f"suite {one.place[2]}"
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
