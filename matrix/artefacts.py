"""What bundles hold beside their rows: tracebacks, numbers, locks, Dockerfiles. All untrusted."""

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matrix.entries import Entry
from matrix.records import read_events
from matrix.store import Store

MAX_TEXT = 256 * 1024
MAX_TRACEBACK = 6000

# Names come out of run.json: one with a slash or leading dot would leave the bundle.
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """What a test left beside its row: `error` and `tolerance` of its comparison, as it states."""

    traceback: str = ""
    error: float | None = None
    tolerance: float | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Artefacts:
    """Texts of one suite of one execution; `tests` maps test ids to details. "" where none is."""

    lock: str = ""
    dockerfile: str = ""
    tests: Mapping[str, Detail] = field(default_factory=dict)


def read(store: Store, entries: Iterable[Entry]) -> dict[tuple[str, str, str, str], Artefacts]:
    """Artefacts by (run, cell, execution, suite); what cannot be read is absent."""
    found = {}
    for entry in entries:
        if all(_NAME.fullmatch(part) for part in (entry.run, *entry.key)):
            key = (entry.run, *entry.key)
            folder = next(filter(None, (_folder(root, key) for root in store.folders)), None)
            if folder:
                found[key] = _read(folder)
    return found


def _folder(root: Path, key: tuple[str, str, str, str]) -> Path | None:
    """The folder of a suite, unless a link leads out of the store."""
    run, *rest = key
    place = (root / run / "cells" / Path(*rest)).resolve()
    return place if place.is_dir() and place.is_relative_to(root.resolve()) else None


def _read(folder: Path) -> Artefacts:
    events = folder / "outcomes.jsonl"
    seen, _ = ([], []) if events.is_symlink() else read_events(events)
    return Artefacts(
        lock=_packages(_text(folder / "requirements.lock")),
        dockerfile=_text(folder / "Dockerfile"),
        tests={str(e.get("id")): _detail(e) for e in seen if e.get("event") == "outcome"},
    )


def _text(path: Path) -> str:
    """Text of a regular file, cut at `MAX_TEXT`; a link could show a file of this machine."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(MAX_TEXT).decode(errors="replace")
    except OSError:
        return ""


def _packages(lock: str) -> str:
    """The pins of a lock without their hashes, which are nine tenths of it."""
    lines = (line.rstrip(" \\") for line in lock.splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith(("--", "#")))


def _detail(event: Mapping[str, Any]) -> Detail:
    numbers, error = event.get("numbers"), event.get("error")
    numbers = numbers if isinstance(numbers, dict) else {}
    traceback = error.get("traceback") if isinstance(error, dict) else ""
    seed = numbers.get("seed")
    return Detail(
        traceback=traceback[-MAX_TRACEBACK:] if isinstance(traceback, str) else "",
        error=_number(numbers.get("error")),
        tolerance=_number(numbers.get("tolerance")),
        seed=seed if isinstance(seed, int) and 0 <= seed < 1 << 63 else None,
    )


def _number(value: object) -> float | None:
    """A number as it is, also one that is not finite: an error may be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON has integers of any size
        return math.inf
