"""`query`: SQL over the rows of all bundles."""

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cli.options import Add
from matrix.cli.printing import print_json
from matrix.query import VIEWS, Database, opened

if TYPE_CHECKING:
    from matrix.cli.quick import Evidence

SHOWN = 1000


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

    table = long_table(workspace.store)
    for complaint in table.complaints:
        print(f"matrix: {complaint}", file=sys.stderr)
    if not table.files:
        message = f"no results in `{workspace.results}` yet; `python -m matrix run` makes some"
        raise errors.NothingToRun(message)
    with opened(table, workspace.stop) as found:
        yield found


def query_command(arguments: argparse.Namespace, workspace: "Evidence") -> int:
    """Print what a SELECT gives: as a table, CSV or JSON."""
    from matrix.reports import plain

    if arguments.json and arguments.csv:
        raise errors.InputError("`--csv` and `--json` are two formats", ["leave out one"])
    if not arguments.sql:
        return _print_views(arguments, workspace)
    with database(workspace) as found:
        answer = found.select(arguments.sql)
    if arguments.json:
        print_json([{k: _finite(v) for k, v in line.items()} for line in answer.records()])
    elif arguments.csv:
        print(plain.comma_separated(answer.columns, answer.lines), end="")
    else:
        print(plain.render(answer.columns, answer.lines[:SHOWN]), end="")
        count = len(answer.lines)
        more = f"; the first {SHOWN} are shown, `--csv` prints all" if count > SHOWN else ""
        print(f"{count} line(s){more}", file=sys.stderr)
    return errors.OK


def _finite(value: object) -> object:
    """JSON has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
