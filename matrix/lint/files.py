"""Which files lint reads, and what it says of each."""

import ast
import os
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matrix.lint.bounds import bound
from matrix.lint.findings import Finding, kept
from matrix.lint.flags import LAUNCHES, Target, absent
from matrix.lint.kinds import Names, imports_of
from matrix.lint.private import may_use_private, private
from matrix.lint.versions import VERSIONS, compared

MAX_BYTES = 8 << 20
_SCRIPTS = frozenset(
    {".sh", ".bash", ".yaml", ".yml", ".dockerfile", ".service", ".slurm", ".toml"}
)
_NAMES = ("Dockerfile", "Containerfile", "Makefile")
_LEFT = frozenset({"node_modules", "__pycache__", "site-packages"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All findings in order, how many files were read, and why others were not.

    `bounded` are the requirements for which private names were not looked for.
    """

    findings: tuple[Finding, ...]
    read: int
    unread: tuple[str, ...]
    bounded: tuple[str, ...] = ()

    def of(self, *levels: str) -> tuple[Finding, ...]:
        """Findings of some levels."""
        return tuple(finding for finding in self.findings if finding.level in levels)


def lint(paths: Iterable[Path], targets: Iterable[Target]) -> Report:
    """Read files, and all of folders; an engine without a target has none of its commands read."""
    wanted = tuple(targets)
    findings: list[Finding] = []
    unread: list[str] = []
    bounded: list[str] = []
    read: set[Path] = set()
    for path in paths:
        if limit := bound(path):
            bounded.append(limit)
        for file in files_of(path):
            if file in read:
                continue
            try:
                findings += of_file(file, wanted, notes=not limit)
            except (OSError, SyntaxError, ValueError, RecursionError) as error:
                unread.append(f"{file}: {type(error).__name__}: {error}")
                continue
            read.add(file)
    return Report(
        findings=tuple(sorted(findings)),
        read=len(read),
        unread=tuple(unread),
        bounded=tuple(dict.fromkeys(bounded)),
    )


def files_of(path: Path) -> Iterator[Path]:
    """A file, or those of a folder that rules are about, hidden folders left out."""
    if path.is_file():
        yield path
        return
    for place, folders, names in os.walk(path):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in _LEFT)
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        for name in sorted(names):
            file = Path(place, name)
            if file.suffix == ".py" or file.suffix in _SCRIPTS or name.startswith(_NAMES):
                yield file


def of_file(path: Path, targets: tuple[Target, ...], *, notes: bool = True) -> list[Finding]:
    """What is found in one file; raises where it cannot be read or is no Python.

    Without `notes` private names are not looked for.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    found: list[Finding] = []
    if path.suffix == ".py":
        with tokenize.open(path) as stream:  # the encoding that the file declares
            text = stream.read()
        found += _of_python(text, path, notes=notes)
    else:
        text = path.read_text(encoding="utf-8")
    for target in targets:
        if path.suffix != ".py" and LAUNCHES[target.engine].search(text):
            found += absent(text, path, target)
    return list(kept(found, path, text))


def _of_python(text: str, path: Path, *, notes: bool) -> Iterator[Finding]:
    """Findings of a Python file; a rule that its text gives no reason for walks no tree."""
    versions = VERSIONS.search(text)
    notes = notes and "torch" in text
    if not versions and not notes:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's backslashes
        tree = ast.parse(text, str(path))
    names = Names(imports=imports_of(tree))
    if versions:
        yield from compared(tree, names, path)
    if notes and may_use_private(text, names):
        yield from private(tree, names, path)
