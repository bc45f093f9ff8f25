"""What several commands share."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.cells import Cell, any_of, select
from matrix.cli.page import mistakes
from matrix.definition import Profile
from matrix.errors import InputError, NothingToRun
from matrix.shards import cells_of, read_part
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.entries import Entry
    from matrix.host import Host
    from matrix.plan import Plan
    from matrix.setups import Setup


def check(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Raise one `InputError` for all mistakes of the command line and of the matrix file."""
    found = []
    for one in _checks(arguments, workspace):
        try:
            one()
        except InputError as error:
            found.append(error)
    if len(found) == 1:
        raise found[0]
    problems = [f"{error.title.removesuffix(':')}: {p}" for error in found for p in error.problems]
    if problems:
        raise InputError(f"the command has {len(problems)} mistakes:", problems)


def _checks(arguments: argparse.Namespace, workspace: Workspace) -> Iterator[Callable[[], object]]:
    if "backend" in arguments:
        yield from (lambda e=error: _raise(e) for error in _options(arguments))
        if arguments.shard:
            yield lambda: read_part(arguments.shard)
        if arguments.backend == "replay":
            yield lambda: _recording(arguments, workspace)
    if "compose" in arguments:
        yield from (lambda e=error: _raise(e) for error in _render_options(arguments))
    if "picture" in arguments:
        yield from (lambda e=error: _raise(e) for error in mistakes(arguments))
    yield lambda: any_of(arguments.select)
    try:
        known = workspace.definition.profiles
    except InputError as error:
        file = error
        yield lambda: _raise(file)
        return
    yield lambda: workspace.profile(arguments.profile)
    chosen = known.get(arguments.profile, Profile(name=arguments.profile))
    yield lambda: workspace.suites(chosen, getattr(arguments, "suite", ()))


def _raise(error: InputError) -> None:
    raise error


def _options(arguments: argparse.Namespace) -> Iterator[InputError]:
    """Options that do not go together."""
    for option, backends in (("python", ("host", "docker")), ("recording", ("replay",))):
        if getattr(arguments, option) and arguments.backend not in backends:
            wanted = " or ".join(f"`--backend {backend}`" for backend in backends)
            yield InputError(f"`--{option}` needs {wanted}", ["name both or neither"])
    if arguments.backend == "host" and not arguments.python:
        yield InputError("`--backend host` needs `--python`", ["name an interpreter with torch"])
    if arguments.shard and arguments.python:
        yield InputError("`--shard` needs several cells", ["an interpreter is one; leave it out"])
    for option in ("slots", "rounds"):
        number = getattr(arguments, option)
        if number is not None and number < 1:
            yield InputError(f"--{option}:", [f"at least 1, got {number}"])


def _render_options(arguments: argparse.Namespace) -> Iterator[InputError]:
    """Options of `render` that do not go together."""
    given = [name for name in ("image", "runner", "gpu") if getattr(arguments, name)]
    if given and not arguments.compose:
        problems = [f"`--{name}` needs `--compose`" for name in given]
        yield InputError("Dockerfiles are of no machine:", problems)
    if arguments.classic and arguments.compose:
        yield InputError("`--classic` is of Dockerfiles", ["leave out one of it and `--compose`"])
    if arguments.gpu and not arguments.runner:
        yield InputError("`--gpu` needs `--runner`", ["name the runner that has it"])


def planned(arguments: argparse.Namespace, workspace: Workspace) -> tuple["Plan", "Setup"]:
    """Make the plan of `plan` and `run`; raises `InputError` with every mistake.

    Who asks for it closes the setup.
    """
    from matrix import setups
    from matrix.plan import make_plan

    check(arguments, workspace)
    profile = workspace.profile(arguments.profile)
    suites = tuple(
        replace(suite, rounds=arguments.rounds) if arguments.rounds and suite.rounds > 1 else suite
        for suite in workspace.suites(profile, arguments.suite)
    )
    slots = arguments.slots
    if arguments.python:
        from matrix.host import look_at

        pythons = [look_at(python, workspace) for python in dict.fromkeys(arguments.python)]
        hosts = _chosen(arguments, profile, pythons)
        cells = tuple(host.cell for host in hosts)
        _one_each(hosts)
        make_host = setups.mounted if arguments.backend == "docker" else setups.host
        setup = make_host(hosts, workspace, slots)
    else:
        cells = _part(arguments, workspace.cells(profile, arguments.select))
        if arguments.backend == "replay":
            setup = setups.replay(_recording(arguments, workspace), workspace, slots)
        elif arguments.backend == "auto":
            setup = setups.auto(workspace, cells, slots)
        else:
            make = {"venv": setups.venv, "docker": setups.docker}[arguments.backend]
            setup = make(workspace, slots)
    try:
        plan = make_plan(
            cells, suites, setup.inventory, workspace.store.newest(),
            backend=setup.name, origin=setup.origin, excluded=workspace.expansion.excluded,
            rerun=arguments.rerun, waivers=profile.waivers,
        )  # fmt: skip
    except BaseException:
        setup.close()
        raise
    return plan, setup


def _chosen(
    arguments: argparse.Namespace, profile: Profile, pythons: "Sequence[Host]"
) -> "list[Host]":
    """Interpreters as the selected cells; without a selection as those of a profile that is named.

    Raises `NothingToRun` where an interpreter is none, or no interpreter is a cell to compare.
    """
    wanted = arguments.select
    if not wanted and arguments.profile:
        found = [select((p.cell, *p.others), profile.select) for p in pythons]
        wanted = [cell.id for cells in found for cell in cells] if all(found) else []
    compared = getattr(arguments, "compare", None)
    hosts = [host for p in pythons for host in p.chosen(wanted, once=bool(compared))]
    absent = set(compared or ()) - {host.cell.id for host in hosts}
    if absent:
        names = ", ".join(f"`{name}`" for name in sorted(absent))
        raise NothingToRun(f"no interpreter is {names}; name one with `--python` for each cell")
    return hosts


def _one_each(hosts: "Sequence[Host]") -> None:
    """Every interpreter is cells of its own; raises `InputError` with all that are not."""
    same = [f"`{host.python}` is {host.cell.id}" for host in hosts]
    if len({host.cell.id for host in hosts}) < len(hosts):
        raise InputError("--python: interpreters of one cell cannot be told apart", same)


def _part(arguments: argparse.Namespace, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """The cells of one shard; raises `NothingToRun` where there are more shards than cells."""
    if not arguments.shard:
        return cells
    part = read_part(arguments.shard)
    chosen = cells_of(part, cells)
    if not chosen:
        raise NothingToRun(f"shard {part} of {len(cells)} cell(s) is empty")
    return chosen


def _recording(arguments: argparse.Namespace, workspace: Workspace) -> Path:
    wanted = arguments.recording or "latest"
    path = Path(wanted)
    return path if path.is_dir() else workspace.store.run(wanted).path


def fresh_line(entry: "Entry") -> str:
    """Say that a suite need not run, and why."""
    what = f"{entry.cell} {entry.execution} {entry.suite}"
    if entry.verdict == "no-runner":
        return f"no-runner  {what}: {entry.reason}"
    return f"fresh  {what}: recipe unchanged since {entry.run}"


def is_bad(counts: Mapping[str, int]) -> bool:
    """Whether any of these verdicts is a wrong result."""
    from matrix.rows import BAD

    return any(verdict in BAD for verdict in counts)
