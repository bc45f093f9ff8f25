"""Where the files lie that travel into cells: in a checkout, or inside the installed package."""

import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_IGNORED = {"__pycache__", "results"}
_PASSING = {".pyc", ".log", ".tmp", ".swp"}


@functools.cache
def _data(name: str) -> Path:
    """A top-level folder of the repository, which a wheel carries under `matrix/_data`."""
    bundled = PACKAGE / "_data" / name
    return bundled if bundled.is_dir() else PACKAGE.parent / name


@functools.cache
def suite_tests(name: str) -> Path:
    """The tests of a built-in suite."""
    return _data("tests") / name


def templates() -> Path:
    """The Jinja templates of Dockerfiles."""
    return _data("dockerfiles")


def inside() -> Path:
    """The package that runs inside cells."""
    return PACKAGE / "inside"


def files_under(path: Path) -> Iterator[Path]:
    """Source files of a folder in a stable order; a file is itself."""
    if path.is_file():
        yield path
        return
    for child in sorted(path.iterdir()) if path.is_dir() else ():
        if child.name in _IGNORED or child.name.startswith(".") or child.suffix in _PASSING:
            continue
        yield from files_under(child)


@functools.cache
def tree_hash(path: Path) -> str:
    """Hash of names and contents of a file or folder."""
    return files_hash(path, files_under(path))


def files_hash(root: Path, files: Iterable[Path]) -> str:
    """Hash of names (relative to `root`) and contents of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0".encode(errors="surrogateescape"))
        digest.update(path.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()[:16]
