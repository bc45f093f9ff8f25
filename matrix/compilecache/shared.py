"""A run's use of a remote: pulled before a suite, pushed after it, and never its failure."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from matrix.compilecache.archive import Manifest
from matrix.compilecache.exchange import pull, push
from matrix.compilecache.key import CacheKey, key_of, place_of
from matrix.compilecache.remote import Remote

DEADLINE = 300.0
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """What became of a suite's compiled code on a remote.

    `state` is `pulled`, `miss`, `failed`, `kept` where the folder was not empty, or `cold` where
    it has to be. `pushed` is the hash of what was sent; `seconds` is what pull and push took.
    """

    key: CacheKey
    place: str
    folder: Path
    state: str = "kept"
    manifest: Manifest | None = None
    pushed: str = ""
    note: str = ""
    warning: str = ""
    seconds: float = 0.0

    @property
    def told(self) -> dict[str, str]:
        """What a run records; empty values are left out."""
        content = self.manifest.content if self.manifest else ""
        told = {"key": self.key.name, "state": self.state, "content": content,
                "pushed": self.pushed, "note": self.note, "warning": self.warning,
                "seconds": f"{self.seconds:.2f}"}  # fmt: skip
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedCache:
    """A remote as runs use it: `writable` or not, and how many seconds a cell waits for it."""

    remote: Remote
    writable: bool = True
    deadline: float = DEADLINE

    def bring(
        self, folder: Path, probe: Mapping[str, Any], source: str, *, cold: bool = False
    ) -> Exchange:
        """Fill an empty folder from the remote, or say why it stays empty."""
        exchange = Exchange(key=key_of(probe, source), place=place_of(probe), folder=folder)
        if cold or any(folder.iterdir()):
            return replace(exchange, state="cold" if cold else "kept")
        clock = time.monotonic()
        late = threading.Event()
        pulled, problem = within(
            self.deadline,
            lambda: pull(self.remote, exchange.key, exchange.place, folder,
                         wanted=lambda: not late.is_set()),
        )  # fmt: skip
        exchange = replace(exchange, seconds=time.monotonic() - clock)
        if pulled is None:
            late.set()
            warning = f"the compile cache was not pulled: {problem}"
            return replace(exchange, state="failed", warning=warning)
        if pulled.manifest is None:
            return replace(exchange, state="miss", note=pulled.note)
        return replace(exchange, state="pulled", manifest=pulled.manifest, note=pulled.note)

    def give(self, exchange: Exchange) -> Exchange:
        """Push what a suite left in the folder, unless the remote has most of it."""
        if not self.writable or not any(exchange.folder.iterdir()):
            return exchange
        clock = time.monotonic()
        pushed, problem = within(self.deadline, lambda: self._push(exchange))
        exchange = replace(exchange, seconds=exchange.seconds + time.monotonic() - clock)
        if pushed is None:
            told = f"the compile cache was not pushed: {problem}"
            return replace(exchange, warning="; ".join(filter(None, (exchange.warning, told))))
        return replace(exchange, pushed=pushed)

    def _push(self, exchange: Exchange) -> str:
        """The hash of what was sent, or why nothing had to be."""
        if exchange.state == "kept" and self.remote.has(exchange.key.name):
            return "nothing: it is there"
        done = push(self.remote, exchange.key, exchange.place, exchange.folder, exchange.manifest)
        return done.content if done.new else "nothing: hardly more than was pulled"


def within(seconds: float, work: Callable[[], Result]) -> tuple[Result | None, str]:
    """Do it on a thread of its own: its result, or None and what went wrong."""
    done: list[Result] = []
    problems: list[str] = []

    def guarded() -> None:
        try:
            done.append(work())
        except Exception as error:  # noqa: BLE001  whatever it is, the cell goes on without
            problems.append(str(error) or type(error).__name__)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(seconds)
    if not done and not problems:
        return None, f"it took more than {seconds:g} s"
    return (done[0], "") if done else (None, problems[0])
