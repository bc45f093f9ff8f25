"""The source files of a serving engine where it lies: a wheel, a source archive, or a folder."""

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)

from matrix.errors import InputError

if TYPE_CHECKING:
    from matrix.facts.static import Read

LIMIT = 4 << 20  # bytes of one source file


@contextmanager
def opened(engine: str, place: Path) -> Iterator[tuple[str, "Read"]]:
    """(version by its file name or "", text of a file by its path in the package).

    Raises `InputError` for what is none of the three.
    """
    try:
        if place.is_dir():
            yield "", lambda name: _text(place, engine, name)
        elif place.suffix == ".whl":
            with zipfile.ZipFile(place) as wheel:
                yield str(parse_wheel_filename(place.name)[1]), lambda name: _member(wheel, name)
        elif place.name.endswith(".tar.gz"):
            with tarfile.open(place) as archive:
                # the package lies under `python/` or at the top, below the folder of the release
                part = f"/{engine}/"
                names = {f"{engine}/{path.split(part, 1)[1]}": path
                         for path in archive.getnames() if part in path}  # fmt: skip
                version = str(parse_sdist_filename(place.name)[1])
                yield version, lambda name: _extracted(archive, names.get(name))
        else:
            problem = f"`{place}` is no wheel, .tar.gz or folder"
            raise InputError("source:", [problem])
    except (OSError, zipfile.BadZipFile, tarfile.TarError, InvalidWheelFilename,
            InvalidSdistFilename) as error:  # fmt: skip
        raise InputError("source:", [f"`{place}` cannot be read: {error}"]) from None


def _text(folder: Path, engine: str, name: str) -> str | None:
    for base in (folder, folder / "python"):
        path = base / name
        if path.is_file() and path.stat().st_size <= LIMIT:
            return path.read_text(encoding="utf-8", errors="replace")
    # the folder may be the package itself
    path = folder.parent / name
    if folder.name == engine and path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    return None


def _member(wheel: zipfile.ZipFile, name: str) -> str | None:
    try:
        info = wheel.getinfo(name)
    except KeyError:
        return None
    return wheel.read(info).decode("utf-8", errors="replace") if info.file_size <= LIMIT else None


def _extracted(archive: tarfile.TarFile, path: str | None) -> str | None:
    file = archive.extractfile(path) if path else None
    return file.read(LIMIT).decode("utf-8", errors="replace") if file else None
