"""`report`: tables of what was measured, and its promotion to the tracked results."""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import errors
from matrix.accelerators import accelerator_of
from matrix.cells import any_of, parse_companion, parse_id
from matrix.cli.common import check
from matrix.cli.page import write_page, write_picture
from matrix.cli.printing import print_json
from matrix.cli.query import nothing_in
from matrix.damaged import damaged_row
from matrix.entries import Entry
from matrix.selection import Fields
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.store import Damaged, Store
    from matrix.tables import Tables


def report_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print tables of the newest evidence or of one run, or make files; or promote a run."""
    check(arguments, workspace)
    store = workspace.store
    if arguments.publish:
        return _publish(arguments, workspace)
    published = False
    if arguments.run:
        run = store.run(arguments.run)
        entries, scope, refusals = list(run.entries), [f"run `{run.id}`"], run.refusals
    else:
        entries, scope, refusals = store.shown(), [], store.refusals()
        published = not entries
        entries = entries or store.shown(published=True)
    for refusal in refusals:
        print(f"matrix: {refusal}", file=sys.stderr)
    if not entries:
        raise nothing_in(workspace.results, refusals)
    if arguments.select:
        from matrix.reports.markdown import code

        scope.append(f"cells selected by {', '.join(map(code, arguments.select))}")
    entries = _selected(arguments.select, entries)
    if arguments.json:
        lost: list[Entry] = []
        rows = store.rows(entries, _complain(lost))
        print_json([asdict(row) for row in [*rows, *map(damaged_row, lost)]])
    files = arguments.html or arguments.picture
    printed = not (arguments.json or files)
    if not (arguments.out or files or printed):
        return errors.OK
    made = tables_of(arguments, workspace, entries, published=published, run=bool(arguments.run))
    told = _changed(arguments, workspace, entries)
    if printed:
        show(arguments, workspace, made, told)
    if arguments.out or (printed and not scope):
        folder = arguments.out or store.local / "tables"
        write(made, folder, workspace, scope=", ".join(scope), changed=told, published=published)
    if arguments.html:
        write_page(arguments, workspace, made, entries, ", ".join(scope))
    if arguments.picture:
        write_picture(arguments, workspace, made, entries)
    return errors.OK


def _selected(selections: Sequence[str], entries: Sequence[Entry]) -> list[Entry]:
    """Results of the selected cells; raises `NothingToRun`, with what is near, without any."""
    chosen = any_of(selections)
    found = [entry for entry in entries if chosen(fields_of(entry.cell, entry.execution))]
    if found:
        return found
    count = len({entry.key[:2] for entry in entries})
    ids = sorted({entry.cell for entry in entries})
    near = get_close_matches(" ".join(selections), ids, cutoff=0)
    wanted, there = (", ".join(f"`{text}`" for text in some) for some in (selections, near))
    message = f"{wanted} matches none of the {count} execution(s) here; the nearest: {there}"
    raise errors.NothingToRun(message)


def _changed(arguments: argparse.Namespace, workspace: Workspace, entries: Sequence[Entry]) -> str:
    """What the newest run changed, where Markdown was asked for."""
    from matrix.diff import since_last
    from matrix.reports import diffpage

    asked = arguments.format == "markdown" or arguments.out
    found = since_last(workspace.store, entries) if asked and not arguments.select else None
    return diffpage.since_last(found) if found else ""


def fields_of(cell: str, execution: str) -> Fields:
    """What selections see of a result, also of a cell that today's matrix file no longer has."""
    torch, variant, python = parse_id(cell) or ("", "", "")
    package, version = parse_companion(cell) or ("", "")
    accelerator = accelerator_of(variant)
    return {
        "id": cell,
        "torch": torch,
        "variant": variant,
        "accelerator": accelerator.NAME if accelerator else "",
        "python": python,
        "device": execution.rpartition("-")[2],
        "companion": f"{package}=={version}" if package else "",
    }


def _publish(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Promote a run and make the tracked tables again from all promoted runs."""
    store = workspace.store
    target = store.publish(store.run(arguments.publish))
    entries = [e for e in store.shown(published=True) if e.is_evidence]
    # what is published is not of this machine or day: whether it is stale here says nothing
    made = tables_of(arguments, workspace, entries, {}, published=True)
    show(arguments, workspace, made)
    write(made, workspace.results, workspace, published=True)
    if arguments.json:
        print_json({"run": target.name, "published": os.fspath(target)})
    print(f"published: {target}", file=sys.stderr)
    return errors.OK


def _complain(lost: list[Entry]) -> "Damaged":
    """Complain about each file of rows that cannot be read, and keep its entry."""

    def damaged(entry: Entry, path: Path, why: str) -> None:
        lost.append(entry)
        print(
            f"matrix: `{ascii(str(path))[1:-1][:300]}` is left out: {ascii(why)[1:-1]}; "
            "`python -m matrix run --rerun all` measures it again",
            file=sys.stderr,
        )

    return damaged


def _columns(store: "Store", entries: Sequence[Entry]) -> dict[str, list[object]]:
    """The rows of these results for tables, and one in place of each file that is damaged."""
    from matrix.longtable import columns

    lost: list[Entry] = []
    found = columns(store, entries, _complain(lost))
    for row in map(damaged_row, lost):
        for name, values in found.items():
            values.append(getattr(row, name))
    return found


def print_tables(
    arguments: argparse.Namespace, workspace: Workspace, entries: Sequence[Entry]
) -> None:
    """Print the tables of a run; its folder of tables has those of everything local."""
    shown = tables_of(arguments, workspace, entries, run=True)
    show(arguments, workspace, shown)
    seen = {(*entry.key, entry.run) for entry in entries}
    others = [entry for entry in workspace.store.shown() if (*entry.key, entry.run) not in seen]
    made = tables_of(arguments, workspace, [*others, *entries]) if others else shown
    write(made, workspace.store.local / "tables", workspace)


def tables_of(
    arguments: argparse.Namespace,
    workspace: Workspace,
    entries: Sequence[Entry],
    outdated: Mapping[tuple[str, str], str] | None = None,
    *,
    published: bool = False,
    run: bool = False,
) -> "Tables":
    """Make the tables of these results, marked where they are stale; `run`: of this run alone."""
    from matrix import tables
    from matrix.chance import disagreeing
    from matrix.cli.stale import stale
    from matrix.wants import with_more_devices

    profile, store = workspace.profile(arguments.profile), workspace.store
    rows = _columns(store, entries)
    if not run:
        rows = with_more_devices(store, entries, rows, published=published)
    return tables.build(
        rows,
        excluded=workspace.expansion.excluded,
        baseline=workspace.baseline(profile, (entry.cell for entry in entries)),
        stale=stale(workspace, entries) if outdated is None else outdated,
        earlier=disagreeing(store, entries, workspace.stop, published=published),
    )


def show(
    arguments: argparse.Namespace, workspace: Workspace, made: "Tables", changed: str = ""
) -> None:
    """Print tables, unless standard output is for JSON."""
    from matrix.reports import markdown, terminal

    if arguments.json:
        return
    if getattr(arguments, "format", "terminal") == "markdown":
        print(markdown.render(made, changed=changed))
    else:
        width = shutil.get_terminal_size((160, 24)).columns
        color = sys.stdout.isatty() and "NO_COLOR" not in workspace.env
        print(terminal.render(made, width=width, color=color))


def write(
    made: "Tables",
    folder: Path,
    workspace: Workspace,
    *,
    scope: str = "",
    changed: str = "",
    published: bool = False,
) -> None:
    """Leave tables as Markdown and CSV; `scope` says what they show where it is not everything."""
    from matrix.cli import guide
    from matrix.features import catalogue
    from matrix.reports import changespage, csvfiles, featurepage, markdown, torchao

    folder.mkdir(parents=True, exist_ok=True)
    pages = {"README": markdown.render(made, scope, changed)}
    if not scope:  # a part of the results would look as if the rest had never run
        pages["FEATURES"] = featurepage.render(made, catalogue())
        pages["CHANGES"] = changespage.render(made)
        if not made.torchao.empty:
            pages["TORCHAO"] = torchao.render(made.torchao)
        if published and (text := guide.page(workspace)):
            pages["GUIDE"] = text
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    csvfiles.write(made, folder)
    print(f"tables: {folder}", file=sys.stderr)
