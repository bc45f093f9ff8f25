"""Which process may use which GPU of a machine: leases that outlive no process.

A lease is a file that its holder keeps locked, and beside it a record of what is held or wanted.
The system unlocks the file when the holder ends, however it ends: its GPUs are free at once. The
record's heartbeat tells a frozen holder, whose GPUs are not free. Requests are served in the order
in which they came, so that an exclusive one is not starved by shared ones.
"""

import functools
import json
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from matrix.accelerators import Gpu
from matrix.errors import InfrastructureError
from matrix.process import Stopped

SHARERS = 4
"""Shared leases that one GPU takes at the same time."""
FROZEN = 60.0
"""Seconds without a heartbeat after which a living holder is called frozen."""
_BEAT = 5.0
_POLL = 0.2
_SAY_AGAIN = 60.0
_DAY = 86400.0
_MACHINE_WIDE = Path("/var/lock/torch-matrix")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """What one process holds or wants."""

    run: str
    pid: int
    boot: str
    """The kernel's boot id: another one means another machine that shares the folder."""
    since: float
    beat: float
    """Both in seconds since the epoch."""
    exclusive: bool
    wanted: int
    among: tuple[str, ...]
    held: tuple[str, ...] = ()
    """UUIDs; empty while it waits."""

    def describe(self, now: float) -> str:
        """Name the holder as a user may look for it."""
        how = "alone" if self.exclusive else "shared"
        here = self.boot == _boot()
        where = f"pid {self.pid}" if here else f"pid {self.pid} of another machine"
        text = f"run {self.run} ({where}, {how}, for {now - self.since:.0f} s"
        if now - self.beat > FROZEN:
            text += f"; no sign of life for {now - self.beat:.0f} s: frozen?"
            text += f" `kill {self.pid}` ends it" if here else ""
        return f"{text})"


@functools.cache
def _boot() -> str:
    return _BOOT.read_text(encoding="ascii").strip() if _BOOT.exists() else ""


def folder(env: Mapping[str, str]) -> Path:
    """Where leases lie: `$MATRIX_LEASES`, else one place for all users, else one for this user."""
    if chosen := env.get("MATRIX_LEASES"):
        return Path(chosen)
    with suppress(OSError):
        if not _MACHINE_WIDE.is_dir():
            _MACHINE_WIDE.mkdir()
            _MACHINE_WIDE.chmod(0o1777)  # whatever the umask: the machine's users share its GPUs
        if os.access(_MACHINE_WIDE, os.W_OK | os.X_OK):
            return _MACHINE_WIDE
    return Path(tempfile.gettempdir()) / f"torch-matrix-leases-{os.getuid()}"


def living(place: Path) -> dict[Path, Lease]:
    """All leases whose process lives, oldest first; what the dead left is removed."""
    found = {}
    for path in place.glob("*.json") if place.is_dir() else ():
        lock = FileLock(path.with_suffix(".lock"), mode=0o666)
        try:
            lock.acquire(timeout=0)
        except (Timeout, PermissionError):
            if lease := _read(path):
                found[path] = lease
        else:
            with suppress(OSError):  # another user's, in a folder with the sticky bit
                path.unlink()
                path.with_suffix(".lock").unlink()
            lock.release()
    _sweep(place)
    return dict(sorted(found.items(), key=lambda item: (item[1].since, item[0])))


def _sweep(place: Path) -> None:
    """Remove what a process left that was killed between two files, a day later."""
    for path in (*place.glob("*-*.lock"), *place.glob("*-*.new")):
        with suppress(OSError):
            if not path.with_suffix(".json").exists() and time.time() - path.stat().st_mtime > _DAY:
                path.unlink()


def _read(path: Path) -> Lease | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name: data[f.name] for f in fields(Lease)}  # a later release may say more
        return Lease(**{**known, "among": tuple(known["among"]), "held": tuple(known["held"])})
    except (OSError, ValueError, TypeError, KeyError):  # removed meanwhile, or not ours
        return None


def _free(request: Lease, others: Mapping[Path, Lease], sharers: int) -> list[str]:
    """The GPUs that this request may have now, those with the fewest sharers first."""
    users = {gpu: [o for o in others.values() if gpu in o.held] for gpu in request.among}
    most = 0 if request.exclusive else sharers - 1
    free = [
        gpu
        for gpu, holders in users.items()
        if len(holders) <= most and not any(holder.exclusive for holder in holders)
    ]
    return sorted(free, key=lambda gpu: len(users[gpu]))


def _before(request: Lease, others: Mapping[Path, Lease]) -> list[Lease]:
    """Who waits longer for the same GPUs; the frozen and what is too late are passed over."""
    return [
        other
        for other in others.values()
        if not other.held
        and other.since < request.since
        and set(other.among) & set(request.among)
        and time.time() - other.beat <= FROZEN
    ]


@contextmanager
def lease(
    among: Sequence[Gpu],
    *,
    run: str,
    stop: threading.Event,
    gpus: int = 1,
    exclusive: bool = True,
    sharers: int = SHARERS,
    place: Path,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[Gpu, ...]]:
    """Hold `gpus` of the GPUs in `among` while the block runs, alone or with other sharers.

    `on_wait` hears who holds what: when that changes, and once a minute. Raises `Stopped` when
    `stop` is set, `InfrastructureError` where there are too few GPUs or the folder cannot be used.
    """
    if gpus > len(among):
        raise InfrastructureError(f"{gpus} GPUs are wanted, the runner has {len(among)}")
    now = time.time()
    request = Lease(
        run=run,
        pid=os.getpid(),
        boot=_boot(),
        since=now,
        beat=now,
        exclusive=exclusive,
        wanted=gpus,
        among=tuple(gpu.uuid for gpu in among),
    )
    path = place / f"{request.pid}-{uuid.uuid4().hex[:12]}.json"
    own = FileLock(path.with_suffix(".lock"), mode=0o666, thread_local=False)
    try:
        place.mkdir(parents=True, exist_ok=True)
        own.acquire()
    except OSError as error:
        message = f"`{place}` cannot hold leases of GPUs ({error}); name another: MATRIX_LEASES"
        raise InfrastructureError(message) from None
    try:
        with _Heartbeat(path, request) as heart:
            held = _wait(request, heart, place, sharers, stop, on_wait)
            yield tuple(gpu for gpu in among if gpu.uuid in held)
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink()
        own.release()


def _wait(
    request: Lease,
    heart: "_Heartbeat",
    place: Path,
    sharers: int,
    stop: threading.Event,
    on_wait: Callable[[str], None],
) -> tuple[str, ...]:
    """Look again until it is this request's turn; nobody decides at the same time."""
    gate = FileLock(place / "gate.lock", mode=0o666)
    said, said_at = "", 0.0
    passed = time.monotonic()
    while not stop.is_set():
        busy, ahead = [], []
        try:
            with gate.acquire(timeout=_POLL):
                passed = time.monotonic()
                others = {p: other for p, other in living(place).items() if p != heart.path}
                ahead = _before(request, others)
                free = _free(request, others, sharers)
                if not ahead and len(free) >= request.wanted:
                    return heart.hold(tuple(free[: request.wanted]))
                busy = [o for o in others.values() if set(o.held) & set(request.among)]
            who = repr([(o.pid, o.run, o.held) for o in busy + ahead])
        except Timeout:
            who = said
            if time.monotonic() - passed > FROZEN:
                who = f"`{gate.lock_file}` is held by a process that does not go on: end it"
        if who != said or time.monotonic() - said_at > _SAY_AGAIN:
            said, said_at = who, time.monotonic()
            on_wait(_message(request, busy, ahead) if busy or ahead else who)
        stop.wait(_POLL)
    raise Stopped


def _message(request: Lease, busy: list[Lease], ahead: list[Lease]) -> str:
    """Who holds what, and who comes first."""
    now = time.time()
    how = "alone" if request.exclusive else "shared"
    parts = [f"{', '.join(other.held)} held by {other.describe(now)}" for other in busy]
    parts += [f"before us waits {other.describe(now)}" for other in ahead]
    return f"waiting for {request.wanted} GPU(s) {how}: {'; '.join(parts)}"


class _Heartbeat:
    """Writes a lease's record now and every few seconds, from a thread of its own."""

    def __init__(self, path: Path, lease: Lease) -> None:
        self.path = path
        self.lease = lease
        self._ended = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def hold(self, gpus: tuple[str, ...]) -> tuple[str, ...]:
        """Record that these GPUs are held from now on."""
        with self._turn:
            self.lease = replace(self.lease, held=gpus, since=time.time())
        self._write()
        return gpus

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT):
            with suppress(OSError):  # a full disk takes no GPU away
                self._write()

    def _write(self) -> None:
        with self._turn:
            self.lease = replace(self.lease, beat=time.time())
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps(asdict(self.lease)), encoding="utf-8")
            new.chmod(0o644)
            new.replace(self.path)
