"""Pull and push one key: what is there, whether it fits, and what a miss is nearest to."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matrix.compilecache.archive import CacheRefused, Manifest, describe, install, opened, pack
from matrix.compilecache.key import CacheKey, refusal
from matrix.compilecache.remote import Remote

GROWN = 1.1
"""How much larger than what was pulled it must be to be pushed again.

Suites that compile random programs leave some new code each time, which nobody will ever ask for.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """What came of a pull: `manifest` is None for a miss, and then `note` says what is there.

    Of a hit the `note` says what of it is of no use here. `files` are new in the folder.
    """

    manifest: Manifest | None = None
    files: int = 0
    note: str = ""


def pull(
    remote: Remote,
    key: CacheKey,
    place: str,
    target: Path,
    wanted: Callable[[], bool] = lambda: True,
) -> Pulled:
    """Bring the compiled code of a key into a folder; raises `CacheRefused` and `RemoteFailed`.

    It is left where nobody has `wanted` it any more when it had come.
    """
    if reason := refusal(key):
        raise CacheRefused([reason])
    if not remote.has(key.name):
        return Pulled(note=nearest(key, remote.names()))
    with opened(remote.source(key.name)) as (folder, manifest):
        if manifest.key != key:
            found = [f"it is of another key: {d}" for d in key.differences(manifest.key)]
            raise CacheRefused(found)
        new = install(folder, manifest, target, place) if wanted() else 0
    note = ""
    if manifest.place != place:
        note = "torch lay in another folder: graphs and Triton's kernels are found, C++ kernels not"
    return Pulled(manifest=manifest, files=new, note=note)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What a folder holds, as a hash; `new` says whether it was sent. `files`, bytes unpacked."""

    content: str
    new: bool
    files: int
    size: int


def push(
    remote: Remote, key: CacheKey, place: str, folder: Path, known: Manifest | None = None
) -> Pushed:
    """Bring a folder's compiled code to the remote, unless most of it is the `known` one there.

    Raises `CacheRefused` and `RemoteFailed`.
    """
    if reason := refusal(key):
        raise CacheRefused([reason])
    manifest = describe(folder, key, place)
    found = Pushed(
        content=manifest.content,
        new=known is None or manifest.code_size > GROWN * known.code_size,
        files=len(manifest.files),
        size=manifest.size,
    )
    if not found.new:
        return found
    with tempfile.TemporaryDirectory(prefix="torch-matrix-cache-") as name:
        archive = Path(name) / key.name
        pack(folder, manifest, archive)
        remote.put(archive, key.name)
    return found


def nearest(key: CacheKey, names: list[str]) -> str:
    """Say why nothing was found, by the names of what is there."""
    if not names:
        return "nothing is there yet"
    shown = re.compile(r"(torch[a-z0-9._]+)-.*")
    releases = sorted({found[1] for found in map(shown.fullmatch, names) if found})
    own = shown.fullmatch(key.name)
    if own and own[1] not in releases:
        others = ", ".join(releases[:5])
        return f"only of {others}, and this is {own[1]}: no torch uses another one's compiled code"
    return f"{len(names)} archive(s), none of this key; `cache verify` shows their keys"
