"""What of a user's suite travels into a container: what its recipe is made of, no more."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from matrix import tracked
from matrix.backends import CellFailed
from matrix.definition import Suite
from matrix.resources import files_under

MAX_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Travelling:
    """Where a suite runs in a cell, and files by their place below its folder there.

    None: they are there already.
    """

    cwd: PurePosixPath
    tests: tuple[PurePosixPath, ...]
    files: Mapping[str, bytes | Path] | None = None


def tree(folder: Path) -> dict[str, bytes | Path]:
    """Files of a folder by their names relative to it; hidden and generated ones stay."""
    return {path.relative_to(folder).as_posix(): path for path in files_under(folder)}


def suite_files(
    suite: Suite, folder: Path, tests: tuple[Path, ...], place: PurePosixPath
) -> Travelling:
    """Lay a suite out below `place` as it lies on this machine, so that its imports work.

    Of a source archive all travels. Raises `CellFailed`.
    """
    places = (folder,) if suite.source else tracked.places(suite)
    chosen = {file for path in places for file in files_under(path)}
    size = sum(path.stat().st_size for path in chosen)
    if size > MAX_BYTES:
        reason = (
            f"the suite `{suite.name}` has {size >> 20} MiB of files beside its tests, more than "
            f"the {MAX_BYTES >> 20} MiB that go into a container; give it a folder of its own"
        )
        raise CellFailed("infra", reason)
    folders = [folder, *(_folder(test) for test in tests), *(path.parent for path in chosen)]
    root = Path(os.path.commonpath([path.absolute() for path in folders]))
    return Travelling(
        cwd=place / folder.absolute().relative_to(root),
        tests=tuple(place / test.absolute().relative_to(root) for test in tests),
        files={path.absolute().relative_to(root).as_posix(): path for path in sorted(chosen)},
    )


def _folder(test: Path) -> Path:
    return test if test.is_dir() else test.parent
