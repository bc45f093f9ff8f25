"""`issues`: what to do with an issue per root cause, after a night."""

import argparse
import json
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cli.printing import print_json
from matrix.cli.query import database
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.issues import Issue


def issues_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print which issues to open, reopen and close; does none of it."""
    from matrix.issues import actions, nights
    from matrix.reports import issuepage

    known = _known(arguments)
    with database(workspace) as found:
        past = nights(found)
    made = [issuepage.as_json(action) for action in actions(past, known)]
    if arguments.json:
        print_json(made)
    else:
        print(issuepage.render(made), end="")
    return errors.OK


def _known(arguments: argparse.Namespace) -> "list[Issue]":
    """The issues that there are; raises `InputError`."""
    from matrix.reports.issuepage import read_issues

    if arguments.known is None:
        return []
    advice = "write it with `gh issue list --state all --json number,state,body`"
    try:
        found, problems = read_issues(json.loads(arguments.known.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        title = f"`{arguments.known}` does not list issues ({error}):"
        raise errors.InputError(title, [advice]) from error
    if problems:
        raise errors.InputError(f"`{arguments.known}` does not list issues:", [*problems, advice])
    return found
