"""`merge`: take bundles from elsewhere into a folder of runs, each whole or not at all.

What is damaged or of a newer schema is refused by name, and all others still come in. Nothing that
is there is ever edited: merging the same sources again changes nothing.
"""

import filecmp
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matrix.engines.archives import name_refusal
from matrix.entries import SCHEMA
from matrix.entryfiles import newer_schema, read_entry, read_run_file, schema_of
from matrix.incoming import CAPS, SourceRefused, folder_of, shown
from matrix.rowfiles import UNREADABLE, read_table, why_unreadable
from matrix.store import ENTRY_FILE, PLAN_FILE, ROWS_FILE, RUN_FILE, RUN_ID, text_of

DEPTH = 8
Outcome = Literal["merged", "present", "refused"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What became of a bundle, or of a source without one (`run` is "").

    `suites` are those that ended in it; `finished` says whether its run came to its end.
    """

    source: str
    run: str
    outcome: Outcome
    suites: int = 0
    finished: bool = False
    reasons: tuple[str, ...] = ()


def merge(sources: Iterable[str], target: Path) -> Iterator[Merged]:
    """Take all bundles of all sources in; raises `OSError` where `target` cannot be written."""
    for source in sources:
        try:
            with folder_of(source) as folder:
                found = list(bundles(folder))
                if not found:
                    raise SourceRefused("no bundle in it")  # noqa: TRY301  one way for all
                for bundle in found:
                    yield _take(bundle, shown(source), target)
        except SourceRefused as error:
            yield Merged(source=shown(source), run="", outcome="refused", reasons=(str(error),))


def bundles(folder: Path) -> Iterator[Path]:
    """Folders that are named as runs, wherever they lie; links are not followed."""
    root = folder.resolve()
    for path, names, files in os.walk(root):
        here = Path(path)
        names.sort()
        if RUN_ID.fullmatch(here.name) and ("cells" in names or {PLAN_FILE, RUN_FILE} & {*files}):
            names.clear()
            yield here
        elif len(here.relative_to(root).parts) >= DEPTH:
            names.clear()


def _take(bundle: Path, source: str, target: Path) -> Merged:
    reasons = tuple(problems(bundle))
    suites = len(list(_suites(bundle)))
    finished = (bundle / RUN_FILE).is_file()
    outcome: Outcome = "refused"
    place = target / bundle.name
    if not reasons:
        if place.is_dir():
            reasons = tuple(_differences(bundle, place))
            outcome = "refused" if reasons else "present"
        else:
            _copy(bundle, place)
            outcome = "merged"
    return Merged(
        source=source,
        run=bundle.name,
        outcome=outcome,
        suites=suites,
        finished=finished,
        reasons=reasons,
    )


def _copy(bundle: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(3)}.tmp")
    try:
        shutil.copytree(bundle, temporary, ignore=shutil.ignore_patterns(".*"), symlinks=True)
        temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _differences(bundle: Path, place: Path) -> list[str]:
    """What another bundle of the same name has otherwise."""
    ours, theirs = (_files(folder) for folder in (place, bundle))
    names = sorted(ours.keys() ^ theirs.keys())
    names += [n for n in ours.keys() & theirs.keys() if not _same(ours[n], theirs[n])]
    if not names:
        return []
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [f"another bundle of this name is there already: `{names[0]}`{more} differ(s)"]


def _same(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def _files(folder: Path) -> dict[str, Path]:
    """What counts of a bundle, by name: hidden files are what a killed run left behind."""
    found = {}
    for path, names, files in os.walk(folder):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                file = Path(path, name)
                found[file.relative_to(folder).as_posix()] = file
    return found


def _suites(bundle: Path) -> Iterator[Path]:
    for path in sorted(bundle.glob(f"cells/*/*/*/{ENTRY_FILE}")):
        if not path.parent.name.startswith("."):
            yield path.parent


def problems(bundle: Path) -> Iterator[str]:
    """Why a bundle may not come in: what is damaged, of a newer schema, or no part of a bundle."""
    odd = list(_odd_files(bundle))
    if odd:
        yield from odd
        return
    known = set()
    for folder in _suites(bundle):
        where = folder.relative_to(bundle).as_posix()
        known.add(where.removeprefix("cells/"))
        if reason := _suite_problem(folder, bundle.name):
            yield f"{where}: {reason}"
    if not known:
        yield "it holds no suite that ended"
    for name in (PLAN_FILE, RUN_FILE):
        if (bundle / name).exists():
            yield from _file_problems(bundle / name, bundle.name, known)


def _odd_files(bundle: Path) -> Iterator[str]:
    for path, names, files in os.walk(bundle):
        for name in (*names, *files):
            entry = Path(path, name)
            inside = entry.relative_to(bundle).as_posix()
            reason = name_refusal(inside)
            if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                reason = "it is no regular file"
            elif entry.is_file() and entry.stat().st_size > CAPS.file:
                reason = f"it is larger than {CAPS.file >> 20} MiB"
            if reason:
                yield f"{ascii(inside)[:200]}: {reason}"


def _suite_problem(folder: Path, run: str) -> str:
    text = text_of(folder / ENTRY_FILE)
    if reason := _schema_problem(text, ENTRY_FILE):
        return reason
    entry = read_entry(text)
    if entry is None:
        return f"{ENTRY_FILE} is damaged"
    if entry.run != run or entry.key != folder.parts[-3:]:
        return f"{ENTRY_FILE} is of `{entry.run}` {'/'.join(entry.key)}"
    try:
        rows = read_table(folder / ROWS_FILE, run).num_rows
    except UNREADABLE as error:
        return f"{ROWS_FILE}: {why_unreadable(error)}"
    if not rows and entry.counts:
        return f"{ROWS_FILE} has none of the tests that {ENTRY_FILE} counts"
    return ""


def _file_problems(path: Path, run: str, known: set[str]) -> Iterator[str]:
    """What is wrong with plan.json or run.json."""
    text = text_of(path)
    if reason := _schema_problem(text, path.name):
        yield reason
        return
    if path.name != RUN_FILE:
        return
    about = read_run_file(text)
    if about is None:
        yield f"{RUN_FILE} is damaged"
        return
    if about.id not in {"", run}:
        yield f"{RUN_FILE} is of {ascii(about.id)[:80]}"
    for item in about.executions:
        entry = read_entry(item)
        if entry is None:
            yield f"{RUN_FILE} is damaged"
        elif entry.run != run:
            yield f"{RUN_FILE} names a suite of {ascii(entry.run)[:80]}"
        elif "/".join(entry.key) not in known:
            yield f"it is cut short: {'/'.join(entry.key)} of {RUN_FILE} is not there"


def _schema_problem(text: bytes, name: str) -> str:
    schema = schema_of(text)
    return newer_schema(schema, name) or ("" if schema == SCHEMA else f"{name} is damaged")
