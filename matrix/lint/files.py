"""Which files lint reads, and what it says of each."""

import ast
import os
import stat
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matrix.lint.argv import written
from matrix.lint.bounds import bound
from matrix.lint.findings import Finding, kept
from matrix.lint.flags import Target, absent
from matrix.lint.kinds import Names, imports_of
from matrix.lint.launches import Launch, launches, may_launch
from matrix.lint.named import aimed
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

    `unjudged` are launch commands for a release that nobody knows; `named` are those that were
    judged by a release that their file names; `bounded` are the requirements for which private
    names were not looked for.
    """

    findings: tuple[Finding, ...]
    unjudged: tuple[Finding, ...]
    read: int
    unread: tuple[str, ...]
    named: tuple[str, ...] = ()
    bounded: tuple[str, ...] = ()

    def of(self, *levels: str) -> tuple[Finding, ...]:
        """Findings of some levels."""
        return tuple(finding for finding in self.findings if finding.level in levels)


def lint(paths: Iterable[Path], targets: Iterable[Target]) -> Report:
    """Read files, and all of folders; an engine without a target has none of its commands read."""
    wanted = tuple(targets)
    findings: list[Finding] = []
    named: list[str] = []
    unread: list[str] = []
    bounded: list[str] = []
    read: set[Path] = set()
    for path in paths:
        if limit := bound(path):
            bounded.append(limit)
        files = list(files_of(path, unread))
        if not files:
            unread.append(f"{path}: it has no file that a rule is about")
        for file in files:
            if file in read:
                continue
            try:
                found, releases = of_file(file, wanted, notes=not limit)
            except (OSError, SyntaxError, ValueError, RecursionError) as error:
                unread.append(f"{file}: {type(error).__name__}: {error}")
                continue
            findings += found
            named += releases
            read.add(file)
    return Report(
        findings=tuple(sorted(f for f in findings if f.level != "unknown")),
        unjudged=tuple(sorted(f for f in findings if f.level == "unknown")),
        read=len(read),
        unread=tuple(unread),
        named=tuple(named),
        bounded=tuple(dict.fromkeys(bounded)),
    )


def files_of(path: Path, unread: list[str]) -> Iterator[Path]:
    """A file, or those of a folder that rules are about, hidden folders left out.

    Folders that cannot be listed are added to `unread`.
    """
    if not path.is_dir():
        yield path
        return
    for place, folders, names in os.walk(path, onerror=lambda error: unread.append(str(error))):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in _LEFT)
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        for name in sorted(names):
            file = Path(place, name)
            if file.suffix == ".py" or file.suffix in _SCRIPTS or name.startswith(_NAMES):
                yield file


def of_file(
    path: Path, targets: tuple[Target, ...], *, notes: bool = True
) -> tuple[list[Finding], list[str]]:
    """What is found in one file, and its launches with the releases that it names for them.

    Raises where it cannot be read or is no Python. Without `notes` private names are not looked
    for.
    """
    text = _text(path)
    found: list[Finding] = []
    named: list[str] = []
    commands: Iterable[Launch] = ()
    if path.suffix != ".py":
        commands = launches(text, path)
    elif tree := _tree(text, path, notes=notes):
        found += _of_python(tree, text, path, notes=notes)
        commands = written(tree) if may_launch(text) else ()
    for launch, target in aimed(commands, text, path, targets):
        found += absent(launch, path, target)
        if target.named_on:
            named.append(f"{path}:{launch.line}: {target}")
    return list(kept(found, path, text)), named


def _text(path: Path) -> str:
    """The text of a file, which may be no pipe or device: those have no end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    if path.suffix != ".py":
        return path.read_text(encoding="utf-8")
    with tokenize.open(path) as stream:  # the encoding that the file declares
        return stream.read()


def _tree(text: str, path: Path, *, notes: bool) -> ast.Module | None:
    """The tree of a Python file; None where its text gives no rule a reason to walk one."""
    if not (VERSIONS.search(text) or may_launch(text) or (notes and "torch" in text)):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's backslashes
        return ast.parse(text, str(path))


def _of_python(tree: ast.Module, text: str, path: Path, *, notes: bool) -> Iterator[Finding]:
    """Findings of a Python file that are not of its commands."""
    names = Names(imports=imports_of(tree))
    if VERSIONS.search(text):
        yield from compared(tree, names, path)
    if notes and "torch" in text and may_use_private(text, names):
        yield from private(tree, names, path)
