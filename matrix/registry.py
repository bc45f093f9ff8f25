"""What the indexes of pip's configuration list of a project: the one place that asks them for it.

PEP 691 JSON or PEP 503 HTML, from servers, and folders of wheels. An index that does not answer, or
that gives no METADATA, leaves things unknown.
"""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from matrix.facts.listings import File, Listing, Members
from matrix.indexes import PYPI, pip_files, pip_settings

if TYPE_CHECKING:
    from pypi_simple import DistributionPackage, ProjectPage, PyPISimple

TIMEOUT = 30.0  # seconds of silence
MAX_METADATA = 4 << 20
_NO_ZIP = (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError)
Read = Callable[[str], str | None]


def listings(project: str, env: Mapping[str, str], pytorch_index: str = "") -> Iterator[Listing]:
    """What each place says: the indexes, the folders of wheels, then the PyTorch index."""
    settings, _ = pip_settings(env, pip_files(env))
    indexes = settings.get("index-url") or [PYPI]
    indexes = [*indexes, *settings.get("extra-index-url", ())]
    if settings.get("no-index", ["0"])[0].lower() in {"1", "true", "yes", "on"}:
        indexes, pytorch_index = [], ""
    cert = (settings.get("cert") or [""])[0]
    # by number: an index may be a company's own, and what is said here ends up in pull requests
    for number, url in enumerate(indexes, 1):
        yield _ask(f"index {number}", url, project, cert)
    for number, place in enumerate(settings.get("find-links", ()), 1):
        yield _folder(f"wheels {number}", _path(place), project)
    if pytorch_index:
        yield _ask("PyTorch index", pytorch_index, project, cert)


def _ask(place: str, url: str, project: str, cert: str) -> Listing:
    if urlsplit(url).scheme in {"http", "https"}:
        return _server(place, url, project, cert)
    path = _path(url) / project / "index.html"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Listing(place=place, error="it does not have the project")
    except OSError as error:
        return Listing(place=place, error=f"cannot be read: {error.strerror}")
    from pypi_simple import ProjectPage  # noqa: PLC0415  brings requests, 150 ms

    page = ProjectPage.from_html(project, text, base_url=f"{path.parent.as_uri()}/")
    return listing(place, page, _read_file, lambda url: _members(_path(url)))


def _server(place: str, url: str, project: str, cert: str) -> Listing:
    from pypi_simple import NoSuchProjectError, PyPISimple  # noqa: PLC0415  as above

    client = PyPISimple(url)
    if cert:
        client.s.verify = cert
    try:
        page = client.get_project_page(project, timeout=TIMEOUT)
    except NoSuchProjectError:
        return Listing(place=place, error="it does not have the project")
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        return Listing(place=place, error=f"cannot be reached ({type(error).__name__})")
    packages = {package.url: package for package in page.packages}
    read = partial(_read_server, client, packages)
    return listing(place, page, read, partial(_members_there, client))


def _read_server(
    client: "PyPISimple", packages: Mapping[str, "DistributionPackage"], url: str
) -> str | None:
    """METADATA beside a wheel (PEP 658), else out of it, of which only that part is fetched."""
    from pypi_simple import DigestMismatchError, NoMetadataError  # noqa: PLC0415  as above
    from remotezip import RemoteIOError, RemoteZip  # noqa: PLC0415

    package = packages[url]
    digests = bool(package.metadata_digests)  # a mirror may give none
    try:
        raw = client.get_package_metadata_bytes(package, verify=digests, timeout=TIMEOUT)
    except (OSError, NoMetadataError, DigestMismatchError):
        try:
            with RemoteZip(url, session=client.s, timeout=TIMEOUT) as archive:
                return _metadata(archive)
        except (OSError, RemoteIOError, *_NO_ZIP):
            return None
    return raw.decode("utf-8", errors="replace") if len(raw) <= MAX_METADATA else None


@contextmanager
def _members_there(client: "PyPISimple", url: str) -> Iterator[Read | None]:
    """A wheel on a server, of which only the members that are asked for are fetched."""
    from remotezip import RemoteIOError, RemoteZip  # noqa: PLC0415  as above

    try:
        archive = RemoteZip(url, session=client.s, timeout=TIMEOUT)
    except (OSError, RemoteIOError, *_NO_ZIP):
        yield None
        return
    with archive:
        yield partial(_member, archive)


@contextmanager
def _members(wheel: Path) -> Iterator[Read | None]:
    """A wheel on this machine."""
    try:
        archive = zipfile.ZipFile(wheel)
    except (OSError, *_NO_ZIP):
        yield None
        return
    with archive:
        yield partial(_member, archive)


def _member(archive: zipfile.ZipFile, name: str) -> str | None:
    """A text file of a wheel; None where there is none, or one larger than any."""
    try:
        if archive.getinfo(name).file_size > MAX_METADATA:
            return None
    except KeyError:
        return None
    return archive.read(name).decode("utf-8", errors="replace")


def listing(
    place: str, page: "ProjectPage", read: Read, members: Callable[[str], Members] | None = None
) -> Listing:
    """A page as a listing; `read` gets the METADATA of the file at a URL, `members` opens it."""
    urls = {package.filename: package.url for package in page.packages}
    files = tuple(
        File(
            filename=unquote(package.filename),
            size=package.size,
            uploaded=f"{package.upload_time:%Y-%m-%d}" if package.upload_time else "",
            requires_python=package.requires_python or "",
            yanked=package.is_yanked,
        )
        for package in page.packages
    )
    by_name = {unquote(name): url for name, url in urls.items()}
    found = Listing(place=place, files=files, metadata=lambda file: read(by_name[file.filename]))
    if members is None:
        return found
    return replace(found, members=lambda file: members(by_name[file.filename]))


def _folder(place: str, folder: Path, project: str) -> Listing:
    """A folder of wheels, whose METADATA is read out of them."""
    prefix = f"{project.replace('-', '_')}-"
    try:
        found = sorted(p for p in folder.iterdir() if p.name.lower().startswith(prefix))
    except OSError as error:
        return Listing(place=place, error=f"cannot be read: {error.strerror}")
    paths = {path.name: path for path in found}
    files = tuple(File(filename=name, size=path.stat().st_size) for name, path in paths.items())
    return Listing(
        place=place, files=files, metadata=lambda f: _inside(paths[f.filename]), complete=False,
        members=lambda f: _members(paths[f.filename]),
    )  # fmt: skip


def _read_file(url: str) -> str | None:
    """METADATA of a wheel on this machine: beside it (PEP 658), else in it."""
    path = _path(url)
    beside = path.with_name(f"{path.name}.metadata")
    try:
        if beside.stat().st_size <= MAX_METADATA:
            return beside.read_text(encoding="utf-8", errors="replace")
    except OSError:
        pass  # most have none
    return _inside(path)


def _inside(wheel: Path) -> str | None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return _metadata(archive)
    except (OSError, *_NO_ZIP):
        return None


def _metadata(archive: zipfile.ZipFile) -> str | None:
    """The METADATA in a wheel; None where there is none, or one larger than any."""
    for member in archive.infolist():
        folder, _, name = member.filename.partition("/")
        if folder.endswith(".dist-info") and name == "METADATA":
            fits = member.file_size <= MAX_METADATA
            return archive.read(member).decode("utf-8", errors="replace") if fits else None
    return None


def _path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path)) if url.startswith("file:") else Path(url)
