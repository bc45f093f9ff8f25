"""Where archives are shared: a directory, or any URL that fsspec knows."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrix.incoming import shown

SUFFIX = ".tar.gz"


class RemoteFailed(Exception):  # noqa: N818  it carries the reason
    """A remote does not answer, or refuses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A folder of archives by their keys' names; all methods raise `RemoteFailed`."""

    url: str

    def source(self, name: str) -> str:
        """The URL or path of one archive."""
        return f"{self.url.rstrip('/')}/{name}"

    def has(self, name: str) -> bool:
        """Whether an archive is there."""
        with self._files() as (files, root):
            return bool(files.exists(f"{root}/{name}"))

    def names(self) -> list[str]:
        """All archives that are there; none where the folder is not there yet."""
        with self._files() as (files, root):
            if not files.exists(root):
                return []
            found = (
                str(path).rstrip("/").rpartition("/")[2] for path in files.ls(root, detail=False)
            )
            return sorted(n for n in found if n.endswith(SUFFIX) and not n.startswith("."))

    def put(self, archive: Path, name: str) -> None:
        """Bring an archive there; nobody sees half of it, and of two the last one stays."""
        with self._files() as (files, root):
            files.makedirs(root, exist_ok=True)
            part = f"{root}/.{name}.{secrets.token_hex(4)}.part"
            try:
                files.put_file(str(archive), part)
                files.mv(part, f"{root}/{name}")
            except BaseException:
                with suppress(Exception):
                    files.rm(part)
                raise

    @contextmanager
    def _files(self) -> Iterator[tuple[Any, str]]:
        import fsspec  # noqa: PLC0415  only where a remote is named

        try:
            files, root = fsspec.core.url_to_fs(self.url)
            files.invalidate_cache()  # other machines write there too
            yield files, str(root).rstrip("/")
        except Exception as error:  # each kind of storage has errors of its own
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise RemoteFailed(f"`{shown(self.url)}`: {shown(why)}") from error
