"""Source archives of other projects, whose own tests run over the matrix."""

import hashlib
import shutil
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from matrix.indexes import pip_files, pip_settings

MAX_BYTES = 512 * 1024 * 1024
PYPI = "https://pypi.org/simple/"
_LOCK = threading.Lock()


class SourceError(Exception):
    """A source archive cannot be had; the message says why."""


def unpacked(source: str, folder: Path, env: Mapping[str, str]) -> Path:
    """Fetch and unpack `name==version`'s source archive once per `folder`; returns its root.

    Raises `SourceError` where no index offers it or it cannot be unpacked safely.
    """
    place = folder / hashlib.sha256(source.encode()).hexdigest()[:12]
    with _LOCK:
        if not (place / "done").exists():
            shutil.rmtree(place, ignore_errors=True)
            (place / "tree").mkdir(parents=True)
            try:
                _unpack(_fetch(source, place, env), place / "tree")
            except (OSError, tarfile.TarError, LookupError, ValueError) as error:
                why = " ".join(str(error).split())
                message = f"the source archive of `{source}` cannot be had: {why}"
                raise SourceError(message) from error
            (place / "done").touch()
    roots = [path for path in (place / "tree").iterdir() if path.is_dir()]
    return roots[0] if len(roots) == 1 else place / "tree"


def _fetch(source: str, place: Path, env: Mapping[str, str]) -> Path:
    wanted = Requirement(source)
    version = next(iter(wanted.specifier)).version
    settings, _ = pip_settings(env, pip_files(env))
    for folder in settings.get("find-links", ()):
        for name in (wanted.name, wanted.name.replace("-", "_")):
            local = Path(folder) / f"{name}-{version}.tar.gz"
            if local.is_file():
                return local
    from pypi_simple import PyPISimple  # noqa: PLC0415  brings requests, 150 ms

    urls = settings.get("index-url") or [PYPI]
    urls += [url for url in settings.get("extra-index-url", ()) if url.startswith("http")]
    for url in urls:
        with PyPISimple(url) as client:
            if cert := settings.get("cert"):
                client.s.verify = cert[0]
            for package in client.get_project_page(canonicalize_name(wanted.name)).packages:
                if package.package_type == "sdist" and package.version == version:
                    path = place / Path(package.filename).name
                    client.download_package(package, path, verify=bool(package.digests))
                    return path
    message = f"no index has a source archive of {wanted.name} {version}"
    raise LookupError(message)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack with the standard library's `data` filter: no absolute paths, links or devices out."""
    with tarfile.open(archive) as tar:
        if sum(member.size for member in tar) > MAX_BYTES:
            message = f"it unpacks to more than {MAX_BYTES >> 20} MiB"
            raise ValueError(message)
        tar.extractall(folder, filter="data")
