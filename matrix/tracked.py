"""Which files of a user's folder are sources: in a git work tree, what git does not ignore.

What tests write beside themselves would otherwise make their results stale with every run.
"""

import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from matrix import process, resources
from matrix.definition import Suite

GIT_TIMEOUT = 30.0
_MAX_LISTING = 256 << 20  # bytes of names


def places(suite: Suite) -> tuple[Path, ...]:
    """What decides about a user's suite: folders, what lies beside files, conftests above.

    Its recipe is made of that, and that travels into containers.
    """
    if suite.source:
        return ()
    if suite.command:
        return tuple(dict.fromkeys(_named(suite)))
    folders = tuple(path if path.is_dir() else path.parent for path in suite.tests)
    above = {
        parent / "conftest.py"
        for folder in folders
        for parent in folder.parents
        if parent.is_relative_to(suite.folder)
    }
    return (*dict.fromkeys(folders), *sorted(path for path in above if path.is_file()))


def _named(suite: Suite) -> Iterator[Path]:
    """What a command names in its folder, and what such a script may import from beside it."""
    for path in (suite.folder / part for part in suite.command):
        if path.is_dir() and path != suite.folder:
            yield path
        elif path.is_file() and path.parent != suite.folder:
            yield path.parent
        elif path.is_file():
            yield from sorted(path.parent.glob(f"*{path.suffix}"))


@functools.cache
def tree_hash(path: Path) -> str:
    """Hash of names and contents of a user's file, or of the sources in a folder."""
    files = resources.files_under(path)
    listed = _listed(path) if path.is_dir() else None
    if listed is None:
        return resources.files_hash(path, files)
    # a nested repository is listed as its folder
    return resources.files_hash(
        path, (f for f in files if f in listed or not listed.isdisjoint(f.parents))
    )


def _listed(folder: Path) -> frozenset[Path] | None:
    """What git tracks or would track; None outside of a work tree, or where all is ignored."""
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return None
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    try:
        done = process.run(
            command, env=env, cwd=folder, timeout=GIT_TIMEOUT, stop=threading.Event(),
            keep=_MAX_LISTING,
        )  # fmt: skip
    except OSError:  # no git
        return None
    names = [name for name in done.output.split("\0") if name]
    if done.code != 0 or not names or "\ufffd" in done.output:  # a name that is no UTF-8
        return None
    return frozenset(folder / name for name in names)
