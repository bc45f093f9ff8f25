"""What machines there are and what they have: a frozen `Inventory`, without importing torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from matrix.accelerators import AcceleratorName, HostDevices, detect
from matrix.definition import Definition


@dataclass(frozen=True, kw_only=True, slots=True)
class RunnerInfo:
    """One runner: its devices by accelerator, how many cells it takes at once, what it sets."""

    name: str
    devices: Mapping[AcceleratorName, HostDevices]
    slots: int
    cores: int
    env: Mapping[str, str]

    def refusal(self, device: AcceleratorName) -> str:
        """Why tests for this device cannot run here, or ""."""
        if device in self.devices:
            return ""
        have = ", ".join(self.devices)
        return f"no {device} device on runner `{self.name}` (it has: {have})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """All runners of this run."""

    runners: tuple[RunnerInfo, ...]

    @property
    def local(self) -> RunnerInfo:
        """The machine we are on."""
        return self.runners[0]


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inventory(definition: Definition, slots: int | None = None) -> Inventory:
    """Look at this machine; `slots` overrides matrix.toml, which overrides one per two cores."""
    settings = definition.runners["local"]
    count = slots or settings.slots or max(1, min(4, cores() // 2))
    local = RunnerInfo(
        name="local", devices=detect(), slots=count, cores=cores(), env=dict(settings.env)
    )
    return Inventory(runners=(local,))
