"""The tools image that a build mounts: uv, wheels of local folders, index settings, certificates.

It is built once for what it holds, and never pushed: indexes may have credentials in their URLs.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from matrix.engines.builder import LABEL, Request
from matrix.engines.context import Files
from matrix.indexes import IndexConfig, pip_files, pip_settings
from matrix.locks import Pin

REPOSITORY = "torch-matrix/tools"
PLACE = "/run/build"
# an index or several, as uv's own variables name them; True: it takes the registry's place
_UV_INDEXES = {
    "UV_DEFAULT_INDEX": True,
    "UV_INDEX_URL": True,
    "UV_INDEX": False,
    "UV_EXTRA_INDEX_URL": False,
}


def request(uv: Path, wheels: Files, site: Files, apt: Files) -> Request:
    """The tools image as something to build; its tag changes when its content does."""
    files: dict[str, bytes | Path] = {"uv": uv, **wheels, **site, **apt}
    # a layer for each folder: another cell's tools share those that are equal
    folders = sorted({*(name.rpartition("/")[0] for name in wheels), *("site" for _ in site),
                      *("apt" for _ in apt)})  # fmt: skip
    copies = [f"COPY {name} /{name}" for name in ("uv", *folders)]
    files["Dockerfile"] = "\n".join(["FROM scratch", *copies, ""]).encode()
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name]
        if isinstance(content, Path):
            found = content.stat()  # its bytes are hashed by whoever installs them
            content = f"{found.st_size} {found.st_mtime_ns}".encode()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    tag = f"{REPOSITORY}:{digest.hexdigest()[:16]}"
    return Request(files=files, tag=tag, labels={LABEL: "1", f"{LABEL}.tools": "1"})


def site_files(config: IndexConfig, env: Mapping[str, str]) -> tuple[Files, dict[str, str]]:
    """Settings for uv inside a build, and the build arguments that point there.

    Local folders are left out: their wheels come with the tools.
    """
    files: dict[str, bytes | Path] = {"site/uv/uv.toml": uv_toml(config, env).encode()}
    arguments = {}
    settings = {**config.env, **{name: value for name, value in env.items() if value}}
    for name in ("SSL_CERT_FILE", "SSL_CLIENT_CERT"):
        if (path := Path(settings.get(name, ""))).is_file():
            files[f"site/{name.lower()}.pem"] = path.read_bytes()
            arguments[name] = f"{PLACE}/site/{name.lower()}.pem"
    if "SSL_CERT_FILE" not in arguments and (bundle := _pip_certificates(env)):
        files["site/ssl_cert_file.pem"] = bundle.read_bytes()
        arguments["SSL_CERT_FILE"] = f"{PLACE}/site/ssl_cert_file.pem"
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "UV_HTTP_TIMEOUT")
    for name in (*proxies, *(proxy.lower() for proxy in proxies[:4])):
        if settings.get(name):
            arguments[name] = settings[name]
    return files, arguments


def apt_files(env: Mapping[str, str]) -> tuple[Files, dict[str, str]]:
    """The user's own apt configuration, where `$APT_CONFIG` names one."""
    path = Path(env.get("APT_CONFIG", ""))
    if not path.is_file():
        return {}, {}
    return {"apt/apt.conf": path.read_bytes()}, {"APT_CONFIG": f"{PLACE}/apt/apt.conf"}


def uv_toml(config: IndexConfig, env: Mapping[str, str]) -> str:
    """The user's indexes as uv's configuration file, local ones left out."""
    flags = list(zip(config.arguments, config.arguments[1:], strict=False))
    indexes = [(v, f == "--default-index") for f, v in flags if f in {"--default-index", "--index"}]
    for name, default in _UV_INDEXES.items():
        indexes += [(url.rpartition("=")[2] if "=http" in url else url, default)
                    for url in env.get(name, "").split()]  # fmt: skip
    remote = [(url, default) for url, default in indexes if not _is_local(url)]
    registry_replaced = any(default for _, default in indexes)
    if remote and registry_replaced and not any(default for _, default in remote):
        remote[0] = (remote[0][0], True)
    lines = []
    if "--no-index" in config.arguments or (registry_replaced and not remote):
        lines.append("no-index = true")
    strategy = [value for flag, value in flags if flag == "--index-strategy"]
    if strategy or env.get("UV_INDEX_STRATEGY"):
        lines.append(f"index-strategy = {_text((strategy or [env['UV_INDEX_STRATEGY']])[0])}")
    for key, flag in (("allow-insecure-host", "--allow-insecure-host"),
                      ("find-links", "--find-links")):  # fmt: skip
        values = [value for name, value in flags if name == flag]
        if flag == "--find-links":
            values = [value for value in values if not _is_local(value)]
        if values:
            lines.append(f"{key} = [{', '.join(map(_text, values))}]")
    for url, default in remote:
        lines += ["[[index]]", f"url = {_text(url)}", *(["default = true"] if default else [])]
    return "\n".join([*lines, ""])


def wheel_files(layers: Mapping[str, Sequence[Pin]], python: str) -> tuple[Files, tuple[str, ...]]:
    """Files of the pins that were found in local folders, by layer; and pins without any."""
    files: dict[str, bytes | Path] = {}
    missing = []
    for layer, pins in layers.items():
        for pin in pins:
            if not pin.origin or not _is_local(pin.origin):
                continue
            found = list(_local_files(pin, python))
            if not found:
                missing.append(pin.name)
            files.update({f"wheels/{layer}/{path.name}": path for path in found})
    return files, tuple(missing)


def _local_files(pin: Pin, python: str) -> Iterable[Path]:
    place = Path(unquote(urlsplit(pin.origin).path)) if "://" in pin.origin else Path(pin.origin)
    page = place / pin.name / "index.html"
    paths = _links(page) if page.is_file() else sorted(place.iterdir()) if place.is_dir() else ()
    pinned = re.match(r"\S+?={2,3}([^\s;\\]+)", pin.text)
    if pinned is None:
        return []
    return [p for p in paths if p.is_file() and _fits(p.name, pin.name, pinned[1], python)]


def _fits(file: str, name: str, version: str, python: str) -> bool:
    """Whether a file is this release of this package for this Python on Linux."""
    try:
        if not file.endswith(".whl"):
            found, have = parse_sdist_filename(file)
            return (canonicalize_name(found), str(have)) == (name, version)
        found, have, _, tags = parse_wheel_filename(file)
    except (InvalidSdistFilename, InvalidWheelFilename):
        return False
    platforms = [tag.platform for tag in tags]
    if not any(p == "any" or "linux" in p for p in platforms):
        return False
    major, minor = (int(part) for part in python.removesuffix("t").split("."))
    usable = {*cpython_tags((major, minor), platforms=platforms),
              *compatible_tags((major, minor), f"cp{major}{minor}", platforms)}  # fmt: skip
    if python.endswith("t"):
        usable |= set(
            cpython_tags((major, minor), abis=[f"cp{major}{minor}t"], platforms=platforms)
        )
    return (found, str(have)) == (name, version) and not usable.isdisjoint(tags)


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hrefs += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _links(page: Path) -> list[Path]:
    """Files that a page of a local index links to."""
    anchors = _Anchors()
    anchors.feed(page.read_text(encoding="utf-8", errors="replace"))
    local = (unquote(urlsplit(urldefrag(h).url).path) for h in anchors.hrefs if "://" not in h)
    return [(page.parent / path).resolve() for path in local]


def _pip_certificates(env: Mapping[str, str]) -> Path | None:
    settings, _ = pip_settings(env, pip_files(env))
    path = Path(next(iter(settings.get("cert", ())), ""))
    return path if path.is_file() else None


def _is_local(place: str) -> bool:
    return not re.match(r"https?://", place.partition("=")[2] if "=http" in place else place)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a TOML basic string


def network(config: IndexConfig, indexes: tuple[str, ...], env: Mapping[str, str]) -> str:
    """`host` where an index or proxy is on this machine's loopback, else the engine's default.

    `$MATRIX_BUILD_NETWORK` decides otherwise.
    """
    if named := env.get("MATRIX_BUILD_NETWORK", ""):
        return named
    names = (*_UV_INDEXES, "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    places = [*indexes, *config.env.values(), *(env.get(name, "") for name in names)]
    hosts = {urlsplit(word).hostname for place in places for word in place.split() if "//" in word}
    return "host" if hosts & {"localhost", "127.0.0.1", "::1"} else ""
