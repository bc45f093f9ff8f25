"""Containers of cells: made hardened, followed to their end, files in and out through its API."""

import datetime
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from docker.errors import APIError, DockerException, NotFound

from matrix.engines.archives import Caps, Extracted, extract
from matrix.engines.connection import Engine, EngineLost, Pulse
from matrix.engines.orders import Order, settings
from matrix.engines.output import Output
from matrix.engines.refusals import StartRefused, explain
from matrix.engines.volumes import exceed, folders
from matrix.process import Stopped

POLL = 0.1
SETTLE = 2.0  # seconds between the end of the log and the end of the container
KILLED = 128 + signal.SIGKILL
LOOK_EVERY = 2.0  # seconds between two looks at how much its volumes hold
Cause = Literal["", "timeout", "stopped", "oom", "too-much", "stopped-by-engine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a container ended. `oom`: its memory limit killed something in it, maybe not all."""

    code: int
    oom: bool
    cause: Cause
    seconds: float
    last_line: str


@contextmanager
def started(engine: Engine, order: Order) -> Iterator[Any]:
    """Make a container, put its files in, start it, and remove it whatever happens.

    Raises `StartRefused` and `EngineLost`; what a lost engine keeps is reaped by its labels.
    """
    container = None
    try:
        with engine.errors():
            engine.check()
            try:
                container = engine.client.containers.create(**settings(order))
                for target, archive in order.files.items():
                    container.put_archive(target, archive)
                container.start()
            except APIError as error:
                raise explain(error) from error
            except DockerException as error:  # it is too old for what is asked
                raise StartRefused("infra", f"the engine cannot do this: {error}") from error
        yield container
    finally:
        if container is not None:
            _remove(engine, container.id)


def _remove(engine: Engine, container: str) -> None:
    """Remove a container, also from an engine that was lost: it may be back, and run it on."""
    with suppress(APIError, EngineLost), engine.errors():
        engine.check()
        engine.client.api.remove_container(container, v=True, force=True)


def follow(
    engine: Engine,
    container: Any,  # noqa: ANN401  the SDK has no types
    *,
    log: Path,
    timeout: float,
    stop: threading.Event,
    on_line: Callable[[str], None] | None = None,
    most: int | None = None,
) -> End:
    """Follow a container to its end, its output into `log`; it is killed after `timeout` seconds.

    It is killed too where its volumes hold more than `most` bytes, which only an engine on this
    machine lets us see. Raises `Stopped` and `EngineLost`. A log that ends says nothing: engines
    that die end it too.
    """
    watch = _Watch(engine, container, timeout, stop, most)
    state = None
    with Output(log, on_line) as output:
        while state is None:
            # an engine may end the stream when it rotates its log: then only what comes is left
            reader = _Reader(engine, container, output, tail=0 if output.begun else "all")
            try:
                while not reader.over.wait(POLL):
                    watch.look()
            finally:
                reader.close()
            if reader.error:
                raise reader.error
            state = _settled(engine, container, watch)
    cause = watch.cause
    if cause == "stopped":
        raise Stopped
    code, oom = int(state["ExitCode"]), bool(state.get("OOMKilled"))
    if not cause:
        cause = _ended_by(engine, container, state)
    if not cause and oom and code == KILLED:
        cause = "oom"
    seconds = time.monotonic() - watch.begun
    return End(code=code, oom=oom, cause=cause, seconds=seconds, last_line=output.last_line)


class _Watch:
    """Looks after a running container: its time, whether the run goes on, the engine's pulse.

    `cause` is why we killed it, which nobody else can tell afterwards.
    """

    def __init__(
        self,
        engine: Engine,
        container: Any,  # noqa: ANN401  the SDK has no types
        timeout: float,
        stop: threading.Event,
        most: int | None,
    ) -> None:
        self.begun = time.monotonic()
        self.cause: Cause = ""
        self._engine = engine
        self._container = container
        self._deadline = self.begun + timeout
        self._stop = stop
        self._pulse = Pulse(engine)
        self._most = most or 0
        self._volumes = folders(engine, container) if most else ()
        self._next_look = self.begun + LOOK_EVERY

    def look(self) -> None:
        """Kill the container when it must end; raises `EngineLost`."""
        self._pulse.feel()
        if self.cause:
            return
        if self._stop.is_set():
            self.cause = "stopped"
        elif time.monotonic() > self._deadline:
            self.cause = "timeout"
        elif self._volumes and time.monotonic() > self._next_look:
            self.cause = "too-much" if exceed(self._volumes, self._most) else ""
            self._next_look = time.monotonic() + LOOK_EVERY
        if self.cause:
            # it may have ended meanwhile; with little patience: nobody waits for a frozen engine
            with suppress(APIError), self._engine.errors():
                self._engine.heart.api.kill(self._container.id)


class _Reader(threading.Thread):
    """Copies a container's output; the stream of a frozen engine blocks for ever, so apart."""

    def __init__(self, engine: Engine, container: Any, output: Output, tail: str | int) -> None:  # noqa: ANN401
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.error: OSError | None = None
        self._output = output
        try:
            with engine.errors():
                self._stream = container.logs(stream=True, follow=True, tail=tail)
        except APIError as error:
            raise explain(error) from error
        self.start()

    def run(self) -> None:
        """Copy until the stream ends, however it does: what that means is found out after it."""
        try:
            for chunk in self._stream:
                try:
                    self._output.write(chunk)
                except OSError as error:  # the disk of this machine
                    self.error = error
                    break
        except Exception:  # noqa: BLE001, S110  the SDK lets through whatever its layers raise
            pass
        finally:
            self.over.set()

    def close(self) -> None:
        """Stop reading."""
        with suppress(Exception):
            self._stream.close()
        self.join(POLL)


def _settled(engine: Engine, container: Any, watch: _Watch) -> Mapping[str, Any] | None:  # noqa: ANN401
    """The state of a container after its end; None where it goes on without its log.

    Raises `EngineLost` where nobody can tell.
    """
    end = time.monotonic() + SETTLE
    while time.monotonic() < end:
        try:
            with engine.errors():
                engine.check()
                container.reload()
        except NotFound as error:
            raise EngineLost("the container was removed by someone else") from error
        state: Mapping[str, Any] = container.attrs["State"]
        if not state["Running"]:
            return state
        watch.look()
        time.sleep(POLL)
    return None


def _ended_by(engine: Engine, container: Any, state: Mapping[str, Any]) -> Cause:  # noqa: ANN401
    """Whether a container that we did not kill was stopped through the engine.

    Its status does not tell: the supervisor ends with 0 when it is asked to, as engines do when
    they restart. An engine that does not remember the end was restarted after it.
    """
    since, until = _epoch(state["StartedAt"]), _epoch(state["FinishedAt"]) + 2
    seen = set()
    with engine.errors():
        events = engine.client.events(
            since=since, until=until, filters={"container": container.id}, decode=True
        )
        for event in events:
            seen.add(str(event.get("Action")))
            if "die" in seen:
                break
        events.close()
    if "die" not in seen:
        raise EngineLost(f"the engine at `{engine.url}` was restarted while the container ran")
    return "stopped-by-engine" if "kill" in seen else ""


def _epoch(stamp: str) -> int:
    """Seconds of the engine's RFC 3339 time, which has nine decimals."""
    return int(datetime.datetime.fromisoformat(f"{stamp[:19]}+00:00").timestamp())


def fetch(engine: Engine, container: Any, path: str, folder: Path, caps: Caps) -> Extracted:  # noqa: ANN401
    """Copy one file out of an ended container; nothing and no complaint where it left none."""
    with engine.errors():
        try:
            chunks, _ = container.get_archive(path)
        except NotFound:
            return Extracted(files=(), complaints=())
        except APIError as error:
            raise EngineLost(
                f"the engine at `{engine.url}` gave no `{path}`: {error.explanation}"
            ) from error
        return extract(chunks, folder, caps)
