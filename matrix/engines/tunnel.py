"""A socket of this machine that ends at an engine's on another, through `ssh`."""

import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from matrix.errors import InfrastructureError
from matrix.process import run

TIMEOUT = 30.0
REMOTE = "/var/run/docker.sock"


class NoEngine(InfrastructureError):  # noqa: N818  the name is the message
    """No engine answers at an address."""


class Tunnel:
    """An `ssh` that forwards a socket; its remote command is `cat`, which ends with its input.

    So it never outlives us. One tunnel serves all connections: each of its own costs 0.2 s.
    """

    def __init__(self, url: str, env: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self.folder = Path(tempfile.mkdtemp(prefix="matrix-ssh-"))  # short: sockets' names are
        self.socket = self.folder / "s"
        self.over = threading.Event()
        self.ended = ""
        remote = parts.path if parts.path not in {"", "/"} else REMOTE
        target = f"{parts.username}@{parts.hostname}" if parts.username else str(parts.hostname)
        options = ("BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=5")
        self.command = [
            *("ssh", *(word for option in options for word in ("-o", option))),
            *("-L", f"{self.socket}:{remote}"),
            *(("-p", str(parts.port)) if parts.port else ()),
            *("--", target, "cat"),
        ]
        self.thread = threading.Thread(target=self._hold, args=(env,), daemon=True)
        self.thread.start()

    def _hold(self, env: Mapping[str, str]) -> None:
        try:
            done = run(self.command, env=env, timeout=threading.TIMEOUT_MAX, stop=self.over)
            self.ended = done.last_line or f"ssh ended with status {done.code}"
        except Exception as error:  # noqa: BLE001  a thread has nobody to raise it to
            self.ended = f"{type(error).__name__}: {error}"

    def wait(self, timeout: float = TIMEOUT) -> None:
        """Wait until the socket is there; raises `NoEngine` with what ssh said instead."""
        end = time.monotonic() + timeout
        while not self.socket.exists():
            if not self.thread.is_alive() or time.monotonic() > end:
                why = self.ended or f"no connection within {timeout:.0f} s"
                self.close()
                raise NoEngine(f"`{' '.join(self.command)}` made no tunnel: {why}")
            time.sleep(0.02)

    def close(self) -> None:
        """End ssh and remove its socket."""
        self.over.set()
        self.thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)
