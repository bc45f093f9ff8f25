"""`features`: what the feature suite tests, and what came out where it ran."""

import argparse
import sys
from dataclasses import asdict
from itertools import groupby

from matrix import errors
from matrix.cli.printing import print_json
from matrix.features import SUITES, Feature, catalogue
from matrix.workspace import Workspace


def features_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print the features by group, with verdict counts where there is evidence."""
    found = _declared(arguments.suite, workspace)
    counts = _verdicts(workspace)
    if arguments.json:
        print_json([asdict(one) | {"verdicts": counts.get(one.id, {})} for one in found])
        return errors.OK
    for group, members in groupby(found, key=lambda one: one.group):
        print(group)
        for one in members:
            print(f"  {one.id}: {one.title}")
            for line in _details(one, counts.get(one.id, {})):
                print(f"      {line}")
    groups = len({one.group for one in found})
    print(f"{len(found)} feature(s) in {groups} group(s)", file=sys.stderr)
    return errors.OK


def _declared(suite: str, workspace: Workspace) -> tuple[Feature, ...]:
    """The features of a suite; raises `InputError` for one that is no folder of tests."""
    if suite == SUITES["feature"]:
        return catalogue()
    (chosen,) = workspace.suites(workspace.profile("default"), [suite])
    if not chosen.tests:
        raise errors.InputError(f"suite `{suite}`:", ["it is no folder of pytest's tests"])
    return catalogue(*chosen.tests)


def _details(one: Feature, counts: dict[str, int]) -> list[str]:
    from matrix.reports.marks import tally

    tests = f"{len(one.tests)} test(s)"
    tests += f", {one.refusals} declared refusal(s)" if one.refusals else ""
    tests += f"; needs {', '.join(one.needs)}" if one.needs else ""
    return [*filter(None, [one.purpose]), tests, f"measured: {tally(counts) or 'nowhere yet'}"]


def _verdicts(workspace: Workspace) -> dict[str, dict[str, int]]:
    """How often each feature had which verdict, of the newest evidence here, else published."""
    store = workspace.store
    local = store.shown()
    entries = local or store.shown(published=True)
    if not entries:
        return {}
    from matrix.tables import feature_table, frame
    from matrix.tables.verdicts import NOT_MEASURED, count
    from matrix.wants import with_more_devices

    rows = with_more_devices(store, entries, store.columns(entries), published=not local)
    table = feature_table(frame(rows))
    return {
        str(name): count(verdict for verdict in cells if verdict != NOT_MEASURED)
        for (_, name, _), cells in zip(table.index, table.to_numpy(), strict=True)
    }
