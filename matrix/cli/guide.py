"""`guide`: which version to choose for what, by what was measured."""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from matrix import errors
from matrix.accelerators import ACCELERATORS
from matrix.cli.printing import print_json
from matrix.scenarios import Scenario
from matrix.schema import hint
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.guide.advice import Advice
    from matrix.guide.candidates import Candidate

Add = Callable[[str, object, list[argparse.ArgumentParser], str], argparse.ArgumentParser]


def add_guide(add: Add) -> None:
    """Add the command to the command line."""
    sub = add(
        "guide", guide_command, [], "say which version to choose for what, and what is unknown"
    )
    sub.add_argument("scenario", nargs="*", metavar="SCENARIO",
                     help="development, production, edge, or one of the matrix file")  # fmt: skip
    sub.add_argument("--accelerator", action="append", default=[], choices=list(ACCELERATORS),
                     help="only what ran on this kind of device; repeatable")  # fmt: skip
    sub.add_argument("--format", choices=("terminal", "markdown"), default="terminal")


def guide_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print advice; its exit code is that of `NothingToRun` where none of it recommends a cell."""
    from matrix.reports import guidedata, guidepage

    chosen = _scenarios(arguments, workspace)
    devices = arguments.accelerator or list(ACCELERATORS)
    found, left_out = _candidates(workspace, ())
    _check(chosen, workspace, found)
    today = _today(found)
    advice = [a for a in _advise(chosen, workspace, found) if a.device in devices]
    if arguments.json:
        print_json(guidedata.as_json(advice, chosen, today, devices, left_out))
    elif arguments.format == "markdown":
        print(guidepage.page(advice, chosen, today, devices), end="")
    else:
        print(guidepage.render(advice, chosen, devices), end="")
    if any(a.best for a in advice):
        return errors.OK
    names = ", ".join(scenario.name for scenario in chosen)
    message = f"nothing can be recommended for {names}: no measured cell passes everything"
    print(f"matrix: {message}", file=sys.stderr)  # not raised: what is known is printed already
    return errors.NothingToRun.exit_code


def page(workspace: Workspace) -> str:
    """The page over the published runs; "" where nothing ran."""
    from matrix.reports import guidepage
    from matrix.store import bundles_in

    runs = [path.name for path in bundles_in(workspace.store.folders[1])]
    with suppress(errors.NothingToRun):
        found = _candidates(workspace, runs)[0] if runs else ()
        scenarios = list(workspace.definition.scenarios.values())
        if found:
            return guidepage.page(_advise(scenarios, workspace, found), scenarios, _today(found))
    return ""


def _scenarios(arguments: argparse.Namespace, workspace: Workspace) -> list[Scenario]:
    """The scenarios asked for; raises `InputError` for unknown ones, and for devices not theirs."""
    known, devices = workspace.definition.scenarios, arguments.accelerator
    problems = []
    for name in arguments.scenario:
        if name not in known:
            problems.append(f"no scenario `{name}`; {hint(name, list(known))}")
        elif devices and not set(devices) & set(known[name].devices):
            problems.append(f"`{name}` is for {', '.join(known[name].devices)} only")
    if problems:
        raise errors.InputError("the guide cannot be made:", problems)
    return [known[name] for name in dict.fromkeys(arguments.scenario or known)]


def _candidates(
    workspace: Workspace, runs: Sequence[str]
) -> tuple[tuple["Candidate", ...], Sequence[str]]:
    """What ran, in these runs or in all, and what could not be read."""
    from matrix.cli.query import database
    from matrix.guide.evidence import candidates

    with database(workspace) as opened:
        return candidates(opened, runs), opened.left_out


def _advise(
    scenarios: Sequence[Scenario], workspace: Workspace, found: Sequence["Candidate"]
) -> list["Advice"]:
    from matrix.features import catalogue
    from matrix.guide.advice import advise

    known, index = len(catalogue()), workspace.definition.pytorch_index
    return [
        advice
        for scenario in scenarios
        for advice in advise(scenario, found, today=_today(found), known=known, index=index)
    ]


def _today(found: Sequence["Candidate"]) -> str:
    return max((candidate.verified for candidate in found), default="")


def _check(
    scenarios: Sequence[Scenario], workspace: Workspace, found: Sequence["Candidate"]
) -> None:
    """Raise one `InputError` for all features and workloads of scenarios that no test has."""
    features = {name for candidate in found for name in candidate.findings}
    workloads = {name for candidate in found for name, _ in candidate.times}
    problems = []
    for scenario in scenarios:
        named = [*scenario.required, *itertools.chain(*scenario.required_on.values())]
        for kind, names, known in (
            ("feature", named, features), ("workload", scenario.workloads, workloads)
        ):  # fmt: skip
            unknown = [name for name in dict.fromkeys(names) if name not in known]
            declared = set(_declared(workspace, kind)) if unknown else set()
            problems += [
                f"scenarios.{scenario.name}: no test has the {kind} `{name}`; "
                f"{hint(name, sorted(known | declared))}"
                for name in unknown
                if name not in declared
            ]
    if problems:
        raise errors.InputError("the guide cannot be made:", problems)


def _declared(workspace: Workspace, kind: str) -> Iterator[str]:
    from matrix.features import catalogue

    yield from (one.id for one in catalogue(declared=kind))
    for suite in workspace.definition.suites.values():
        if suite.tests and not suite.source:
            yield from (one.id for one in catalogue(*suite.tests, declared=kind))
