"""Flags of launch commands that the target release of an engine does not have, or not for long."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from matrix.facts import flags as tables
from matrix.facts import natural
from matrix.facts.flags import Flag, Stretch
from matrix.lint.findings import Finding, Level
from matrix.lint.launches import Given, Launch

Told = tuple[Level, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An engine's release that launch commands are for; one whose flags are known."""

    engine: str
    release: str
    named_on: int = 0
    """The line of the file that names the release; 0 where none does."""

    def __str__(self) -> str:
        line = f" (line {self.named_on} names it)" if self.named_on else ""
        return f"{self.engine} {self.release}{line}"


def newest(engine: str) -> str:
    """The newest release whose flags are known."""
    return list(tables.releases(engine))[-1]


def absent(launch: Launch, path: Path, target: Target) -> Iterator[Finding]:
    """Findings of the flags of one launch; a single one where nobody knows the release's flags."""
    if target.release not in tables.releases(target.engine):
        last = newest(target.engine)
        message = f"no flags are known of {target}; the newest known is {last}"
        yield _finding(path, launch, "unknown", message, "`sync` reads new releases")
        return
    for flag in launch.flags:
        if told := judged(flag.name, target):
            yield _finding(path, flag, *told)


def _finding(path: Path, at: Launch | Given, level: Level, message: str, fix: str) -> Finding:
    return Finding(
        path=path, line=at.line, column=at.column, rule="absent-flag", level=level,
        message=message, fix=fix,
    )  # fmt: skip


def judged(written: str, target: Target) -> Told | None:
    """What is wrong with a flag in a release; None where nothing is, or no release has it."""
    name = written.replace("_", "-") if target.engine == "vllm" else written  # as its parser does
    known = _names(target.engine, target.release)
    if (flag := known.get(name)) is not None:
        use = f"use `{flag.instead}`" if flag.instead else "leave it out"
        if flag.status == "refused":
            return "error", f"`{written}` only stops the launch of {target}", use
        return ("warning", f"`{written}` is deprecated in {target}", use) if flag.status else None
    spans = _spans(target.engine).get(name)
    if not spans:
        return None
    first, last = spans[0].since, spans[-1].until
    if natural(first) > natural(target.release):
        return "error", f"{target} has no `{written}`: it comes with {first}", "leave it out"
    message = f"{target} has no `{written}`: it was last in {last}"
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
