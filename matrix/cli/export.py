"""`export`: the numbers of a run in the format of another tool."""

import argparse
import sys

from matrix import errors
from matrix.cells import any_of
from matrix.cli.printing import print_json
from matrix.cli.report import fields_of
from matrix.errors import NothingToRun
from matrix.workspace import Workspace

FORMATS = ("pytest-benchmark", "pytorch-v3")


def export_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print the numbers as JSON, and on standard error how many were left out."""
    from matrix.reports import exports

    run = workspace.store.run(arguments.run)
    chosen = any_of(arguments.select)
    rows = workspace.store.rows(
        entry for entry in run.entries if chosen(fields_of(entry.cell, entry.execution))
    )
    measured = [row for row in rows if row.metric]
    if not measured:
        raise NothingToRun(f"run `{run.id}` has no numbers of such cells")
    if arguments.format == "pytorch-v3":
        made = exports.pytorch_v3(rows)
        print_json(made)
        count = len(made)
    else:
        data = exports.pytest_benchmark(rows)
        print_json(data)
        count = len(data["benchmarks"])
    keys = {(row.cell, row.execution, row.test, row.metric, row.params) for row in measured}
    if left := len(keys) - count:
        why = "unstable" if arguments.format == "pytorch-v3" else "unstable, or no time in seconds"
        print(f"{left} of {len(keys)} series are left out: {why}", file=sys.stderr)
    return errors.OK
