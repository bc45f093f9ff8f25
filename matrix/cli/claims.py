"""`claims`: what the evidence lets one say, and its constraints, badges and feed."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cells import any_of
from matrix.cli.printing import print_json
from matrix.cli.query import database
from matrix.cli.report import fields_of
from matrix.schema import hint
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.claims import Claim

FORMATS = ("terminal", "markdown", "constraint", "badge", "svg")


def claims_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print since which release each feature passes in each place, last verified when."""
    from matrix.claims import constraint
    from matrix.reports import claimspage
    from matrix.store import utc_now

    _check(arguments)
    found = _chosen(arguments, workspace)
    if arguments.json:
        print_json(claimspage.as_json(found, utc_now().isoformat(timespec="seconds")))
        return errors.OK
    if arguments.format in {"terminal", "markdown"}:
        write = claimspage.markdown if arguments.format == "markdown" else claimspage.render
        print(write(found, arguments.select), end="")
        return errors.OK
    together = constraint(found)
    is_badge = arguments.format in {"badge", "svg"}
    if together is None and not (is_badge and len(found) == 1):
        raise errors.NothingToRun(claimspage.why_none(found))
    if is_badge:
        told = claimspage.badge(found, together)
        if arguments.format == "badge":
            print_json(told)
        else:
            print(claimspage.picture(told), end="")
    elif together:
        print(claimspage.constraint(together, arguments.select, strict=arguments.strict), end="")
    return errors.OK


def _check(arguments: argparse.Namespace) -> None:
    problems = []
    if arguments.json and arguments.format != "terminal":
        problems.append("`--json` and `--format` are two formats; leave out one")
    if arguments.format in {"badge", "svg"} and len(arguments.feature) != 1:
        problems.append("a badge is of one feature; name it with `--feature`")
    if arguments.strict and arguments.format != "constraint":
        problems.append("`--strict` needs `--format constraint`")
    try:
        any_of(arguments.select)
    except errors.InputError as error:
        problems += error.problems
    if problems:
        raise errors.InputError("the claims cannot be made:", problems)


def _chosen(arguments: argparse.Namespace, workspace: Workspace) -> Sequence["Claim"]:
    """The claims about these features in these cells; raises `InputError` for unknown features."""
    from matrix.claims import claims

    chosen = any_of(arguments.select)
    with database(workspace) as opened:
        found = claims(opened, lambda cell, execution: chosen(fields_of(cell, execution)))
    known = sorted({claim.feature for claim in found})
    unknown = [name for name in arguments.feature if name not in known]
    if unknown:
        problems = [f"no evidence on `{name}`; {hint(name, known)}" for name in unknown]
        raise errors.InputError("the claims cannot be made:", problems)
    wanted = arguments.feature or known
    return [claim for claim in found if claim.feature in wanted]
