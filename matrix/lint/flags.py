"""Flags of launch commands that the target release of an engine does not have, or not for long."""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from matrix.facts import flags as tables
from matrix.facts import natural
from matrix.facts.flags import Flag, Stretch
from matrix.lint.findings import Finding, Level

LAUNCHES: Mapping[str, re.Pattern[str]] = {
    "sglang": re.compile(r"sglang[._]launch_server\b|\bsglang\W+serve\b"),
    "vllm": re.compile(r"vllm\.entrypoints\.(?:openai\.)?api_server\b|\bvllm\W+serve\b"),
}
_FLAG = re.compile(r"(?<![\w-])--[a-z0-9][a-z0-9_-]*(?![\w-])")
_ENDS = re.compile(r"(?<!&)&&|\|\||[;|]|(?<!\S)&(?!\S)")
_COMMENT = re.compile(r"(?<!\S)#")
_LINE_END = re.compile(r"$")
_BLANK = re.compile(r"\s*(#.*)?")
Told = tuple[Level, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An engine's release that launch commands are for; one whose flags are known."""

    engine: str
    release: str


def newest(engine: str) -> str:
    """The newest release whose flags are known."""
    return list(tables.releases(engine))[-1]


def absent(text: str, path: Path, target: Target) -> Iterator[Finding]:
    """Findings of all launch commands of an engine in a text file."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        start = LAUNCHES[target.engine].search(line)
        if start is None or line.lstrip().startswith(("#", "//")):
            continue
        for where, column, flag in _flags_of(lines, number, start.end()):
            if told := judged(flag, target):
                level, message, fix = told
                yield Finding(
                    path=path,
                    line=where + 1,
                    column=column + 1,
                    rule="absent-flag",
                    level=level,
                    message=message,
                    fix=fix,
                )


def judged(written: str, target: Target) -> Told | None:
    """What is wrong with a flag in a release; None where nothing is, or no release has it."""
    name = written.replace("_", "-") if target.engine == "vllm" else written  # as its parser does
    where = f"{target.engine} {target.release}"
    known = _names(target.engine, target.release)
    if (flag := known.get(name)) is not None:
        use = f"use `{flag.instead}`" if flag.instead else "leave it out"
        if flag.status == "refused":
            return "error", f"`{written}` only stops the launch of {where}", use
        return ("warning", f"`{written}` is deprecated in {where}", use) if flag.status else None
    spans = _spans(target.engine).get(name)
    if not spans:
        return None
    first, last = spans[0].since, spans[-1].until
    if natural(first) > natural(target.release):
        return "error", f"{where} has no `{written}`: it comes with {first}", "leave it out"
    message = f"{where} has no `{written}`: it was last in {last}"
    longer = sorted({flag.name for other, flag in known.items() if other.startswith(f"{name}-")})
    if target.engine == "sglang" and len(longer) == 1:  # argparse takes an unambiguous beginning
        message += f", and is now read as `{longer[0]}`"
    gone = tables.retired(target.engine).get(name)
    instead = gone.instead if gone else spans[-1].flag.instead
    if instead:
        return "error", message, f"use `{instead}`" + (f": {gone.why}" if gone else "")
    listed = " or ".join(f"`{other}`" for other in longer)
    return "error", message, f"see whether {listed} is meant" if longer else "leave it out"


@functools.cache
def _names(engine: str, release: str) -> dict[str, Flag]:
    """Flags of a release by name and alias."""
    flags = tables.flags_of(engine, release).values()
    return {name: flag for flag in flags for name in (*flag.aliases, flag.name)}


@functools.cache
def _spans(engine: str) -> dict[str, list[Stretch]]:
    """All stretches of releases that have a flag, by name and alias, oldest first."""
    found: dict[str, list[Stretch]] = {}
    for stretch in sorted(tables.stretches(engine), key=lambda one: natural(one.since)):
        for name in (stretch.flag.name, *stretch.flag.aliases):
            found.setdefault(name, []).append(stretch)
    return found


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
