"""Bundles: append, find, publish. Nothing is ever edited; everything else is derived from them.

runs/<utc>-<short id>/plan.json                             written first
runs/…/cells/<cell>/<execution>/<suite>/                    renamed in whole, or not there
{execution.json, rows.parquet, probe.json, outcomes.jsonl, requirements.lock, *.log, …}
runs/…/run.json                                             written last
"""

import datetime
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matrix.entries import SCHEMA, Entry, RunInfo
from matrix.errors import InfrastructureError, InputError
from matrix.newest import newest_of, shown_of
from matrix.rowfiles import UNREADABLE, read_columns, rows_of, why_unreadable
from matrix.rows import ROW_FIELDS, Row, write_rows

RUN_FILE = "run.json"
PLAN_FILE = "plan.json"
ENTRY_FILE = "execution.json"
ROWS_FILE = "rows.parquet"
RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
Damaged = Callable[[Entry, Path, str], None]
"""Is told of an entry, of the file of its rows that cannot be read, and why."""


def utc_now() -> datetime.datetime:
    """The one clock of bundles."""
    return datetime.datetime.now(datetime.UTC)


def write_json(path: Path, data: object) -> None:
    """Write a JSON file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}.tmp")
    temporary.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(path)


class Bundle:
    """The directory of one run, while it is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name

    def stage(self, cell: str, execution: str, suite: str) -> Path:
        """A temporary folder beside its final place, for the artefacts of one suite."""
        parent = self.path / "cells" / cell / execution
        folder = parent / f".{suite}.{os.getpid()}.{secrets.token_hex(3)}.tmp"
        folder.mkdir(parents=True)
        return folder

    def commit(self, folder: Path, entry: Entry, rows: Iterable[Row]) -> None:
        """Put a suite's artefacts in place, whole; raises `InfrastructureError` when it cannot."""
        target = folder.parent / entry.suite
        try:
            write_rows(rows, folder / ROWS_FILE)
            write_json(folder / ENTRY_FILE, asdict(entry))
            _sync(folder)
            folder.rename(target)
            _sync(target.parent)
        except OSError as error:
            message = f"`{target}` cannot be written ({error}); what finished before is kept"
            raise InfrastructureError(message) from error

    def finish(self, data: Mapping[str, object]) -> None:
        """Write run.json, the mark of a run that came to its end."""
        from matrix.entryfiles import read_entry  # noqa: PLC0415  as in `read_run`

        entries = [asdict(entry) for item in _scan(self.path) if (entry := read_entry(item))]
        write_json(self.path / RUN_FILE, {"schema": SCHEMA, **data, "executions": entries})


def _sync(folder: Path) -> None:
    """Flush files and directory to disk, so that a power cut leaves whole things."""
    for path in (*(p for p in folder.iterdir() if p.is_file()), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def bundles_in(folder: Path) -> list[Path]:
    """The folders of runs below a folder of runs, oldest first."""
    names = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in names if path.is_dir() and not path.name.startswith(".")]


def text_of(path: Path) -> bytes:
    """What is in a file of a bundle; nothing where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _scan(run: Path) -> Iterator[bytes]:
    for path in sorted(run.glob(f"cells/*/*/*/{ENTRY_FILE}")):
        if not path.parent.name.startswith("."):
            yield text_of(path)


def read_run(path: Path) -> RunInfo:
    """Read the folder of one run; of one of a newer schema nothing is taken."""
    # a twentieth of a second that `query` does not need
    from matrix.entryfiles import newer_schema, read_entry, read_run_file, schema_of  # noqa: PLC0415

    has_ended = (path / RUN_FILE).exists()  # asked first: it may end in the meantime
    about = read_run_file(text_of(path / RUN_FILE))
    refusal = newer_schema(about.schema, RUN_FILE) if about else newer_run(path)
    entries: tuple[Entry, ...] = ()
    if not refusal:
        found = about.executions if about else list(_scan(path))
        entries = tuple(e for e in map(read_entry, found) if e and e.run == path.name)
        if lost := len(found) - len(entries):
            told = (newer_schema(schema_of(item), ENTRY_FILE) for item in found)
            name = RUN_FILE if about else ENTRY_FILE
            refusal = next(filter(None, told), f"{name} is damaged for {lost} suite(s)")
        elif has_ended and not about:
            refusal = f"{RUN_FILE} is damaged, the rest is read"
    return RunInfo(
        path=path, id=path.name, finished=about is not None, entries=entries, refusal=refusal
    )


def newer_run(path: Path) -> str:
    """Say that a run is of a newer version of this package; "" where it is not."""
    from matrix.entryfiles import newer_schema, schema_of  # noqa: PLC0415  as in `read_run`

    name = RUN_FILE if (path / RUN_FILE).exists() else PLAN_FILE
    return newer_schema(schema_of(text_of(path / name)), name)


class Store:
    """Runs under one results folder: `local/runs` first, then the published `runs`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.local = root / "local"
        self.folders = (self.local / "runs", root / "runs")
        self._finished: dict[Path, RunInfo] = {}

    def create(self, plan: Mapping[str, object]) -> Bundle:
        """Start a bundle; raises `InfrastructureError` where results cannot be written."""
        path = self.folders[0] / self._next_id()
        try:
            path.mkdir(parents=True)
            write_json(path / PLAN_FILE, {"schema": SCHEMA, **plan})
        except OSError as error:
            message = f"`{self.local}` cannot be written ({error}); free it or use `--results`"
            raise InfrastructureError(message) from error
        return Bundle(path)

    def _next_id(self) -> str:
        """An id that sorts behind those of all runs, also of one that began in the same second."""
        stamp = utc_now().strftime("%Y%m%dT%H%M%SZ")
        beside = (re.fullmatch(rf"{stamp}-([0-9a-f]{{6}})", path.name) for path in self.paths())
        last = max((int(found[1], 16) for found in beside if found), default=None)
        # a random one leaves room for the second's later ones
        number = secrets.randbelow(1 << 23) if last is None else last + 1 + secrets.randbelow(256)
        return f"{stamp}-{number:06x}"

    def runs(self) -> list[RunInfo]:
        """All runs, oldest first; a finished run is read from its run.json alone."""
        return [self._read(path) for path in self.paths()]

    def refusals(self) -> list[str]:
        """Which runs are left out, in whole or in part, and why."""
        return [line for run in self.runs() for line in run.refusals]

    def paths(self) -> list[Path]:
        """The folders of all runs, oldest first; nothing in them is read."""
        local, tracked = self.folders
        # a published run is a local one's copy
        found = {path.name: path for path in (*bundles_in(tracked), *bundles_in(local))}
        return [found[run_id] for run_id in sorted(found)]

    def runs_in(self, *, published: bool = False) -> list[RunInfo]:
        """The runs of this machine, or the published ones, oldest first."""
        return self._in(self.folders[published])

    def _in(self, folder: Path) -> list[RunInfo]:
        return [self._read(path) for path in bundles_in(folder)]

    def _read(self, path: Path) -> RunInfo:
        """Read a run; one that came to its end never changes."""
        run = self._finished.get(path) or read_run(path)
        if run.finished:
            self._finished[path] = run
        return run

    def run(self, run_id: str) -> RunInfo:
        """Find a run by id, or by `latest`, `latest~1` (the one before); raises `InputError`."""
        paths = self.paths()
        back = re.fullmatch(r"latest(?:~([0-9]{1,6}))?", run_id)
        if back and int(back[1] or 0) < len(paths):
            return read_run(paths[-1 - int(back[1] or 0)])
        for path in paths:
            if path.name == run_id:
                return read_run(path)
        known = ", ".join(path.name for path in paths[-5:]) or "none yet"
        raise InputError(f"no run `{run_id}` in `{self.root}`", [f"newest runs: {known}"])

    def newest(self, *, published: bool = False) -> list[Entry]:
        """The newest evidence per (cell, execution, suite, GPU model).

        Infrastructure faults do not count where there is other evidence, and a cell that reaches
        no GPU today does so on all models.
        Of this machine's own runs: published ones may come from other hardware, so that they
        make nothing fresh here and are no baseline. `published` takes only those.
        """
        return newest_of(self._in(self.folders[published]))

    def shown(self, *, published: bool = False) -> list[Entry]:
        """What tables show: `newest`, and earlier entries that cover more (`shown_of`)."""
        return shown_of(self._in(self.folders[published]))

    def baselines(self) -> list[Entry]:
        """The newest entries in which tests ran, per place as in `newest`; oldest first.

        They are what to compare with: one that is uninstallable today, with the day it worked.
        """
        ran = {
            (entry.key, entry.device_model): entry
            for run in self._in(self.folders[0])
            for entry in run.entries
            if entry.is_evidence and not entry.verdict
        }
        return sorted(ran.values(), key=lambda entry: entry.run)

    def earlier(self, entries: Iterable[Entry], *, published: bool = False) -> list[Entry]:
        """Other runs' entries of the same recipe, where not everything came out the same.

        Of the runs that `newest` looks at. What came out alike in one word, such as all `pass`,
        can hold nothing that changed.
        """
        wanted = {(entry.key, entry.recipe): entry for entry in entries}
        found = []
        for run in self._in(self.folders[published]):
            for entry in run.entries:
                shown = wanted.get((entry.key, entry.recipe))
                if shown and entry.run != shown.run and len({*shown.counts, *entry.counts}) > 1:
                    found.append(entry)
        return found

    def rows(
        self, entries: Iterable[Entry], damaged: Damaged = lambda _entry, _path, _why: None
    ) -> list[Row]:
        """The rows of these entries; a damaged file is skipped, and `damaged` is told."""
        return [row for part in self._read_all(entries, damaged) for row in rows_of(part)]

    def columns(
        self, entries: Iterable[Entry], damaged: Damaged = lambda _entry, _path, _why: None
    ) -> dict[str, list[Any]]:
        """The same by field of `Row`: for tables, to which a hundred thousand objects are slow."""
        found: dict[str, list[Any]] = {name: [] for name in ROW_FIELDS}
        for part in self._read_all(entries, damaged):
            for name, values in part.items():
                found[name] += values
        return found

    def _read_all(
        self, entries: Iterable[Entry], damaged: Damaged
    ) -> Iterator[dict[str, list[Any]]]:
        for entry in entries:
            path = self._rows_of(entry)
            try:
                found = read_columns(path, entry.run)
            except UNREADABLE as error:
                damaged(entry, path, why_unreadable(error))
                continue
            if entry.counts and not found["run"]:
                damaged(entry, path, f"it has none of the tests that {ENTRY_FILE} counts")
            yield found

    def _rows_of(self, entry: Entry) -> Path:
        """The file of its rows: of this machine's runs, else of the published ones."""
        runs = [folder / entry.run for folder in self.folders]
        paths = [run / "cells" / "/".join(entry.key) / ROWS_FILE for run in runs if run.is_dir()]
        return next(filter(os.path.lexists, paths), paths[0] if paths else runs[0] / ROWS_FILE)

    def publish(self, run: RunInfo) -> Path:
        """Copy a local run to the tracked ones; raises `InputError` for an unfinished run."""
        about = json.loads(text_of(run.path / RUN_FILE)) if run.finished else {"interrupted": True}
        done = not about.get("interrupted")
        if not done or not run.entries:
            problem = "publish a run that came to its end; `python -m matrix run` does the rest"
            raise InputError(f"run `{run.id}` is not whole", [problem])
        target = self.folders[1] / run.id
        if not target.exists():
            temporary = self.folders[1] / f".{run.id}.tmp"
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(run.path, temporary, ignore=shutil.ignore_patterns(".*"))
            temporary.rename(target)
        return target
