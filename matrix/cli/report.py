"""`report`: tables of what was measured, and its promotion to the tracked results."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import errors
from matrix.accelerators import accelerator_of
from matrix.cells import any_of, parse_id
from matrix.cli.common import print_json
from matrix.selection import Fields
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.store import Entry


def report_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print tables of the newest evidence, or of one run; or promote a run."""
    store = workspace.store
    if arguments.publish:
        return _publish(arguments, workspace)
    if arguments.run:
        entries = list(store.run(arguments.run).entries)
    else:
        entries = list((store.newest() or store.newest(published=True)).values())
    chosen = any_of(arguments.select)
    entries = [entry for entry in entries if chosen(_fields(entry))]
    if not entries:
        message = f"no results in `{workspace.results}` yet; `python -m matrix run` makes some"
        raise errors.NothingToRun(message)
    if arguments.json:
        from dataclasses import asdict

        print_json([asdict(row) for row in store.rows(entries)])
    else:
        print_tables(arguments, workspace, entries)
    return errors.OK


def _fields(entry: "Entry") -> Fields:
    """What selections see of a result, also of a cell that today's matrix file no longer has."""
    torch, variant, python = parse_id(entry.cell) or ("", "", "")
    accelerator = accelerator_of(variant)
    return {
        "id": entry.cell,
        "torch": torch,
        "variant": variant,
        "accelerator": accelerator.NAME if accelerator else "",
        "python": python,
        "device": entry.execution.rpartition("-")[2],
        "companion": "",
    }


def _publish(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Promote a run and make the tracked tables again from all promoted runs."""
    store = workspace.store
    target = store.publish(store.run(arguments.publish))
    entries = [e for e in store.newest(published=True).values() if e.is_evidence]
    arguments.out = workspace.results
    print_tables(arguments, workspace, entries)
    if arguments.json:
        print_json({"run": target.name, "published": os.fspath(target)})
    print(f"published: {target}", file=sys.stderr)
    return errors.OK


def _complain(path: Path) -> None:
    print(
        f"matrix: `{path}` cannot be read, its results are left out; "
        "`python -m matrix run --rerun all` measures them again",
        file=sys.stderr,
    )


def print_tables(
    arguments: argparse.Namespace, workspace: Workspace, entries: Sequence["Entry"]
) -> None:
    """Print the terminal tables and leave Markdown and CSV beside the bundles."""
    from matrix import tables as shaping
    from matrix.reports import csvfiles, markdown, terminal

    profile = workspace.profile(arguments.profile)
    made = shaping.build(
        workspace.store.rows(entries, _complain),
        excluded=workspace.expansion.excluded,
        baseline=workspace.baseline(profile, (entry.cell for entry in entries)),
    )
    out = getattr(arguments, "out", None) or workspace.store.local / "tables"
    out.mkdir(parents=True, exist_ok=True)
    text = markdown.render(made)
    (out / "README.md").write_text(text, encoding="utf-8")
    csvfiles.write(made, out)
    if arguments.json:
        pass  # the tables are written all the same
    elif getattr(arguments, "format", "terminal") == "markdown":
        print(text)
    else:
        width = shutil.get_terminal_size((160, 24)).columns
        color = sys.stdout.isatty() and "NO_COLOR" not in workspace.env
        print(terminal.render(made, width=width, color=color))
    print(f"tables: {out}", file=sys.stderr)
