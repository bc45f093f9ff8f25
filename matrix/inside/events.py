"""The event file of a suite: one JSON object a line, written so that a crash loses none."""

from __future__ import annotations

import json
import math
import os
from typing import Any, Dict, List

LINE_LIMIT = 64 * 1024
TEXT_LIMIT = 16 * 1024
REASON_LIMIT = 600
ID_LIMIT = 1024

Event = Dict[str, Any]


class EventFile:
    """Append events to ``path``; several processes may do so, since a line is one write."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, event: Event, *, sync: bool = True) -> None:
        """Append ``event``, by default not returning before it is on the disk."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        file = os.open(self.path, flags, 0o644)
        try:
            data = encode(event)
            while data:
                data = data[os.write(file, data) :]
            if sync:
                os.fsync(file)
        finally:
            os.close(file)


class EventReader:
    """Read what was appended to ``path`` since the last call."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._offset = 0
        self._rest = b""

    def read(self) -> list[Event]:
        """The complete new lines; what is no JSON object is left out."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(data)
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        return [event for event in map(_decode, lines) if event]

    def heal(self) -> None:
        """End a line that a killed writer left unfinished, so that the next one stands alone."""
        self.read()
        if self._rest:
            with open(self.path, "ab") as file:
                file.write(b"\n")
            self.read()


def encode(event: Event) -> bytes:
    """One line of at most ``LINE_LIMIT`` bytes; texts are shortened until it fits."""
    limit = TEXT_LIMIT
    while True:
        text = json.dumps(_plain(event, limit), separators=(",", ":"), sort_keys=False)
        if len(text) < LINE_LIMIT or limit < 16:  # noqa: PLR2004 - nothing left to shorten
            return text[: LINE_LIMIT - 1].encode("ascii") + b"\n"
        limit //= 2


def clip(text: str, limit: int) -> str:
    """``text`` cut in the middle, with a marker saying how much is missing."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = max(limit - head, 1)
    return f"{text[:head]} [... {len(text) - head - tail} characters cut ...] {text[-tail:]}"


def short_id(nodeid: str) -> str:
    """A test id that is the same in every event and never fills a line."""
    if len(nodeid) <= ID_LIMIT:
        return nodeid
    import hashlib  # noqa: PLC0415 - rarely needed, and start-up counts

    digest = hashlib.sha256(nodeid.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return f"{nodeid[: ID_LIMIT - 16]}...{digest}"


def first_line(text: str) -> str:
    """The first line of ``text`` that says something, shortened to a reason's length."""
    for line in text.splitlines():
        if line.strip():
            return clip(line.strip(), REASON_LIMIT)
    return ""


def _plain(value: object, limit: int) -> object:
    """``value`` as strict JSON: no NaN, no infinity, no foreign object, no text over ``limit``."""
    if isinstance(value, dict):
        return {
            str(key): item if key == "id" else _plain(item, limit) for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        items: List[object] = [_plain(item, limit) for item in value]
        return items[: max(limit // 16, 1)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return clip(str(value), limit)


def _decode(line: bytes) -> Event:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    # a test can write into the file too, and must not end its supervisor with that
    told = isinstance(event, dict) and isinstance(event.get("event"), str)
    return event if told and _is_text(event, "id") and _is_text(event, "verdict") else {}


def _is_text(event: Event, key: str) -> bool:
    return isinstance(event.get(key, ""), str)
