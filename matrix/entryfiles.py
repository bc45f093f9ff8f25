"""execution.json and run.json of bundles, which may be a stranger's: checked as they are read."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from matrix.entries import SCHEMA, Entry

Json = bytes | msgspec.Raw
_Read = TypeVar("_Read")
_FOLDER = re.compile(r"[^/\\\0.][^/\\\0]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFile:
    """What run.json says: `executions` are entries, each unread JSON for `read_entry`."""

    schema: int = 0
    id: str = ""
    executions: Sequence[msgspec.Raw]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Versioned:
    schema: int = 0


_ENTRY = msgspec.json.Decoder(Entry)
_RUN_FILE = msgspec.json.Decoder(RunFile)
_VERSIONED = msgspec.json.Decoder(_Versioned)


@functools.lru_cache(maxsize=4096)  # nights repeat the same names
def _is_folder(name: str) -> bool:
    return _FOLDER.fullmatch(name) is not None


def schema_of(text: Json) -> int | None:
    """The schema that a file of a bundle says it is of, 0 without one; None for a damaged file."""
    found = _decoded(_VERSIONED, text)
    return found.schema if found else None


def newer_schema(schema: int | None, name: str) -> str:
    """Say that a file of a bundle is of a newer version of this package; "" where it is not."""
    if schema is None or schema <= SCHEMA:
        return ""
    return f"{name} is of schema {schema}, this version reads {SCHEMA}: update torch-matrix"


def read_entry(text: Json) -> Entry | None:
    """Make an entry of execution.json; None where that is damaged or of another schema."""
    entry = _decoded(_ENTRY, text)
    if entry is None or entry.schema != SCHEMA:
        return None
    # they are names of folders; a bundle may be a stranger's
    names = (entry.run, entry.cell, entry.execution, entry.suite)
    return entry if all(map(_is_folder, names)) else None


def read_run_file(text: Json) -> RunFile | None:
    """Read run.json; None where it is damaged."""
    return _decoded(_RUN_FILE, text)


def _decoded(decoder: "msgspec.json.Decoder[_Read]", text: Json) -> _Read | None:
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
