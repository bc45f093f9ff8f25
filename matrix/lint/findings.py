"""What lint says, and the comments that silence it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["error", "warning", "note"]
RULES = ("version-as-text", "version-label", "removed-flag", "private-api", "ignore-reason")
_IGNORE = re.compile(r"#\s*matrix:\s*ignore\[([a-z, -]*)\][ \t]*(.*)")


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Finding:
    """One mistake: `line` and `column` count from 1. Of `error`, it is wrong today already."""

    path: Path
    line: int
    column: int
    rule: str
    level: Level
    message: str
    fix: str


def kept(findings: Iterable[Finding], path: Path, text: str) -> Iterator[Finding]:
    """Findings of a file that no comment on their line silences, and comments without a reason."""
    ignored: dict[int, set[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if (found := _IGNORE.search(line)) is None:
            continue
        if found[2].strip():
            ignored[number] = {rule.strip() for rule in found[1].split(",")}
        else:
            yield Finding(
                path=path,
                line=number,
                column=found.start() + 1,
                rule="ignore-reason",
                level="warning",
                message=f"`{found[0].strip()}` gives no reason, so that it silences nothing",
                fix="say after it why the finding is wrong or accepted",
            )
    yield from (f for f in findings if f.rule not in ignored.get(f.line, ()))
