"""What a command runs with: a backend, the runners it has, and what its environments come from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from matrix.backends import Backend, Context
from matrix.cells import Cell
from matrix.definition import Suite
from matrix.plan import BackendName, Origin
from matrix.process import WORK_LABEL
from matrix.runners import Inventory, RunnerInfo, inventory
from matrix.workspace import Workspace

MakeBackend = Callable[[Context, RunnerInfo], Backend]


def _from_pins(_cell: Cell, _suites: tuple[Suite, ...]) -> str:
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """A backend for each of some runners; `note` says why it was chosen, or what is missing."""

    name: BackendName
    make: MakeBackend
    inventory: Inventory
    origin: Origin = _from_pins
    note: str = ""


def _here(workspace: Workspace, slots: int | None) -> Inventory:
    """The machine we are on: the only runner of backends that start processes."""
    return Inventory(runners=inventory(workspace.definition, slots).runners[:1])


def venv(workspace: Workspace, slots: int | None = None) -> Setup:
    """The embedded default: a uv environment per cell."""
    from matrix.backends.venv import VenvBackend  # noqa: PLC0415  one backend per command

    def make(context: Context, _runner: RunnerInfo) -> Backend:
        labelled = {**workspace.resolver.env, WORK_LABEL: context.env[WORK_LABEL]}
        resolver = replace(workspace.resolver, env=labelled)
        return VenvBackend(context, resolver, workspace.availability)

    return Setup(name="venv", make=make, inventory=_here(workspace, slots))


def host(python: Path, identity: str, workspace: Workspace, slots: int | None = None) -> Setup:
    """An interpreter that already has torch; `identity` is what it is and holds."""
    from matrix.backends.host import HostBackend  # noqa: PLC0415  as above

    return Setup(
        name="host",
        make=lambda context, _runner: HostBackend(context, python),
        inventory=_here(workspace, slots),
        origin=lambda _cell, _suites: identity,
    )


def replay(recording: Path, workspace: Workspace, slots: int | None = None) -> Setup:
    """A recorded run."""
    from matrix.backends.replay import ReplayBackend, identity  # noqa: PLC0415  as above

    said = identity(recording)
    return Setup(
        name="replay",
        make=lambda _context, _runner: ReplayBackend(recording),
        inventory=_here(workspace, slots),
        origin=lambda _cell, _suites: said,
    )
