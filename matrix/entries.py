"""What a bundle says of one suite of one execution, and of a run."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from matrix.rows import NOT_EVIDENCE

SCHEMA = 1
_FOLDER = re.compile(r"[^/\\\0.][^/\\\0]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Summary of one suite of one execution: what the plan needs to know about the past.

    `seconds` and `stages` are wall seconds; `counts` maps verdicts to numbers of tests.
    `device_model` is that of its GPU: "" on processors, and where it got to none.
    `costs` says what `seconds` went into, as far as the suite told. `cache` is what became of its
    compiled code on a remote: empty where none is shared.
    """

    schema: int = SCHEMA
    run: str
    cell: str
    execution: str
    suite: str
    recipe: str
    evidence: str = ""
    started: str = ""
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    verdict: str = ""
    reason: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    provision: str = ""
    device_model: str = ""
    complaints: tuple[str, ...] = ()
    cache: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What newer entries replace."""
        return self.cell, self.execution, self.suite

    @property
    def is_evidence(self) -> bool:
        """Whether it says something about the cell, rather than about the machine."""
        return self.verdict not in NOT_EVIDENCE and set(self.counts) != {"not-run"}

    @property
    def is_complete(self) -> bool:
        """Whether it is evidence on every test of the suite: only then it can be fresh."""
        return self.is_evidence and not self.counts.get("not-run")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInfo:
    """One run of the store; `refusal` says why it, or a part of it, is not among the entries."""

    path: Path
    id: str
    finished: bool
    entries: tuple[Entry, ...]
    refusal: str = ""

    @property
    def refusals(self) -> list[str]:
        """A line on what is left out of it, if anything is."""
        part = " in part" if self.entries else ""
        return [f"{self.path} is left out{part}: {self.refusal}"] if self.refusal else []


_FIELDS = tuple(field.name for field in fields(Entry))
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(_FIELDS, str),
    "schema": int,
    "seconds": (int, float),
    "stages": dict,
    "costs": dict,
    "counts": dict,
    "complaints": list,
    "cache": dict,
}


@functools.lru_cache(maxsize=4096)  # nights repeat the same names
def _is_folder(name: str) -> bool:
    return _FOLDER.fullmatch(name) is not None


@functools.lru_cache(maxsize=256)  # and of the same kinds
def _are_kinds(names: tuple[str, ...], kinds: tuple[type, ...]) -> bool:
    return all(issubclass(kind, _KINDS[name]) for name, kind in zip(names, kinds, strict=True))


def newer_schema(data: object, name: str) -> str:
    """Say that a file of a bundle is of a newer version of this package; "" where it is not."""
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(schema, int) or schema <= SCHEMA:
        return ""
    return f"{name} is of schema {schema}, this version reads {SCHEMA}: update torch-matrix"


def read_entry(data: object) -> Entry | None:
    """Make an entry of parsed JSON; None where it is damaged or of another schema."""
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        return None
    known = {name: data[name] for name in _FIELDS if name in data}
    if not _are_kinds(tuple(known), tuple(map(type, known.values()))):
        return None
    known["complaints"] = tuple(known.get("complaints", ()))
    try:
        entry = Entry(**known)
    except TypeError:
        return None
    # they are names of folders; a bundle may be a stranger's
    names = (entry.run, entry.cell, entry.execution, entry.suite)
    return entry if all(map(_is_folder, names)) else None
