"""A folder of compiled code as one archive with a manifest, and back; a stranger may have made it.

Nothing is used before every file was compared with the manifest's hashes.
"""

import gzip
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matrix.compilecache.key import CacheKey, read_key
from matrix.compilecache.remote import RemoteFailed
from matrix.engines.archives import Caps, name_refusal, write
from matrix.errors import InputError
from matrix.incoming import SourceRefused, SourceUnreachable, archive_of, shown

SCHEMA = 1
MANIFEST = "manifest.json"
MANIFEST_MAX = 64 << 20
HEADERS = "headers"
CAPS = Caps(file=512 << 20, total=2 << 30, files=200_000)
_PART_NAMES = (".", "tmp.pid_")  # what Inductor and Triton call files that they still write


class CacheRefused(Exception):  # noqa: N818  it carries the reasons
    """An archive is damaged, of another key, or holds what no cache has; `problems` says what."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems[:3]))
        self.problems = problems


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What is in an archive: `files` by name, each with its bytes and their SHA-256.

    `place` is where torch lay when it was compiled, as a hash.
    """

    key: CacheKey
    place: str
    files: Mapping[str, tuple[int, str]]

    @property
    def content(self) -> str:
        """Hash of all files: archives of equal content are equal."""
        return hashlib.sha256(json.dumps(sorted(self.files.items())).encode()).hexdigest()[:16]

    @property
    def size(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(size for size, _ in self.files.values())

    @property
    def code_size(self) -> int:
        """The same without precompiled headers, which are far larger than all code."""
        items = self.files.items()
        return sum(size for name, (size, _) in items if not name.startswith(f"{HEADERS}/"))


def describe(folder: Path, key: CacheKey, place: str) -> Manifest:
    """The manifest that a folder would have; locks, links and half-written files are left out."""
    files = {n: (path.stat().st_size, _sha256(path)) for n, path in _files_of(folder).items()}
    return Manifest(key=key, place=place, files=files)


def pack(folder: Path, manifest: Manifest, archive: Path) -> None:
    """Write the archive of a folder that was described; raises `CacheRefused` past the caps."""
    problems = [] if manifest.files else [f"nothing compiled in `{folder}`"]
    problems += [
        f"`{name}` is larger than {CAPS.file >> 20} MiB"
        for name, (size, _) in manifest.files.items()
        if size > CAPS.file
    ]
    if manifest.size > CAPS.total or len(manifest.files) >= CAPS.files:
        told = f"{manifest.size >> 20} MiB in {len(manifest.files)} files"
        problems.append(f"{told} is more than a cache may have: empty the folder")
    if problems:
        raise CacheRefused(problems)
    text = json.dumps(_as_json(manifest), indent=1, sort_keys=True)
    files: dict[str, bytes | Path] = {MANIFEST: text.encode()}
    files.update((name, folder / name) for name in manifest.files)
    with archive.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed:
        write(packed, files)


@contextmanager
def opened(source: str) -> Iterator[tuple[Path, Manifest]]:
    """An archive, by path or URL, as a folder that is whole.

    Raises `CacheRefused`, and `RemoteFailed` where nothing of it could be read.
    """
    try:
        with archive_of(source, CAPS) as folder:
            yield folder, _checked(folder)
    except SourceUnreachable as error:
        raise RemoteFailed(f"`{shown(source)}`: {error}") from error
    except SourceRefused as error:
        raise CacheRefused([str(error)]) from error


def install(folder: Path, manifest: Manifest, target: Path, place: str) -> int:
    """Put what was unpacked into a cache folder; returns how many files are new there.

    What is there stays as it is. Precompiled headers are large and only of use where torch lies in
    the same folder. Raises `InputError` where a file is in the way of a folder, or one of a file.
    """
    if problems := sorted(_clashes(manifest, target)):
        raise InputError(f"`{target}` cannot take the cache; name another folder:", problems[:20])
    new = 0
    for name in manifest.files:
        path = target / name
        if path.exists() or (manifest.place != place and name.startswith(f"{HEADERS}/")):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{secrets.token_hex(4)}.part")  # no process may see half a file
        try:
            part.hardlink_to(folder / name)  # what was unpacked is gone afterwards
        except OSError:  # it lies on another disk
            shutil.copyfile(folder / name, part)
        part.replace(path)
        new += 1
    return new


def _clashes(manifest: Manifest, target: Path) -> Iterator[str]:
    folders = {target / parent for name in manifest.files for parent in Path(name).parents}
    yield from (
        f"`{path}` is a file, and a folder is needed there"
        for path in folders
        if os.path.lexists(path) and not path.is_dir()
    )
    yield from (
        f"`{target / name}` is a folder, and a file is needed there"
        for name in manifest.files
        if (target / name).is_dir()
    )


def _files_of(folder: Path) -> dict[str, Path]:
    """Regular files of a cache by their names in it."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(_PART_NAMES) and f != "locks")
        for name in sorted(names):
            path = Path(place, name)
            inside = path.relative_to(folder).as_posix()
            unfinished = name.startswith(_PART_NAMES) or path.suffix in {".lock", ".tmp"}
            if not unfinished and path.is_file() and not path.is_symlink():
                found[inside] = path
    found.pop(MANIFEST, None)
    return {name: path for name, path in found.items() if not name_refusal(name)}


def _checked(folder: Path) -> Manifest:
    """The manifest of an unpacked archive whose files are all as it says."""
    manifest = _read(folder / MANIFEST)
    here = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    del here[MANIFEST]
    problems = [f"`{name}` is not in the manifest" for name in sorted(here.keys() - manifest.files)]
    for name, (size, digest) in manifest.files.items():
        path = here.get(name)
        if path is None:
            problems.append(f"`{name}` is missing")
        elif path.stat().st_size != size or _sha256(path) != digest:
            problems.append(f"`{name}` is damaged: its hash is not the manifest's")
    if problems:
        raise CacheRefused(problems)
    return manifest


def _read(path: Path) -> Manifest:
    if path.is_file() and path.stat().st_size > MANIFEST_MAX:
        raise CacheRefused([f"{MANIFEST} is larger than {MANIFEST_MAX >> 20} MiB"])
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise CacheRefused([f"it has no readable {MANIFEST}: no compile cache"]) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        problem = f"{MANIFEST} is of schema {schema}, this version reads {SCHEMA}"
        raise CacheRefused([f"{problem}: update torch-matrix"])
    manifest = _manifest(data) if schema == SCHEMA else None
    if manifest is None or manifest.content != data.get("content"):
        raise CacheRefused([f"{MANIFEST} is damaged"])
    return manifest


def _manifest(data: Mapping[str, Any]) -> Manifest | None:
    key, place, files = read_key(data.get("key")), data.get("place"), data.get("files")
    if key is None or not isinstance(place, str) or not isinstance(files, dict) or not files:
        return None
    found: dict[str, tuple[int, str]] = {}
    for name, item in files.items():
        match item:
            case [int(size), str(digest)] if not name_refusal(name):
                found[name] = (size, digest)
            case _:
                return None
    return Manifest(key=key, place=place, files=found)


def _as_json(manifest: Manifest) -> dict[str, object]:
    told = {"key": asdict(manifest.key), "place": manifest.place, "files": dict(manifest.files)}
    return {"schema": SCHEMA, "content": manifest.content, **told}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
