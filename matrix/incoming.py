"""Bundles from elsewhere: folders, archives and URLs as plain folders on this machine.

Whoever packed them is a stranger: nothing leaves the folder it is unpacked to, links and devices
are refused, and so is an archive that is cut short or larger than `CAPS`.
"""

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from matrix.engines.archives import Caps, extract, name_refusal

CAPS = Caps(file=256 << 20, total=4 << 30, files=500_000)
_CHUNK = 1 << 20
_ZIPPED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # zipfile unpacks others in one piece
_CREDENTIALS = re.compile(r"(//)[^/\s]*@|[^/\s:]+:[^/\s]+@")
_QUERY = re.compile(r"(://[^\s?#]*)[?#]\S+|\?[^\s=?]+=\S+")
_OPENERS: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ", lzma.open),
)
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)


class SourceRefused(Exception):  # noqa: N818  it carries the reason
    """A source cannot be read, or holds what no bundle has; the message says which."""


class SourceUnreachable(SourceRefused):
    """Nothing of a source was read: what it holds is unknown."""


@contextmanager
def folder_of(source: str, caps: Caps = CAPS) -> Iterator[Path]:
    """A source as a folder: itself, or a temporary one that is gone afterwards.

    Raises `SourceRefused`.
    """
    if "://" not in source and Path(source).is_dir():
        yield Path(source)
        return
    with _unpacked(source, caps, folders=True) as folder:
        yield folder


@contextmanager
def archive_of(source: str, caps: Caps = CAPS) -> Iterator[Path]:
    """A source that has to be an archive, as a temporary folder; raises `SourceRefused`."""
    if "://" not in source and Path(source).is_dir():
        raise SourceRefused("it is a folder, no archive")
    with _unpacked(source, caps, folders=False) as folder:
        yield folder


@contextmanager
def _unpacked(source: str, caps: Caps, *, folders: bool) -> Iterator[Path]:
    with TemporaryDirectory(prefix="torch-matrix-merge-") as name:
        unpacked = Path(name) / "unpacked"
        unpacked.mkdir()
        if "://" in source:
            _fetch(source, unpacked, Path(name) / "archive", caps, folders=folders)
        elif Path(source).is_file():
            unpack(Path(source), unpacked, caps)
        else:
            raise SourceUnreachable("there is no such file or folder")
        yield unpacked


def shown(text: str) -> str:
    """A source, or a text with URLs in it, without what may be a password or a signature."""
    return _QUERY.sub(r"\1?…", _CREDENTIALS.sub(r"\1…@", text))


def behind(error: Exception) -> Exception:
    """The error itself, or why there was no answer: fsspec then says that there is no such file."""
    why = error.__cause__
    unanswered = isinstance(why, OSError) and not isinstance(why, FileNotFoundError)
    return why if unanswered and isinstance(why, Exception) else error


def told(error: Exception) -> str:
    """A storage's error as one line without secrets."""
    found = behind(error)
    return shown(" ".join(f"{type(found).__name__}: {found}".split()))[:300]


def _fetch(source: str, folder: Path, archive: Path, caps: Caps, *, folders: bool) -> None:
    """Copy what lies at a URL, of any kind that fsspec knows."""
    try:
        is_folder = _download(source, folder, archive, caps, folders=folders)
    except SourceRefused:
        raise
    except Exception as error:  # each kind of storage has errors of its own
        raise SourceUnreachable(f"it cannot be fetched: {told(error)}") from error
    if not is_folder:
        unpack(archive, folder, caps)


def _download(source: str, folder: Path, archive: Path, caps: Caps, *, folders: bool) -> bool:
    """Copy a folder of files, or one file to `archive`; says whether it is a folder."""
    import fsspec  # noqa: PLC0415  only where a URL is named

    files, root = fsspec.core.url_to_fs(source)
    if not (folders and files.isdir(root)):
        with files.open(root, "rb") as stream:
            _copy(stream, archive, caps.total, shown(source))
        return False
    names = sorted(files.find(root))
    if len(names) > caps.files:
        raise SourceRefused(f"more than {caps.files} files")
    left = caps.total
    for name in names:
        relative = name.removeprefix(root.rstrip("/") + "/")
        if reason := name_refusal(relative):
            raise SourceRefused(f"{ascii(relative)[:200]}: {reason}")
        with files.open(name, "rb") as stream:
            left -= _copy(stream, folder / relative, min(caps.file, left), relative)
    return True


def unpack(archive: Path, folder: Path, caps: Caps, *, links: bool = False) -> None:
    """Unpack a zip, or a tar however compressed, whole; raises `SourceRefused`.

    `links` in a tar are passed over where that is asked for, else refused.
    """
    if zipfile.is_zipfile(archive):
        _unzip(archive, folder, caps)
        return
    got = extract(_chunks(archive), folder, caps, links=links)
    if not got.files and "the archive is broken" in "".join(got.complaints):
        raise SourceRefused("it is no zip or tar archive, or a broken one")
    if got.complaints or not got.files:
        raise SourceRefused("; ".join(got.complaints[:3]) or "it is an empty archive")


def _chunks(archive: Path) -> Iterator[bytes]:
    """A tar, whatever it is compressed with."""
    with archive.open("rb") as stream:
        magic = stream.read(6)
    open_it = next((opener for mark, opener in _OPENERS if magic.startswith(mark)), open)
    try:
        with open_it(archive, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except _UNREADABLE as error:
        raise tarfile.ReadError(str(error)) from error


def _unzip(archive: Path, folder: Path, caps: Caps) -> None:
    left = caps.total
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            if len(members) > caps.files:
                raise SourceRefused(f"more than {caps.files} files")
            for member in members:
                name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
                reason = name_refusal(name)
                if kind not in {0, stat.S_IFREG}:
                    reason = "it is no regular file"
                elif member.compress_type not in _ZIPPED:
                    reason = "it is compressed in a way that needs any amount of memory"
                if reason:
                    raise SourceRefused(f"{ascii(name)[:200]}: {reason}")
                path = folder / PurePosixPath(name)
                with file.open(member) as stream:
                    left -= _copy(stream, path, min(caps.file, left), name)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, *_UNREADABLE) as error:
        why = " ".join(str(error).split())[:200]
        raise SourceRefused(f"the archive is broken: {why}") from error


def _copy(stream: IO[bytes], path: Path, cap: int, name: str) -> int:
    """Copy to a new file; returns its bytes. Raises `SourceRefused` past the cap."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("xb") as target:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > cap:
                raise SourceRefused(f"{ascii(name)[:200]} is larger than {cap >> 20} MiB")
            target.write(chunk)
    return size
