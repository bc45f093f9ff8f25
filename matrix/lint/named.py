"""Releases of serving engines that a file names: tags of images, exact requirements, variables."""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from matrix.facts.flags import releases
from matrix.lint.blocks import DATA, around
from matrix.lint.flags import Target
from matrix.lint.launches import Launch

_VERSION = (
    r"v?(\d+(?:\.\d+)+(?:[.-]?(?:a|b|rc)\d+)?(?:[.-]?post\d+)?(?:[.-]?dev\d+)?)"
    r"(?![\w.]*[*$]|\.?\d|\.?\{)"  # such as 0.9.* and v0.9.${PATCH}
)
_EXTRAS = r"(?:\[[^\]\s]*\])?"
_IMAGES = {"sglang": "(?:sglang|sgl-dev)", "vllm": "(?:vllm|vllm-openai(?:-rocm)?|vllm-dev)"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A release that a file names, and where; line and column count from 1."""

    version: str
    line: int
    column: int


def aimed(
    found: Iterable[Launch], text: str, path: Path, targets: Iterable[Target]
) -> Iterator[tuple[Launch, Target]]:
    """Launches that have flags, each with the release that its file names for it, or the target.

    Those of an engine without a target are left out.
    """
    wanted = {target.engine: target for target in targets}
    judged = [launch for launch in found if launch.flags and launch.engine in wanted]
    names = {engine: named(text, engine) for engine in {launch.engine for launch in judged}}
    for launch in judged:
        name = nearest(names[launch.engine], launch, text, path)
        yield launch, _target(launch.engine, name) if name else wanted[launch.engine]


def named(text: str, engine: str) -> list[Named]:
    """The releases of an engine that a text names outside of comments, in order."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        code = re.split(r"(?<!\S)#", line, maxsplit=1)[0]
        for match in _pattern(engine).finditer(code):
            version = next(filter(None, match.groups()))
            found.append(Named(version=version, line=number, column=match.start() + 1))
    return found


def nearest(names: Sequence[Named], launch: Launch, text: str, path: Path) -> Named | None:
    """The release that a launch is for: the last one named before it.

    In a file of data it is one of the narrowest block that has any, where it may also come after.
    """
    before = [n for n in names if (n.line, n.column) < (launch.line, launch.column)]
    if path.suffix not in DATA or not names:
        return before[-1] if before else None
    for block in around(text.split("\n"), launch.line - 1):
        inside = [n for n in names if n.line - 1 in block]
        if inside:
            return next((n for n in reversed(before) if n in inside), inside[0])
    return None


def _target(engine: str, name: Named) -> Target:
    """The release as the tables of its engine write it, or as the file does."""
    version = Version(name.version)
    release = next((r for r in releases(engine) if Version(r) == version), name.version)
    return Target(engine=engine, release=release, named_on=name.line)


@functools.cache
def _pattern(engine: str) -> re.Pattern[str]:
    image = _IMAGES[engine]
    ways = (
        rf"\b{engine}{_EXTRAS}\s*(?:=\s*[\"'])?===?\s*{_VERSION}",  # vllm==0.9.2
        rf"\b{image}:(?:[\w.-]*{engine}_)?{_VERSION}",  # vllm/vllm-openai:v0.9.2
        rf"\b{engine}(?:\.git)?@{_VERSION}",  # git+https://…/vllm.git@v0.9.2
        rf"\b{engine}-{_VERSION}(?:\+\w+)?-cp",  # a wheel
        rf"\bclone\b.*(?:-b|--branch)[ =]{_VERSION}\s.*\b{engine}\b",
        rf"\b{engine.upper()}_(?:VERSION|TAG|RELEASE)\b[\"']?\s*(?:=|:-?)\s*[\"']?{_VERSION}",
    )
    return re.compile("|".join(ways))
