"""Build contexts as tar files that are equal byte for byte whenever what they hold is equal."""

import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

Files = Mapping[str, bytes | Path]
"""Path in the context → its bytes, or the file on this disk that has them."""


def folder_files(folder: Path, prefix: str) -> dict[str, bytes | Path]:
    """All regular files below a folder, by their path in the context; links are left out."""
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
    }


def pack(files: Files, folder: Path) -> IO[bytes]:
    """Write a context into an unnamed file in `folder`, at its start again for reading.

    Owner, times and rights are fixed, so that an engine finds unchanged files unchanged. GNU's
    format: BuildKit takes a leading PAX header for the Dockerfile.
    """
    stream = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  the caller closes it
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder_name in sorted({str(p) for name in files for p in _parents(name)}):
            entry = tarfile.TarInfo(folder_name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name in sorted(files):
            _add(archive, name, files[name])
    stream.seek(0)
    return stream


def unpack(files: Files, folder: Path) -> None:
    """Lay the same files out in a folder, for builders that want one."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_bytes(content.read_bytes())
        path.chmod(_mode(content))


def _parents(name: str) -> list[Path]:
    return [parent for parent in Path(name).parents if parent != Path()]


def _mode(content: bytes | Path) -> int:
    """Executable or not, whatever the umask of this checkout was."""
    runs = isinstance(content, Path) and content.stat().st_mode & 0o100
    return 0o755 if runs else 0o644


def _add(archive: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = _mode(content)
    if isinstance(content, bytes):
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        return
    with content.open("rb") as file:
        entry.size = content.stat().st_size
        archive.addfile(entry, file)
