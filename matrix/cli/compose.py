"""`render --compose`: from the options and a runner's GPUs to Compose files."""

import argparse
from collections.abc import Sequence

from matrix.accelerators import AcceleratorName, DeviceAccess, EngineFacts
from matrix.cells import Cell
from matrix.compose import render
from matrix.errors import InputError
from matrix.runners import RunnerInfo, inventory
from matrix.schema import hint
from matrix.workspace import Workspace


def compose_files(
    arguments: argparse.Namespace, workspace: Workspace, cells: Sequence[Cell]
) -> dict[str, str]:
    """Render the Compose file of each cell; raises `InputError` for options that do not fit."""
    if arguments.image and len(cells) != 1:
        ids = ", ".join(cell.id for cell in cells)
        raise InputError("`--image` is of one cell", [f"select one of {ids}"])
    runner = _runner(arguments, workspace) if arguments.runner else None
    return {
        cell.id: render(
            cell,
            image=arguments.image,
            access=_access(runner, cell.device, arguments.gpu) if runner else None,
            env=runner.env if runner else {},
            memory=runner.settings.memory if runner and runner.settings else "",
        )
        for cell in cells
    }


def _runner(arguments: argparse.Namespace, workspace: Workspace) -> RunnerInfo:
    runners = {
        runner.name: runner for runner in inventory(workspace.definition, env=workspace.env).runners
    }
    name: str = arguments.runner
    if name not in runners:
        raise InputError(f"no runner `{name}`", [hint(name, list(runners))])
    return runners[name]


def _access(runner: RunnerInfo, device: AcceleratorName, wanted: Sequence[str]) -> DeviceAccess:
    """The way to the named GPUs, or to all of that kind."""
    if refusal := runner.refusal(device):
        raise InputError("nothing to pin:", [refusal])
    gpus = runner.devices[device].gpus
    if device == "cpu":
        return DeviceAccess()
    known = {name: gpu for gpu in gpus for name in (gpu.uuid, str(gpu.index))}
    if unknown := [f"no GPU `{n}`; {hint(n, list(known))}" for n in wanted if n not in known]:
        raise InputError(f"`{runner.name}` lacks a GPU:", unknown)
    chosen = tuple(dict.fromkeys(known[name] for name in wanted)) or gpus
    return runner.access(device, chosen, EngineFacts())
