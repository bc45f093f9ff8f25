"""`report --html` and `report --picture`: files made of tables, their evidence and charts."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.cells import select
from matrix.errors import InputError, NothingToRun
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.entries import Entry
    from matrix.tables import Tables
    from matrix.trend import Series

CHARTS = ("table", "differing", "versions", "time", "curves", "ratios")
SUFFIXES = (".svg", ".png")


def mistakes(arguments: argparse.Namespace) -> Iterator[InputError]:
    """Options of pages and pictures that cannot be followed."""
    picture: Path | None = arguments.picture
    if picture and picture.suffix not in SUFFIXES:
        problem = f"`{picture}` must end with {' or '.join(SUFFIXES)}"
        yield InputError("`--picture` is of no known kind:", [problem])
    if arguments.chart and not picture:
        yield InputError("`--chart` needs `--picture`", ["name the file that it is drawn in"])
    for option in ("html", "picture"):
        path: Path | None = getattr(arguments, option)
        if path and path.is_dir():
            yield InputError(f"`--{option}` needs a file:", [f"`{path}` is a folder"])


def write_page(
    arguments: argparse.Namespace,
    workspace: Workspace,
    made: "Tables",
    entries: Sequence["Entry"],
    scope: str,
) -> None:
    """Leave the report as one HTML file; raises `OSError`."""
    from matrix import artefacts
    from matrix.features import catalogue
    from matrix.reports import page
    from matrix.reports.page import charts, vega

    profile = workspace.profile(arguments.profile)
    series = _over_time(arguments, workspace, entries)
    chosen = select(workspace.expansion.cells, profile.select)
    planned = [cell.id for cell in select(chosen, arguments.select)]
    text = page.render(
        made,
        declared=catalogue(),
        artefacts=artefacts.read(workspace.store, entries),
        planned=planned,
        scope=scope,
        library=vega.library() if any(charts.all_of(made, series)) else "",
        series=series,
    )
    _write(arguments.html, text.encode(), "page")


def _over_time(
    arguments: argparse.Namespace, workspace: Workspace, entries: Sequence["Entry"]
) -> list["Series"]:
    """What the runs beside these measured: local ones or published ones; of a run alone nothing."""
    from matrix.cli.query import database
    from matrix.store import bundles_in
    from matrix.trend import over_time

    folders = workspace.store.folders
    own = next((f for f in folders if any((f / entry.run).is_dir() for entry in entries)), None)
    if arguments.run or own is None:
        return []
    with database(workspace) as found:
        return over_time(found, [path.name for path in bundles_in(own)])


def write_picture(
    arguments: argparse.Namespace,
    workspace: Workspace,
    made: "Tables",
    entries: Sequence["Entry"],
) -> None:
    """Leave a chart as a picture; raises `NothingToRun` where there is nothing to draw."""
    from matrix.reports.page import charts, specs, vega

    kind = arguments.chart or "table"
    if kind in {"table", "differing"}:
        chart = charts.grid(made, only_differing=kind == "differing")
        drawn = [specs.complete(chart)] if chart["points"] else []
    else:
        series = _over_time(arguments, workspace, entries) if kind == "time" else []
        found = [chart for chart in charts.all_of(made, series) if chart["kind"] == kind]
        drawn = [specs.together(found)] if found else []
    if not drawn:
        raise NothingToRun(f"these results have nothing that the chart `{kind}` could show")
    _write(arguments.picture, vega.picture(drawn[0], arguments.picture.suffix), "picture")


def _write(path: Path, content: bytes, what: str) -> None:
    """Write a file whole or not at all, and say where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{what}: {path} ({len(content) / 1e6:.1f} MB)", file=sys.stderr)
