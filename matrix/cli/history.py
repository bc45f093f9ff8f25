"""`history`: a feature or a workload over releases and over time."""

import argparse

from matrix import errors
from matrix.cli.printing import print_json
from matrix.cli.query import database
from matrix.query import Database
from matrix.schema import hint
from matrix.workspace import Workspace


def history_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print since when it passes, where it broke, where it is unknown; or its numbers."""
    from matrix.history import history
    from matrix.reports import historypage, trendpage
    from matrix.trend import trends

    name = arguments.name
    with database(workspace) as found:
        seen = history(name, found)
        numbers = trends(name, found)
        if not seen and not numbers:
            raise errors.InputError(f"no run had `{name}`:", [hint(name, _known(found))])
    if arguments.json:
        told = historypage.as_json(seen) if seen else {}
        print_json(told | (trendpage.as_json(numbers) if numbers else {}))
        return errors.OK
    if seen:
        print(historypage.render(seen), end="")
    if numbers:
        print(trendpage.render(numbers), end="")
    return errors.OK


def _known(found: Database) -> list[str]:
    """Features and workloads that any run had."""
    sql = "SELECT DISTINCT unnest([feature, workload]) AS name FROM rows ORDER BY name"
    return [str(line[0]) for line in found.select(sql).lines if line[0]]
