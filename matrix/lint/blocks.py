"""Parts of files of data (YAML, TOML): the lines of one command, and the blocks around a line."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from matrix.lint.words import Part

DATA = frozenset({".yaml", ".yml", ".toml"})
_BLANK = re.compile(r"\s*(#.*|\{\{.*\}\}\s*)?")
_ITEM = re.compile(r"\s*-\s+(?:\"[^\"]*\"|'[^']*'|\{\{.*\}\}|\S*[^\s:])\s*(?:#.*)?")
"""An item of a list that is one word."""


def parts_of(text: str, patterns: Sequence[re.Pattern[str]]) -> Iterator[Part]:
    """The lines of each command that has one of the patterns."""
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    found = (m.start() for pattern in patterns for m in pattern.finditer(text))
    places = sorted({bisect_right(starts, offset) - 1 for offset in found})
    done = 0
    for place in places:
        if place < done or lines[place].lstrip().startswith(("#", "//")):
            continue
        first, done = place, place + 1
        while first and lines[first - 1].rstrip().endswith("\\"):
            first -= 1
        while done < len(lines) and _continues(lines, place, done):
            done += 1
        yield starts[first], starts[done] - 1


def _continues(lines: list[str], start: int, place: int) -> bool:
    """Whether a line goes on with the command that another one starts."""
    before, line = lines[place - 1].rstrip(), lines[place]
    if before.endswith(("\\", ",", "[")) or _BLANK.fullmatch(line):
        return True
    if line.lstrip().startswith("--"):
        return _indent(line) >= _indent(lines[start])
    is_list = _ITEM.fullmatch(line) and _ITEM.fullmatch(lines[start])
    return bool(is_list) and _indent(line) == _indent(lines[start])


def around(lines: Sequence[str], place: int) -> Iterator[range]:
    """The blocks of lines that a line is in, the narrowest first, the whole document last."""
    first, last = place, place
    level = _indent(lines[place])
    while True:
        while first and _belongs(lines[first - 1], level):
            first -= 1
        while last + 1 < len(lines) and _belongs(lines[last + 1], level):
            last += 1
        yield range(first, last + 1)
        if not level:
            return
        level = _indent(lines[first - 1]) if first else 0


def _belongs(line: str, level: int) -> bool:
    return not line.strip() or (_indent(line) >= level and not line.startswith("---"))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
