"""What lint says, and the comments that silence it."""

import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matrix.schema import hint

Level = Literal["error", "warning", "note", "unknown"]
RULES = ("version-as-text", "version-label", "absent-flag", "private-api", "ignore")
_WORD = "matrix: ignore["
_IGNORE = re.compile(r"# *matrix: ignore\[([a-z, -]*)\][ \t]*(.*)")


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Finding:
    """One mistake: `line` and `column` count from 1. Of `error`, it is wrong today already.

    Of `unknown`, nobody knows whether it is one.
    """

    path: Path
    line: int
    column: int
    rule: str
    level: Level
    message: str
    fix: str


def kept(findings: Iterable[Finding], path: Path, text: str) -> Iterator[Finding]:
    """Findings of a file that no comment on their line silences, and comments that silence none."""
    ignored: dict[int, set[str]] = {}
    for number, column, comment in _comments(text, path) if _WORD in text else ():
        if (found := _IGNORE.search(comment)) is None:
            continue
        rules = {rule.strip() for rule in found[1].split(",")}
        problem = _mistake(rules, found[2].strip())
        if not problem:
            ignored[number] = rules
            continue
        yield Finding(
            path=path,
            line=number,
            column=column + found.start() + 1,
            rule="ignore",
            level="warning",
            message=f"`{found[0].strip()}` silences nothing: {problem}",
            fix="write `# matrix: ignore[rule] why`",
        )
    yield from (f for f in findings if f.rule not in ignored.get(f.line, ()))


def _comments(text: str, path: Path) -> Iterator[tuple[int, int, str]]:
    """Lines, columns and texts of comments: in Python a string is none, elsewhere any line may be.

    Lines count from 1, columns from 0.
    """
    if path.suffix != ".py":
        yield from ((number, 0, line) for number, line in enumerate(text.split("\n"), 1))
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield (*token.start, token.string)


def _mistake(rules: set[str], reason: str) -> str:
    """What is wrong with a comment, or ""."""
    if unknown := sorted(rules - set(RULES)):
        return f"no rule `{unknown[0]}`; {hint(unknown[0], list(RULES))}"
    return "" if reason else "it gives no reason"
