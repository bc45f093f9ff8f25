"""Build contexts as tar files that are equal byte for byte whenever what they hold is equal."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from matrix.engines.archives import mode_of, write

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

    Owner, times and rights are fixed, so that an engine finds unchanged files unchanged.
    """
    stream = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  the caller closes it
    write(stream, files)
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
        path.chmod(mode_of(content))
