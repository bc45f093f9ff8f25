"""What several commands share."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.cells import select
from matrix.errors import InputError, NothingToRun
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.plan import BackendName, Plan
    from matrix.runners import Inventory
    from matrix.running import MakeBackend
    from matrix.store import Entry


def print_json(data: object) -> None:
    """Print data for machines."""
    print(json.dumps(data, indent=1, default=str))


def planned(
    arguments: argparse.Namespace, workspace: Workspace
) -> tuple["Plan", "Inventory", "MakeBackend"]:
    """Make the plan of `plan` and `run`."""
    from matrix.plan import make_plan
    from matrix.runners import inventory

    for option, backend in (("python", "host"), ("recording", "replay")):
        if getattr(arguments, option) is not None and arguments.backend != backend:
            raise InputError(f"`--{option}` needs `--backend {backend}`", ["name both or neither"])
    if arguments.slots is not None and arguments.slots < 1:
        raise InputError("--slots:", [f"at least 1, got {arguments.slots}"])
    profile = workspace.profile(arguments.profile)
    suites = workspace.suites(profile, arguments.suite)
    name, make_backend = _backend(arguments, workspace)
    if name == "host":
        from matrix.host import cell_of

        cell = cell_of(arguments.python, workspace)
        cells = select((cell,), arguments.select)
        if not cells:
            message = f"`{arguments.python}` is {cell.id}, which the selection leaves out"
            raise NothingToRun(message)
    else:
        cells = workspace.cells(profile, arguments.select)
    machine = inventory(workspace.definition, arguments.slots)
    known = workspace.store.newest()
    plan = make_plan(
        cells, suites, machine, known,
        backend=name, excluded=workspace.expansion.excluded,
        rerun=arguments.rerun, waivers=profile.waivers,
    )  # fmt: skip
    return plan, machine, make_backend


def _backend(
    arguments: argparse.Namespace, workspace: Workspace
) -> tuple["BackendName", "MakeBackend"]:
    from matrix import running

    if arguments.backend == "host":
        if arguments.python is None:
            raise InputError(
                "`--backend host` needs `--python`", ["name an interpreter with torch"]
            )
        return "host", running.host_backend(arguments.python)
    if arguments.backend == "replay":
        wanted = arguments.recording or "latest"
        path = Path(wanted)
        recording = path if path.is_dir() else workspace.store.run(wanted).path
        return "replay", running.replay_backend(recording)
    return "venv", running.venv_backend(workspace)


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
