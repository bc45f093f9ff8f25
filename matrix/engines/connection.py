"""A Docker engine by its address: a client for work, and a second one that feels its pulse."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig

from matrix.engines.tunnel import NoEngine, Tunnel
from matrix.runners import DEFAULT_ENGINE

PATIENCE = 120.0  # seconds: creating and removing under load take their time
PULSE_TIMEOUT = 10.0
PULSE_EVERY = 5.0
FIRST = "1.41"  # engines tell their version whichever they are asked in
MISSES = 2  # in a row: one late answer is a busy engine
_SCHEMES = ("unix", "tcp", "http", "https", "ssh")


class EngineLost(Exception):  # noqa: N818  it is no fault of the caller
    """The engine went away, froze or was restarted: what ran on it meanwhile is no evidence."""


class Engine:
    """A connected engine; `client` is for work, `heart` has little patience."""

    def __init__(
        self,
        url: str,
        client: Any,  # noqa: ANN401  the SDK has no types
        heart: Any,  # noqa: ANN401  as client
        tunnel: Tunnel | None = None,
    ) -> None:
        self.url = url
        self.client = client
        self.heart = heart
        self.tunnel = tunnel

    @property
    def is_local(self) -> bool:
        """Whether paths and processors of this machine are the engine's too."""
        return self.url.startswith("unix://")

    @property
    def address(self) -> str:
        """Where it can be reached from here: `DOCKER_HOST` for other programs."""
        return f"unix://{self.tunnel.socket}" if self.tunnel else self.url

    def check(self) -> None:
        """Raise `EngineLost` unless it answers now."""
        with self.errors():
            try:
                _knock(self.url)
            except OSError as error:  # an engine that was stopped takes its socket away
                raise ConnectionError(str(error)) from error
            self.heart.ping()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What the SDK raises where there is no engine any more, as `EngineLost`."""
        try:
            yield
        except APIError:
            raise  # it answered
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            ConnectionError,
            TimeoutError,
        ) as error:
            raise EngineLost(f"the engine at `{self.url}` {_how(error)}") from error

    def close(self) -> None:
        """Let go of all connections."""
        self.client.close()
        self.heart.close()
        if self.tunnel:
            self.tunnel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Pulse:
    """Feels an engine's pulse now and then: a frozen engine breaks no connection."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.misses = 0
        self.next = time.monotonic() + PULSE_EVERY

    def feel(self) -> None:
        """Ask the engine, when it is time to; raises `EngineLost` when it gave no answer twice."""
        if time.monotonic() < self.next:
            return
        try:
            self.engine.check()
            self.misses = 0
        except EngineLost as lost:
            self.misses += 1
            if self.misses >= MISSES or not _is_timeout(lost.__cause__):
                raise
        self.next = time.monotonic() + PULSE_EVERY


def connect(url: str, env: Mapping[str, str]) -> Engine:
    """Connect to an engine; "" is `$DOCKER_HOST` or this machine's own.

    `tcp://` uses TLS where `$DOCKER_TLS_VERIFY` is set, with the certificates in
    `$DOCKER_CERT_PATH`. `ssh://[user@]host[:port][/socket]` needs a login without a password.
    Raises `NoEngine`.
    """
    url = url or env.get("DOCKER_HOST") or DEFAULT_ENGINE
    if urlsplit(url).scheme not in _SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
        raise NoEngine(f"`{url}` is no address of an engine, which begins with one of {known}")
    tunnel = None
    options: dict[str, Any] = {"base_url": url}
    if url.startswith("ssh://"):
        tunnel = Tunnel(url, env)
        tunnel.wait()
        options["base_url"] = f"unix://{tunnel.socket}"
    try:
        _knock(url)
        options["tls"] = _tls(url, env)
        with closing(_client(options, PULSE_TIMEOUT, FIRST)) as first:
            spoken = first.api.version(api_version=False)["ApiVersion"]
    except (DockerException, OSError, LookupError, TypeError, ValueError) as error:
        if tunnel:
            tunnel.close()
        message = f"no Docker engine answers at `{url}`: {_root(error)}; {_advice(error)}"
        raise NoEngine(message) from error
    client, heart = (_client(options, timeout, spoken) for timeout in (PATIENCE, PULSE_TIMEOUT))
    return Engine(url, client, heart, tunnel)


def _client(options: Mapping[str, Any], timeout: float, version: str) -> Any:  # noqa: ANN401
    """A client that connects with its own settings alone.

    Proxies and certificates for the web, in variables that `requests` reads, are not the engine's.
    """
    client = docker.DockerClient(**options, version=version, timeout=timeout)
    client.api.trust_env = False
    return client


def _knock(url: str) -> None:
    """Connect to a socket of this machine first: the SDK leaves its own open where nobody is."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as own:
            own.settimeout(PULSE_TIMEOUT)
            own.connect(url.removeprefix("unix://"))


def _tls(url: str, env: Mapping[str, str]) -> TLSConfig | bool:
    if not url.startswith(("tcp://", "https://")) or not env.get("DOCKER_TLS_VERIFY"):
        return False
    folder = Path(env.get("DOCKER_CERT_PATH") or Path(env.get("HOME", "~"), ".docker"))
    ca, cert, key = (str(folder / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    return TLSConfig(client_cert=(cert, key), ca_cert=ca, verify=True)


def _root(error: BaseException) -> str:
    """The innermost reason: the SDK wraps it three times, and says it in one line each."""
    seen = error
    while inner := seen.__cause__ or seen.__context__:
        seen = inner
    return " ".join(str(seen).split()) or type(seen).__name__


def _advice(error: BaseException) -> str:
    inner: BaseException | None = error
    while inner:
        if isinstance(inner, PermissionError):
            return "this user may not use it: join its group, often `docker`"
        inner = inner.__cause__ or inner.__context__
    return "start one, or say where one is with DOCKER_HOST"


def _is_timeout(error: BaseException | None) -> bool:
    return isinstance(error, requests.Timeout | TimeoutError) or "timed out" in str(error)


def _how(error: BaseException) -> str:
    if _is_timeout(error):
        return "does not answer any more (it hangs, or its machine does)"
    with suppress(Exception):
        return f"went away: {_root(error)}"
    return "went away"
