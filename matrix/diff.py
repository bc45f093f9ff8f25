"""Two runs, or two stores, side by side: what is new, gone, changed, and no longer tested."""

import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrix import judge
from matrix.entries import Entry, RunInfo
from matrix.errors import InputError, NothingToRun
from matrix.judge import Finding
from matrix.newest import newest_of
from matrix.rowfiles import UNREADABLE, read_rows, why_unreadable
from matrix.rows import NOT_EVIDENCE, Row
from matrix.store import PLAN_FILE, ROWS_FILE, RUN_ID, Store, bundles_in, read_run

Key = tuple[str, str, str, str, str]
Place = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What is compared: a run, or the newest evidence of a folder of runs.

    `places` are suites of executions, with the models of the devices that they ran on. `excluded`
    maps combinations that were no cell to the reason; `fresh` are suites that a run left out
    because nothing had changed since an earlier one.
    """

    name: str
    rows: tuple[Row, ...]
    places: Mapping[Place, frozenset[str]]
    excluded: Mapping[str, str]
    fresh: frozenset[Place]
    complaints: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """A test that has another verdict, without being or having been wrong; "" where it is not."""

    cell: str
    execution: str
    suite: str
    test: str
    before: str
    now: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What `now` has, beside `before`.

    `findings` are the judge's; `changed` are all other tests whose verdict is another. `added` and
    `left_out` are suites of executions on one side alone, the latter with the reason, as far as it
    is known; `excluded` and `included` are combinations that are no cell any more, or are one now.
    """

    before: str
    now: str
    same: int
    findings: tuple[Finding, ...]
    changed: tuple[Changed, ...]
    added: tuple[Place, ...]
    left_out: Mapping[Place, str]
    excluded: Mapping[str, str]
    included: Mapping[str, str]


def side(name: str, store: Store) -> Side:
    """Read a run by id, `latest`, `latest~1` or path, or a folder of runs; raises `InputError`."""
    path = Path(name)
    if not path.is_dir():
        return _of_runs(name, [store.run(name)])
    path = path.resolve()
    if RUN_ID.fullmatch(path.name):
        return _of_runs(path.name, [read_run(path)])
    folders = [f for f in bundles_in(path) if RUN_ID.fullmatch(f.name)] or Store(path).paths()
    if not folders:
        raise InputError(f"no run in `{name}`", ["name a bundle, or a folder of bundles"])
    return _of_runs(name, [read_run(folder) for folder in folders])


def newest_pair(store: Store) -> tuple[str, str, int]:
    """The newest earlier run that ran some of what the newest one did, and the newest one.

    With the number of runs between them that ran nothing of it. Raises `NothingToRun` where no
    earlier run did, and `InputError` where there is no run.
    """
    now = store.run("latest")
    models: dict[Place, set[str]] = {}
    for entry in now.entries:
        models.setdefault(entry.key, set()).add(entry.device_model)
    earlier = [path for path in store.paths() if path.name < now.id]
    for passed, path in enumerate(reversed(earlier)):
        ran = read_run(path).entries
        if any(e.key in models and not _is_other({e.device_model}, models[e.key]) for e in ran):
            return path.name, now.id, passed
    message = (
        f"none of the {len(earlier)} earlier run(s) shares an execution with `{now.id}`; name the "
        "runs to compare, or make another one with `python -m matrix run --rerun all`"
    )
    raise NothingToRun(message)


def since_last(store: Store, entries: Iterable[Entry]) -> Difference | None:
    """What the newest run of these entries changed beside all runs before it, if there are any.

    Shards of it count with it: runs of the same day that share no suite of an execution.
    """
    last = max((entry.run for entry in entries), default="")
    folder = next((path for path in store.folders if (path / last).is_dir()), None)
    if not last or folder is None:
        return None
    every = (read_run(path) for path in bundles_in(folder) if path.name <= last)
    runs = [run for run in every if run.entries]
    newest = [runs.pop()]
    keys = {entry.key for entry in newest[0].entries}
    while runs and runs[-1].id[:8] == last[:8]:
        own = {entry.key for entry in runs[-1].entries}
        if own & keys:
            break
        newest.append(runs.pop())
        keys |= own
    if not runs:
        return None
    name = f"{last} and {len(newest) - 1} other(s) of that day" if newest[1:] else last
    return compare(_of_runs("before", runs), _of_runs(name, newest[::-1]))


def _of_runs(name: str, runs: list[RunInfo]) -> Side:
    refusals = [line for run in runs for line in run.refusals]
    if refusals and not any(run.entries for run in runs):
        raise InputError(f"`{name}` cannot be read:", refusals)
    paths = {run.id: run.path for run in runs}
    entries = list(runs[0].entries) if len(runs) == 1 else newest_of(runs)
    plan = _plan(runs[-1].path)
    rows, complaints = _rows(entries, paths)
    places: dict[Place, set[str]] = {entry.key: set() for entry in entries}
    for row in rows:
        places[row.cell, row.execution, row.suite].add(_model(row))
    return Side(
        name=name if len(runs) > 1 else runs[0].id,
        rows=tuple(rows),
        places={place: frozenset(models) for place, models in places.items()},
        excluded={
            str(item.get("id", "")): str(item.get("reason", ""))
            for item in _dicts(plan.get("excluded"))
        },
        fresh=frozenset(
            (str(item.get("cell")), str(item.get("execution")), str(item.get("suite")))
            for item in _dicts(plan.get("fresh"))
        ),
        complaints=(*refusals, *complaints),
    )


def _plan(run: Path) -> Mapping[str, Any]:
    try:
        data = json.loads((run / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _rows(entries: Iterable[Entry], paths: Mapping[str, Path]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    complaints = []
    for entry in sorted(entries, key=lambda entry: entry.run):
        if entry.run not in paths:
            complaints.append(f"{'/'.join(entry.key)} is left out: it says it is of `{entry.run}`")
            continue
        path = paths[entry.run] / "cells" / "/".join(entry.key) / ROWS_FILE
        try:
            rows += read_rows(path, entry.run)
        except UNREADABLE as error:
            complaints.append(f"{path} is left out: {why_unreadable(error)}")
    return rows, complaints


def compare(before: Side, now: Side) -> Difference:
    """What changed from one side to the other."""
    findings = judge.compare(before.rows, now.rows)
    found = {(f.cell, f.execution, f.suite, f.test) for f in findings}
    old, new = _verdicts(before.rows), _verdicts(now.rows)
    changed, same = [], 0
    for key in old.keys() & new.keys():
        if key[:4] in found:
            continue
        if old[key].verdict == new[key].verdict:
            same += 1
        else:
            changed.append(_changed(key, old[key].verdict, new[key]))
    order = sorted(changed, key=lambda c: (c.cell, c.execution, c.suite, c.test))
    both = before.places.keys() & now.places.keys()
    moved = {place for place in both if _is_other(before.places[place], now.places[place])}
    return Difference(
        before=before.name,
        now=now.name,
        same=same,
        findings=tuple(findings),
        changed=tuple(order),
        added=tuple(sorted(now.places.keys() - before.places.keys() | moved)),
        left_out={
            place: _moved(before, now, place) if place in moved else _why(place, now)
            for place in sorted(before.places.keys() - now.places.keys() | moved)
        },
        excluded={i: r for i, r in now.excluded.items() if i not in before.excluded},
        included={i: r for i, r in before.excluded.items() if i not in now.excluded},
    )


def _verdicts(rows: Iterable[Row]) -> dict[Key, Row]:
    return {
        (row.cell, row.execution, row.suite, row.test, _model(row)): row
        for row in rows
        if row.verdict and row.verdict not in NOT_EVIDENCE
    }


def _model(row: Row) -> str:
    """The model of its device, as entries say it: processors are all alike."""
    return "" if row.device == "cpu" else row.device_model


def _changed(key: Key, before: str, now: Row) -> Changed:
    cell, execution, suite, test, _ = key
    return Changed(
        cell=cell,
        execution=execution,
        suite=suite,
        test=test,
        before=before,
        now=now.verdict,
        reason=now.reason,
    )


def _is_other(was: AbstractSet[str], ran: AbstractSet[str]) -> bool:
    """Whether these are known models of devices of which none is the same."""
    return bool(was and ran) and "" not in was | ran and was.isdisjoint(ran)


def _moved(before: Side, now: Side, place: Place) -> str:
    was, ran = (" and ".join(sorted(side.places[place])) for side in (before, now))
    return f"it ran on {was}, now on {ran}"


def _why(place: Place, now: Side) -> str:
    """Why a suite of an execution is not on that side; "" where nobody says."""
    if place in now.fresh:
        return "fresh: nothing changed since an earlier run"
    reason = now.excluded.get(place[0])
    return f"excluded: {reason}" if reason else ""
