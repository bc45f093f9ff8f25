"""`query`: SQL over the rows of all bundles."""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cli.options import Add
from matrix.cli.printing import print_json, print_json_list
from matrix.query import VIEWS, Answer, Database, opened

if TYPE_CHECKING:
    from matrix.cli.quick import Evidence


def add_query(add: Add) -> None:
    """Add `query` to a command line."""
    sub = add("query", query_command, [], "ask the rows of all bundles in SQL")
    sub.add_argument("sql", nargs="?", metavar="SELECT",
                     help="one statement over the views; without it, their columns")  # fmt: skip
    sub.add_argument("--csv", action="store_true", help="CSV, in full")


@contextmanager
def database(workspace: "Evidence") -> Iterator[Database]:
    """The rows of all runs here and of the published ones; raises `NothingToRun` without any."""
    from matrix.longtable import long_table

    table = long_table(workspace.store, workspace.stop)
    for complaint in table.complaints:
        print(f"matrix: {complaint}", file=sys.stderr)
    if not table.files:
        raise nothing_in(workspace.results)
    with opened(table, workspace.stop) as found:
        if table.complaints and not found.select("SELECT 1 FROM rows LIMIT 1").lines:
            raise nothing_in(workspace.results, table.complaints)
        yield found


def nothing_in(results: Path, complaints: Sequence[str] = ()) -> errors.NothingToRun:
    """The error where no result was read: there is none, or the complaints say why."""
    if complaints:
        return errors.NothingToRun(f"none of the results in `{results}` could be read")
    return errors.NothingToRun(f"no results in `{results}` yet; `python -m matrix run` makes some")


def query_command(arguments: argparse.Namespace, workspace: "Evidence") -> int:
    """Print what a SELECT gives: as a table, CSV or JSON."""
    if arguments.json and arguments.csv:
        raise errors.InputError("`--csv` and `--json` are two formats", ["leave out one"])
    if not arguments.sql:
        return _print_views(arguments, workspace)
    with database(workspace) as found:
        parts = found.parts(arguments.sql)
        if arguments.json:
            print_json_list(_finite(line) for part in parts for line in part.records())
        elif arguments.csv:
            _print_csv(parts)
        else:
            _print_table(parts)
    return errors.OK


def _print_csv(parts: Iterator[Answer]) -> None:
    from matrix.reports import plain

    first = next(parts)
    print(plain.comma_separated([first.columns, *first.lines]), end="")
    for part in parts:
        print(plain.comma_separated(part.lines), end="")


def _print_table(parts: Iterator[Answer]) -> None:
    """Print the first part of an answer; no more of it is kept."""
    from matrix.reports import plain

    first = next(parts)
    print(plain.render(first.columns, first.lines), end="")
    count = len(first.lines)
    if next(parts, None):
        print(f"more than {count} lines; `--csv` prints all", file=sys.stderr)
    else:
        print(f"{count} line(s)", file=sys.stderr)


def _finite(line: Mapping[str, object]) -> dict[str, object]:
    """JSON has no NaN and no infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in line.items()
    }


def _print_views(arguments: argparse.Namespace, workspace: "Evidence") -> int:
    """Without a statement: what there is to ask for."""
    with database(workspace) as found:
        columns = {view: found.columns(view) for view in VIEWS}
    if arguments.json:
        print_json(columns)
        return errors.OK
    for view, names in columns.items():
        print(f"{view}: {', '.join(names)}")
    return errors.OK
