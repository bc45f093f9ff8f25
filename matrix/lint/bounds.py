"""Whether what a project requires keeps it from releases of torch that nobody knows yet."""

import email
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from matrix import facts

_UP = 3  # folders above a path that may hold its pyproject.toml


def bound(path: Path) -> str:
    """The requirement of torch that excludes the next release, with where it stands; else ""."""
    newest = facts.version(list(facts.builds())[-1])
    coming = f"{newest.major}.{newest.minor + 1}.0"
    for place, requirement in _requirements(path):
        is_torch = requirement.name.lower() == "torch" and "extra" not in str(requirement.marker)
        if is_torch and not requirement.specifier.contains(coming):
            return f"`{requirement}` in {place}"
    return ""


def _requirements(path: Path) -> Iterator[tuple[Path, Requirement]]:
    """What the nearest project file, or the metadata of an unpacked wheel, requires."""
    here = path.resolve()
    for folder in (here, *list(here.parents)[:_UP]):
        project = folder / "pyproject.toml"
        if project.is_file():
            yield from ((project, r) for r in _read(_of_project(project)))
            return
        if (folder / ".git").exists():
            break
    for metadata in sorted(here.glob("*.dist-info/METADATA")):
        message = email.message_from_bytes(metadata.read_bytes())
        yield from ((metadata, r) for r in _read(message.get_all("Requires-Dist", [])))


def _of_project(path: Path) -> list[object]:
    """The dependencies of a pyproject.toml; none where it cannot be read."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return list(data["project"]["dependencies"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _read(texts: Iterable[object]) -> Iterator[Requirement]:
    for text in texts:
        try:
            yield Requirement(str(text))
        except InvalidRequirement:
            continue
