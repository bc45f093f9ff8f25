"""`diff`: what changed from one run to another."""

import argparse
import sys
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cli.printing import print_json
from matrix.cli.run import is_new
from matrix.rows import BAD
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.diff import Difference


def diff_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print what is new, gone, changed and not tested any more; the exit code is as of `run`."""
    from matrix.diff import compare, side
    from matrix.reports import diffpage

    sides, problems = [], []
    for name in _names(arguments, workspace):
        try:
            sides.append(side(name, workspace.store))
        except errors.InputError as error:
            problems += [f"{error.title}: {problem}" for problem in error.problems]
    if problems:
        raise errors.InputError("the runs cannot be compared:", list(dict.fromkeys(problems)))
    for one in sides:
        for complaint in one.complaints:
            print(f"matrix: {complaint}", file=sys.stderr)
    found = compare(*sides)
    if arguments.json:
        print_json(diffpage.as_json(found))
    else:
        write = diffpage.markdown if arguments.format == "markdown" else diffpage.render
        print(write(found), end="")
    return _exit_code(arguments.fail_on, found)


def _names(arguments: argparse.Namespace, workspace: Workspace) -> tuple[str, str]:
    """The runs to compare: those that were named, or the newest two that can be."""
    from matrix.diff import newest_pair

    if arguments.before:
        return arguments.before, arguments.now
    before, now, passed = newest_pair(workspace.store)
    if passed:
        message = f"passed over {passed} newer run(s) that share no execution with `{now}`"
        print(f"matrix: {message}", file=sys.stderr)
    return before, now


def _exit_code(fail_on: str, found: "Difference") -> int:
    if fail_on == "new" and any(is_new(finding) for finding in found.findings):
        return errors.NEW_WRONG
    if fail_on == "any" and any(finding.now in BAD for finding in found.findings):
        return errors.NEW_WRONG
    return errors.OK
