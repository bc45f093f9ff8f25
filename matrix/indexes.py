"""The user's package indexes as pip is configured, in uv's words, and which wheels they offer.

Corporate mirrors live in pip's configuration, which uv does not read. uv's own settings (`UV_*`)
win where they exist. Reads no secrets beyond what is in the URLs; prints none of them.
"""

import configparser
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MULTIPLE = ("extra-index-url", "find-links", "trusted-host")
SINGLE = ("index-url", "cert", "client-cert", "proxy", "no-index", "timeout")
PYPI = "https://pypi.org/simple/"
AVAILABILITY_TTL = 24 * 3600.0
SILENCE_TTL = 900.0  # an index that did not answer may do so soon
SILENT = "cannot be reached"


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexConfig:
    """uv's arguments and environment that mean what pip's configuration means."""

    arguments: tuple[str, ...]
    env: Mapping[str, str]
    origin: tuple[str, ...]

    @property
    def places(self) -> tuple[str, ...]:
        """Where packages come from: URLs and folders."""
        flags = ("--default-index", "--index", "--find-links", "--allow-insecure-host")
        pairs = zip(self.arguments, self.arguments[1:], strict=False)
        return tuple(value for flag, value in pairs if flag in flags)

    @property
    def key(self) -> str:
        """A hash that changes when the configuration does."""
        return hashlib.sha256(
            repr((self.arguments, sorted(self.env.items()))).encode()
        ).hexdigest()[:12]


def pip_files(env: Mapping[str, str], prefix: str = sys.prefix) -> list[Path]:
    """Pip's configuration files, weakest first (pip's "Configuration" documentation)."""
    if (named := env.get("PIP_CONFIG_FILE")) == os.devnull:
        return []
    home = Path(env.get("HOME") or Path.home())
    shared = env.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
    user = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    paths = [Path(folder) / "pip/pip.conf" for folder in shared if folder]
    paths += [Path("/etc/pip.conf"), home / ".pip/pip.conf", user / "pip/pip.conf"]
    if sys.platform == "darwin":
        paths.append(home / "Library/Application Support/pip/pip.conf")
    paths.append(Path(prefix) / "pip.conf")
    return [*paths, *([Path(named)] if named else [])]


def pip_settings(
    env: Mapping[str, str], files: list[Path]
) -> tuple[dict[str, list[str]], list[str]]:
    """Merge pip's files and environment variables: later wins, key by key.

    Returns the settings that matter for finding packages and where each came from.
    """
    settings: dict[str, list[str]] = {}
    origin: list[str] = []
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            if not parser.read(path, encoding="utf-8"):
                continue
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            origin.append(f"{path} (unreadable: {type(error).__name__})")
            continue
        found = False
        for section in ("global", "install"):
            for name, value in parser.items(section) if parser.has_section(section) else ():
                option = name.replace("_", "-")
                if option in (*MULTIPLE, *SINGLE):
                    settings[option] = value.split()
                    found = True
        if found:
            origin.append(str(path))
    for option in (*MULTIPLE, *SINGLE):
        name = f"PIP_{option.upper().replace('-', '_')}"
        if env.get(name):
            settings[option] = env[name].split()
            origin.append(f"${name}")
    return settings, origin


def read_config(env: Mapping[str, str], files: list[Path] | None = None) -> IndexConfig:
    """Translate pip's configuration for uv; an index of uv's own settings keeps its place."""
    settings, origin = pip_settings(env, pip_files(env) if files is None else files)
    first = {option: values[0] for option, values in settings.items() if values}
    arguments: list[str] = []
    uv_has_index = any(env.get(n) for n in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL"))
    if not uv_has_index:
        if "index-url" in first:
            arguments += ["--default-index", first["index-url"]]
        for url in settings.get("extra-index-url", ()):
            arguments += ["--index", url]
        if settings.get("extra-index-url"):
            # pip takes the best version over all indexes; uv would stop at the first that answers
            arguments += ["--index-strategy", "unsafe-best-match"]
        if first.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
            arguments.append("--no-index")
    for place in settings.get("find-links", ()):
        arguments += ["--find-links", place]
    for host in settings.get("trusted-host", ()):
        arguments += ["--allow-insecure-host", host]
    extra = {"UV_PYTHON_DOWNLOADS": env.get("UV_PYTHON_DOWNLOADS", "never")}
    # pip's own setting replaces the default bundle; requests' variables serve where it has none
    # (https://pip.pypa.io/en/stable/topics/https-certificates/); uv reads SSL_CERT_FILE alone
    bundles = (first.get("cert"), env.get("REQUESTS_CA_BUNDLE"), env.get("CURL_CA_BUNDLE"))
    if bundle := next(filter(None, bundles), None):
        extra["SSL_CERT_FILE"] = bundle
    for option, names in {
        "client-cert": ("SSL_CLIENT_CERT",),
        "proxy": ("HTTPS_PROXY", "HTTP_PROXY"),  # --proxy makes pip ignore these variables
    }.items():
        for name in names:
            if option in first:
                extra[name] = first[option]
    if "timeout" in first and not env.get("UV_HTTP_TIMEOUT"):
        extra["UV_HTTP_TIMEOUT"] = first["timeout"]
    return IndexConfig(arguments=tuple(arguments), env=extra, origin=tuple(origin))


def requirement(torch: str, variant: str, *, default: bool) -> str:
    """The requirement that gets exactly this build.

    A build from the registry has no local version; `===` keeps a `+cpu` wheel of the same release
    in a wheel folder from taking its place.
    """
    return f"torch==={torch}" if default else f"torch=={torch}+{variant}"


class Availability:
    """Answers which variants the user's indexes offer, remembered for a day.

    `ask(requirement, python, arguments)` returns "" if an install would find the wheel, else the
    reason; it is the only part that talks to a network.
    """

    def __init__(
        self,
        cache: Path,
        config: IndexConfig,
        pytorch_index: str,
        ask: Callable[[str, str, tuple[str, ...]], str],
    ) -> None:
        self._cache = cache
        self._config = config
        self._pytorch_index = pytorch_index
        self._ask = ask
        self._silent: dict[tuple[str, ...], str] = {}
        self._known: dict[str, dict[str, float | str]] = {}
        try:
            known = json.loads(cache.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if isinstance(known, dict):
            self._known = {key: value for key, value in known.items() if isinstance(value, dict)}

    def offers(self, torch: str, variant: str, python: str) -> str:
        """Return "" if `torch==X+variant` can be had for this Python, else why not."""
        key = f"{torch} {variant} {python} {self._config.key} {self._pytorch_index}"
        known = self._known.get(key, {})
        answer = str(known.get("reason", ""))
        lasts = SILENCE_TTL if SILENT in answer else AVAILABILITY_TTL
        if time.time() - float(known.get("at", 0.0)) < lasts:
            return answer
        reasons: list[str] = []
        names = ("your indexes", f"{self._pytorch_index}/{variant}")
        for name, arguments in zip(names, self.sources(variant), strict=True):
            wanted = requirement(torch, variant, default=False)
            # an index that did not answer is not waited for again for each release
            reason = self._silent.get(arguments) or self._ask(wanted, python, arguments)
            if not reason:
                reasons = []
                break
            if SILENT in reason:
                self._silent[arguments] = reason
            reasons.append(f"{name}: {reason}")
        answer = "; ".join(reasons)
        self._known[key] = {"at": time.time(), "reason": answer}
        self._save()
        return answer

    def sources(self, variant: str) -> tuple[tuple[str, ...], ...]:
        """Uv's index arguments to try in turn: the user's own, then the PyTorch index too."""
        pytorch = (
            "--index",
            f"{self._pytorch_index}/{variant}",
            "--index-strategy",
            "unsafe-best-match",
        )
        own = self._config.arguments
        return own, (*own, *pytorch) if "--index-strategy" not in own else (*own, *pytorch[:2])

    def _save(self) -> None:
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._cache.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(self._known), encoding="utf-8")
            temporary.replace(self._cache)
        except OSError:
            pass  # a cache that cannot be written costs time, nothing else
