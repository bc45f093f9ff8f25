"""`merge`: bundles of other machines into the results here."""

import argparse
import sys
from dataclasses import asdict

from matrix import errors
from matrix.cli.printing import print_json
from matrix.workspace import Workspace


def merge_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Say what became of each bundle; 2 where one was refused, and all others are in."""
    from matrix.merge import merge
    from matrix.reports.text import clean

    target = arguments.into or workspace.store.folders[0]
    done = []
    for one in merge(arguments.sources, target):
        done.append(one)
        if not arguments.json:
            what = f"{one.suites} suite(s){'' if one.finished else ', run not finished'}"
            name = f"{one.run} ({what}) of {one.source}" if one.run else one.source
            stream = sys.stderr if one.reasons else sys.stdout
            print(f"{one.outcome:<8} {clean(name)}", file=stream)
            for reason in one.reasons:
                print(f"  - {clean(reason)}", file=stream)
    if arguments.json:
        print_json({"into": str(target), "bundles": [asdict(one) for one in done]})
    counts = {kind: sum(one.outcome == kind for one in done) for kind in ("merged", "present")}
    refused = sum(one.outcome == "refused" for one in done)
    print(
        f"{counts['merged']} merged into {target}, {counts['present']} there already, "
        f"{refused} refused",
        file=sys.stderr,
    )
    return errors.InputError.exit_code if refused else errors.OK
