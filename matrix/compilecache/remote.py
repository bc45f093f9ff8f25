"""Where archives are shared: a directory, or any URL that fsspec knows."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrix.incoming import behind, shown, told
from matrix.schema import hint

SUFFIX = ".tar.gz"


class RemoteFailed(Exception):  # noqa: N818  it carries the reason
    """A remote does not answer, or refuses."""


def refusal(url: str) -> str:
    """Why a URL names no remote at all, or ""; nobody is asked."""
    import fsspec  # noqa: PLC0415  only where a remote is named

    if url.endswith("://"):
        return f"`{url}` names no place: write the folder behind it, or a path"
    for part in url.split("::"):
        scheme = part.partition("://")[0]
        try:
            fsspec.get_filesystem_class(scheme)
        except ValueError:
            known = hint(scheme, fsspec.available_protocols())
            return f"`{shown(url)}` is of no scheme that fsspec has; {known}"
        except ImportError as error:
            return f"`{shown(url)}` needs a package that is not installed: {error}"
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A folder of archives by their keys' names; all methods raise `RemoteFailed`."""

    url: str

    def source(self, name: str) -> str:
        """The URL or path of one archive."""
        return _inside(self.url, name)

    def has(self, name: str) -> bool:
        """Whether an archive is there."""
        with self._files() as (files, root):
            return _is_there(files, _inside(root, name))

    def names(self) -> list[str]:
        """All archives that are there; none where the folder is not there yet."""
        with self._files() as (files, root):
            if not _is_there(files, root):
                return []
            found = (
                str(path).rstrip("/").rpartition("/")[2] for path in files.ls(root, detail=False)
            )
            return sorted(n for n in found if n.endswith(SUFFIX) and not n.startswith("."))

    def put(self, archive: Path, name: str) -> None:
        """Bring an archive there; nobody sees half of it, and of two the last one stays."""
        with self._files() as (files, root):
            files.makedirs(root, exist_ok=True)
            whole, part = (_inside(root, n) for n in (name, f".{name}.{secrets.token_hex(4)}.part"))
            if files.isdir(whole):  # it would be moved into it
                raise IsADirectoryError(f"`{name}` is a folder there: remove it")
            try:
                files.put_file(str(archive), part)
                files.mv(part, whole)
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
            raise RemoteFailed(f"`{shown(self.url)}`: {told(error)}") from error


def _inside(place: str, name: str) -> str:
    """A name in a folder; what a URL asks for stays behind it."""
    path, mark, query = place.partition("?") if "://" in place else (place, "", "")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def _is_there(files: Any, path: str) -> bool:  # noqa: ANN401  of fsspec
    """What `exists` says, but it also says no of a storage that does not answer."""
    try:
        files.info(path)
    except FileNotFoundError as error:
        if (found := behind(error)) is not error:
            raise found from error
        return False
    return True
