"""Results on more devices, in place of those of tests that wanted more than there were."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matrix.entries import Entry
from matrix.rows import NOT_EVIDENCE
from matrix.store import Store
from matrix.verdicts import WANTS_DEVICES

_TEST = ("cell", "execution", "device_model", "provision", "suite", "test")
_FEW = 20  # earlier entries that are read for one
_SILENT = NOT_EVIDENCE | {"", "skip"}

Columns = dict[str, list[Any]]


def with_more_devices(
    store: Store, entries: Sequence[Entry], found: Columns, *, published: bool = False
) -> Columns:
    """The columns of `entries`' rows with what was skipped for want of devices filled in.

    A test that was skipped so has the rows of its last run that had enough of them, in the same
    place; where there is none it stays skipped.
    """
    told = zip(found["verdict"], found["reason"], strict=True)
    wants = {
        key
        for key, (verdict, reason) in zip(_keys(found), told, strict=True)
        if verdict == "skip" and re.fullmatch(WANTS_DEVICES, reason)
    }
    if not wants:
        return found
    parts = []
    for entry in _before(store, entries, published=published):
        if not wants:
            break
        rows = store.columns([entry])
        ran = {
            key
            for key, verdict in zip(_keys(rows), rows["verdict"], strict=True)
            if key in wants and verdict not in _SILENT
        }
        if ran:
            parts.append(_of(rows, [key in ran for key in _keys(rows)]))
            wants -= ran
            found = _of(found, [key not in ran for key in _keys(found)])
    return {
        name: list(itertools.chain(values, *(part[name] for part in parts)))
        for name, values in found.items()
    }


def _before(store: Store, entries: Sequence[Entry], *, published: bool) -> Iterator[Entry]:
    """Earlier entries in the places of these that skipped less, the newest first."""
    now = {(e.key, e.device_model): e for e in entries if e.counts.get("skip")}
    found: dict[tuple[object, str], list[Entry]] = {}
    for run in store.runs_in(published=published):
        for entry in run.entries:
            place = (entry.key, entry.device_model)
            last = now.get(place)
            if last is None or entry.run >= last.run or entry.verdict:
                continue
            if entry.counts.get("skip", 0) < last.counts["skip"]:
                found.setdefault(place, []).append(entry)
    few = (entry for chain in found.values() for entry in chain[-_FEW:])
    return iter(sorted(few, key=lambda entry: entry.run, reverse=True))


def _keys(rows: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    return zip(*(rows[name] for name in _TEST), strict=True)


def _of(rows: Columns, chosen: Sequence[bool]) -> Columns:
    return {
        name: [value for value, keep in zip(values, chosen, strict=True) if keep]
        for name, values in rows.items()
    }
