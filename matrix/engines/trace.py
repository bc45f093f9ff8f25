"""Decoder of `moby.buildkit.trace`: what BuildKit says of its steps, without protobuf's library.

Messages and field numbers are those of BuildKit's `api/services/control/control.proto`.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Vertex:
    """State of one build step; `error` is "" while it has not failed."""

    digest: str
    name: str
    cached: bool
    started: bool
    completed: bool
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """Bytes that the step `vertex` wrote."""

    vertex: str
    data: bytes


def decode(aux: str) -> Iterator[Vertex | Output]:
    """Decode one `aux` value (base64 of a `StatusResponse`); raises `ValueError`."""
    try:
        message = base64.b64decode(aux, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            yield _vertex(value)
        elif number == 3 and isinstance(value, bytes):  # noqa: PLR2004  StatusResponse.logs
            log = dict(_fields(value))
            yield Output(vertex=_text(log.get(1)), data=bytes(log.get(4) or b""))


def _vertex(data: bytes) -> Vertex:
    fields = dict(_fields(data))  # the only repeated one, `inputs`, is of no interest
    return Vertex(
        digest=_text(fields.get(1)),
        name=_text(fields.get(3)),
        cached=bool(fields.get(4)),
        started=bool(fields.get(5)),
        completed=bool(fields.get(6)),
        error=_text(fields.get(7)),
    )


def _text(value: int | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of one message, in order."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _varint(data, at)
        else:
            if kind == _BYTES:
                size, at = _varint(data, at)
            elif kind in {_FIXED32, _FIXED64}:
                size = 4 if kind == _FIXED32 else 8
            else:
                message = f"wire type {kind} at byte {at}"
                raise ValueError(message)
            value = data[at : at + size]
            if len(value) < size:
                message = f"{size} bytes announced at byte {at}, {len(value)} there"
                raise ValueError(message)
            at += size
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, at
        shift += 7
    message = "the message ends within a number"
    raise ValueError(message)


class Transcript:
    """Turns trace events into log lines and remembers what each step said last.

    `write` gets every finished line, `stage` the name of each step that starts to work.
    """

    def __init__(self, write: Callable[[str], None], stage: Callable[[str], None]) -> None:
        self._write = write
        self._stage = stage
        self._known: dict[str, Vertex] = {}
        self._numbers: dict[str, int] = {}
        self._rest: dict[str, bytes] = {}
        self._last: dict[str, list[str]] = {}

    def tell(self, event: Vertex | Output) -> None:
        """Take the next event."""
        if isinstance(event, Output):
            *lines, rest = (self._rest.get(event.vertex, b"") + event.data).split(b"\n")
            self._rest[event.vertex] = rest
            for line in lines:
                self._line(event.vertex, line.decode(errors="replace"))
            return
        before = self._known.get(event.digest)
        self._known[event.digest] = event
        number = self._numbers.setdefault(event.digest, len(self._numbers) + 1)
        if event.started and not (before and before.started):
            self._write(f"#{number} {event.name}")
            if not (event.cached or event.completed):
                self._stage(event.name)
        if event.completed and not (before and before.completed):
            if rest := self._rest.pop(event.digest, b""):
                self._line(event.digest, rest.decode(errors="replace"))
            end = f"ERROR {event.error}" if event.error else "CACHED" if event.cached else "DONE"
            self._write(f"#{number} {end}")

    @property
    def failed(self) -> tuple[str, tuple[str, ...]] | None:
        """Name and last lines of the step that failed first, if one did."""
        for digest, vertex in self._known.items():
            if vertex.error and "context canceled" not in vertex.error:
                return vertex.name, tuple(self._last.get(digest, ()))
        return None

    def _line(self, digest: str, text: str) -> None:
        text = text.rstrip("\r").rpartition("\r")[2]  # of a progress bar only its end
        self._write(f"#{self._numbers.get(digest, 0)} {text}")
        if text.strip():
            self._last[digest] = [*self._last.get(digest, [])[-19:], text.strip()]
