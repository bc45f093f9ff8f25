"""Tar archives into and out of containers; what comes out is a stranger's, whatever it says."""

import gzip
import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

_BROKEN = (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError, LookupError)
_CHUNK = 1 << 20
_DEPTH = 16
_NAME = 255
_HEADER = 1 << 20  # of a long name or of attributes, which are read into memory
_HEADERS = {
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
}
_TAIL = 1 << 20  # tar fills its last record, which is far smaller


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """How much is taken from an archive, in bytes and files."""

    file: int = 64 << 20
    total: int = 256 << 20
    files: int = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """What was written, and what was not and why."""

    files: tuple[Path, ...]
    complaints: tuple[str, ...]


class _TooMuch(Exception):  # noqa: N818  never leaves this module
    """The stream is longer than it may be; the message says what of it."""


class _Member(tarfile.TarInfo):
    """A member whose headers are of a size that headers have."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        """Make it of one block; raises `_TooMuch`."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in _HEADERS and member.size > _HEADER:
            raise _TooMuch(f"a header is larger than {_HEADER >> 20} MiB")
        return member


class _Stream(io.RawIOBase):
    """Chunks as a file that ends with `_TooMuch` after `limit` bytes."""

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        super().__init__()
        self._chunks = iter(chunks)
        self._limit = self._left = limit
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Read exactly `size` bytes, fewer only at the end."""
        parts, have = [], 0
        while size < 0 or have < size:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                self._left -= len(self._rest)
                if self._left < 0:
                    raise _TooMuch(f"more than {self._limit >> 20} MiB")
                if not self._rest:
                    break
            part = self._rest if size < 0 else self._rest[: size - have]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            have += len(part)
        return b"".join(parts)


def extract(
    chunks: Iterable[bytes], folder: Path, caps: Caps = Caps(), *, links: bool = False
) -> Extracted:
    """Write the regular files of a tar stream below `folder`; nothing there is replaced.

    `links` are passed over where that is asked for. Else links, and always devices, absolute names
    and `..`, are refused with a complaint; a file longer than its cap is cut. Raises `OSError`
    where this machine's disk refuses.
    """
    files: list[Path] = []
    complaints: list[str] = []
    try:
        stream = _Stream(chunks, caps.total)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
            for member in tar:
                if member.isdir() or (links and (member.issym() or member.islnk())):
                    continue
                if len(files) >= caps.files:
                    complaints.append(f"more than {caps.files} files; the rest was left")
                    break
                if reason := _refusal(member):
                    complaints.append(f"{ascii(member.name)[:200]} was refused: {reason}")
                    continue
                path = folder / PurePosixPath(member.name)
                try:
                    whole = _write(tar, member, path, caps.file)
                except (FileExistsError, NotADirectoryError):
                    complaints.append(
                        f"{ascii(member.name)[:200]} was refused: it is there already"
                    )
                    continue
                files.append(path)
                if not whole:
                    complaints.append(
                        f"{member.name} is larger than {caps.file >> 20} MiB; cut there"
                    )
            else:
                _end(stream)
    except _TooMuch as error:
        complaints.append(f"{error}; the rest was left")
    except _BROKEN as error:
        complaints.append(f"the archive is broken: {type(error).__name__}")
    return Extracted(files=tuple(files), complaints=tuple(complaints))


def _end(stream: _Stream) -> None:
    """Read what a tar is filled up with; raises `_TooMuch` where it is more than that."""
    if len(stream.read(_TAIL + 1)) > _TAIL:
        raise _TooMuch(f"more than {_TAIL >> 20} MiB follow its end")


def _refusal(member: tarfile.TarInfo) -> str:
    """Why a member may not come in, or ""."""
    if not member.isreg() or member.issparse():
        return "it is no regular file"
    return name_refusal(member.name)


def name_refusal(name: str) -> str:
    """Why a file of this name may not come in, or ""."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return "its name leads elsewhere"
    if not name.isprintable() or "\\" in name:
        return "its name has characters that no name needs"
    if len(path.parts) > _DEPTH or any(len(os.fsencode(part)) > _NAME for part in path.parts):
        return "its name is too long"
    return ""


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, cap: int) -> bool:
    """Copy a member's bytes to a new file; says whether all of them fitted."""
    source = tar.extractfile(member)
    assert source is not None  # it is a regular file
    path.parent.mkdir(parents=True, exist_ok=True)
    left = min(member.size, cap)
    with path.open("xb") as target:
        while left > 0 and (data := source.read(min(left, _CHUNK))):
            target.write(data)
            left -= len(data)
    return member.size <= cap


def pack(
    files: Mapping[str, bytes | Path], *, owner: int = 0, folders: Iterable[str] = ()
) -> bytes:
    """A tar of files by their names in it, all of one owner; `folders` are made too."""
    made = io.BytesIO()
    write(made, files, owner=owner, folders=folders)
    return made.getvalue()


def write(
    stream: IO[bytes] | gzip.GzipFile,
    files: Mapping[str, bytes | Path],
    *,
    owner: int = 0,
    folders: Iterable[str] = (),
) -> None:
    """Write such a tar, equal byte for byte whenever what it holds is equal.

    Without PAX headers: BuildKit takes the first of them for a Dockerfile.
    """
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in [*folders, *_parents(files)]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            entry.uid = entry.gid = owner
            tar.addfile(entry)
        for name in sorted(files):
            content = files[name]
            entry = tarfile.TarInfo(name)
            entry.mode = mode_of(content)
            entry.uid = entry.gid = owner
            with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as source:
                entry.size = source.seek(0, os.SEEK_END)
                source.seek(0)
                tar.addfile(entry, source)


def mode_of(content: bytes | Path) -> int:
    """Executable or not, whatever the umask of this checkout was."""
    runs = isinstance(content, Path) and content.stat().st_mode & 0o100
    return 0o755 if runs else 0o644


def _parents(names: Iterable[str]) -> Iterator[str]:
    """Every folder that names lie in, outer ones first."""
    found = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return iter(sorted(found - {"."}))
