"""Flags of launch commands that the target release of an engine does not have any more."""

import csv
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from matrix.facts import natural
from matrix.lint.findings import Finding

LAUNCHES: Mapping[str, re.Pattern[str]] = {
    "sglang": re.compile(r"sglang[._]launch_server\b|\bsglang\W+serve\b"),
}
_TABLES = {"sglang": "sglang_flags.csv"}
_FLAG = re.compile(r"(?<![\w-])--[a-z0-9][a-z0-9-]*(?![\w-])")
_ENDS = re.compile(r"(?<!&)&&|\|\||[;|]|(?<!\S)&(?!\S)")
_COMMENT = re.compile(r"(?<!\S)#")
_LINE_END = re.compile(r"$")
_BLANK = re.compile(r"\s*(#.*)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An engine's release that launch commands are for."""

    engine: str
    release: str


@functools.cache
def flags(engine: str) -> dict[str, tuple[str, str]]:
    """The first and the last release that has each flag; empty for an engine without a table."""
    if engine not in _TABLES:
        return {}
    with (files("matrix.facts") / _TABLES[engine]).open(encoding="utf-8") as stream:
        rows = [(row["flag"], row["releases_with_flag"]) for row in csv.DictReader(stream)]
    return {flag: (told.partition("..")[0], told.rpartition("..")[2]) for flag, told in rows}


def newest(engine: str) -> str:
    """The newest release of the table."""
    return max((last for _, last in flags(engine).values()), key=natural)


def removed(text: str, path: Path, target: Target) -> Iterator[Finding]:
    """Findings of all launch commands of an engine in a text file."""
    known = flags(target.engine)
    lines = text.splitlines()
    for number, line in enumerate(lines):
        start = LAUNCHES[target.engine].search(line)
        if start is None or line.lstrip().startswith(("#", "//")):
            continue
        for where, column, flag in _flags_of(lines, number, start.end()):
            first, last = known.get(flag, ("", ""))
            if not first or natural(last) >= natural(target.release):
                continue
            yield Finding(
                path=path,
                line=where + 1,
                column=column + 1,
                rule="removed-flag",
                level="error",
                message=f"{target.engine} {target.release} has no `{flag}`: "
                f"it was there from {first} to {last}",
                fix=_instead(flag, target),
            )


def _flags_of(lines: list[str], number: int, column: int) -> Iterator[tuple[int, int, str]]:
    """Flags of the command that begins on a line: their lines, columns, and names."""
    indent = _indent(lines[number])
    for place in range(number, len(lines)):
        line = lines[place]
        if place > number and not _continues(lines[place - 1], line, indent):
            return
        begin = column if place == number else 0
        end = _ENDS.search(line, begin)
        comment = _COMMENT.search(line, begin)
        stop = min(found.start() for found in (end, comment, _LINE_END.search(line)) if found)
        yield from ((place, f.start(), f[0]) for f in _FLAG.finditer(line, begin, stop))
        if end:
            return


def _continues(before: str, line: str, indent: int) -> bool:
    """Whether a line goes on with the command: after a backslash, or as items of a YAML list."""
    if before.rstrip().endswith("\\"):
        return True
    if _BLANK.fullmatch(line):
        return True
    is_item = line.lstrip().startswith(("- ", "--", '"', "'"))
    return is_item and _indent(line) >= indent


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _instead(flag: str, target: Target) -> str:
    """Flags of the target that begin with the same words, or that it has to go."""
    has = [
        name
        for name, (first, last) in flags(target.engine).items()
        if natural(first) <= natural(target.release) <= natural(last)
    ]
    longer = [name for name in has if name.startswith(f"{flag}-")]
    listed = ", ".join(f"`{name}`" for name in sorted(longer))
    return f"use one of {listed}" if longer else "leave it out; its release notes say what is new"
