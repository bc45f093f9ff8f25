"""`runners`: what machines there are, what they have, and who uses their GPUs."""

import argparse
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from matrix import errors
from matrix.accelerators import Gpu
from matrix.cli.printing import print_json
from matrix.leases import Lease, folder, living
from matrix.runners import RunnerInfo, inventory
from matrix.workspace import Workspace


def runners_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print the inventory; other machines are shown as far as the matrix file tells of them."""
    runners = inventory(workspace.definition, env=workspace.env).runners
    holders = _holders(living(folder(workspace.env)).values())
    if arguments.json:
        print_json([_as_json(runner, holders) for runner in runners])
        return errors.OK
    for runner in runners:
        for line in _lines(runner, holders):
            print(line)
    return errors.OK


def _holders(leases: Iterable[Lease]) -> dict[str, list[Lease]]:
    """UUID → who holds it."""
    found: dict[str, list[Lease]] = {}
    for lease in leases:
        for gpu in lease.held:
            found.setdefault(gpu, []).append(lease)
    return found


def _lines(runner: RunnerInfo, holders: Mapping[str, list[Lease]]) -> list[str]:
    engine = runner.docker or "the usual engine"
    size = f", {runner.cores} cores" if runner.cores else ""
    lines = [f"{runner.name}  {runner.slots} cell(s) at once{size}; {engine}"]
    for name, devices in runner.devices.items():
        about = f"driver {devices.driver or 'unknown'}" if devices.gpus else devices.names[0]
        lines.append(f"  {name:<5} {about or 'not asked yet'}")
        for gpu in devices.gpus:
            lines.append(f"    {gpu.index}  {_gpu(gpu)}")
            lines += [f"       {h.describe(time.time())}" for h in holders.get(gpu.uuid, ())]
    return lines


def _gpu(gpu: Gpu) -> str:
    """What is known of a GPU."""
    parts = [gpu.uuid, gpu.name]
    if gpu.memory is not None:
        parts.append(f"{gpu.memory / 2**30:.0f} GiB")
    parts += [part for part in (gpu.arch, gpu.bus) if part and part not in parts]
    if gpu.numa is not None:
        parts.append(f"numa {gpu.numa}")
    return "  ".join(parts)


def _as_json(runner: RunnerInfo, holders: Mapping[str, list[Lease]]) -> dict[str, object]:
    return {
        "name": runner.name,
        "docker": runner.docker,
        "slots": runner.slots,
        "cores": runner.cores or None,
        "devices": {
            name: {
                "driver": devices.driver,
                "names": devices.names,
                "gpus": [
                    {**asdict(gpu), "held_by": [h.run for h in holders.get(gpu.uuid, ())]}
                    for gpu in devices.gpus
                ],
            }
            for name, devices in runner.devices.items()
        },
    }
