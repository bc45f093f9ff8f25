"""Source archives of other projects, whose own tests run over the matrix."""

import hashlib
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from matrix.engines.archives import Caps
from matrix.incoming import SourceRefused, unpack
from matrix.indexes import PYPI, pip_files, pip_settings

MAX_BYTES = 512 << 20
CAPS = Caps(file=MAX_BYTES, total=MAX_BYTES, files=100_000)
TIMEOUT = 30.0  # seconds of silence
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
                unpack(_fetch(source, place, env), place / "tree", CAPS, links=True)
            except (OSError, SourceRefused, LookupError, ValueError) as error:
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
    from pypi_simple import (  # noqa: PLC0415  brings requests, 150 ms
        NoSuchProjectError,
        PyPISimple,
    )

    urls = settings.get("index-url") or [PYPI]
    urls += [url for url in settings.get("extra-index-url", ()) if url.startswith("http")]
    if settings.get("no-index", ["0"])[0].lower() in {"1", "true", "yes", "on"}:
        urls = []
    refusals = []
    for url in urls:
        with PyPISimple(url) as client:
            if cert := settings.get("cert"):
                client.s.verify = cert[0]
            try:
                page = client.get_project_page(canonicalize_name(wanted.name), timeout=TIMEOUT)
            except (NoSuchProjectError, OSError) as error:  # another index may have it
                refusals.append(str(error))
                continue
            for package in page.packages:
                if package.package_type == "sdist" and package.version == version:
                    path = place / Path(package.filename).name
                    digests = bool(package.digests)
                    client.download_package(package, path, verify=digests, timeout=TIMEOUT)
                    return path
    reasons = "".join(f"; {refusal}" for refusal in refusals)
    message = f"no index has a source archive of {wanted.name} {version}{reasons}"
    raise LookupError(message)
