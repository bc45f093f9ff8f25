"""Which files of a user's folder are sources: in a git work tree, what git does not ignore.

What tests write beside themselves would otherwise make their results stale with every run.
"""

import functools
import os
import threading
from pathlib import Path

from matrix import process, resources

GIT_TIMEOUT = 30.0
_MAX_LISTING = 256 << 20  # bytes of names


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
