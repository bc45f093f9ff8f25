"""What machines there are and what they have: a frozen `Inventory`, without importing torch."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from matrix.accelerators import (
    ACCELERATORS,
    AcceleratorName,
    AccessSettings,
    DeviceAccess,
    EngineFacts,
    Gpu,
    HostDevices,
    LocalDevices,
)
from matrix.definition import Definition, Runner

DEFAULT_ENGINE = "unix:///var/run/docker.sock"
"""The engine of a machine where nobody names another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunnerInfo:
    """One runner: its devices by accelerator, how many cells it takes at once, what it sets."""

    name: str
    devices: Mapping[AcceleratorName, HostDevices]
    slots: int
    cores: int
    """0 where its engine was not asked yet (`seen_by`)."""
    env: Mapping[str, str]
    docker: str = ""
    """Address of its engine; "" is the usual one of this machine."""
    settings: Runner | None = None

    def refusal(self, device: AcceleratorName) -> str:
        """Why tests for this device cannot run here, or ""."""
        if device in self.devices:
            return ""
        have = ", ".join(self.devices)
        return f"no {device} device on runner `{self.name}` (it has: {have})"

    def models(self, device: AcceleratorName) -> frozenset[str]:
        """Models of its GPUs, "" among them where its machine does not tell; of processors ""."""
        if device == "cpu":
            return frozenset({""})
        return frozenset(gpu.model for gpu in self.devices[device].gpus) or frozenset({""})

    def access(
        self, accelerator: AcceleratorName, gpus: tuple[Gpu, ...], engine: EngineFacts
    ) -> DeviceAccess:
        """What a container on this runner's engine is started with to reach these GPUs."""
        settings = self.settings.access if self.settings else AccessSettings()
        return ACCELERATORS[accelerator].access(gpus, engine, settings)

    def seen_by(self, engine: EngineFacts) -> "RunnerInfo":
        """The same runner with the cores and GPUs that its engine tells of."""
        settings = self.settings.access if self.settings else AccessSettings()
        cpu = HostDevices(driver=None, names=("",))  # an engine does not tell its model
        devices: dict[AcceleratorName, HostDevices] = {"cpu": cpu}
        for name, accelerator in ACCELERATORS.items():
            if gpus := accelerator.listed(engine, settings):
                names = tuple(gpu.name for gpu in gpus)
                devices[name] = HostDevices(driver=None, names=names, gpus=gpus)
        return replace(self, devices=devices, cores=engine.cores)


@dataclass(frozen=True, kw_only=True)  # no slots: what is asked for each cell is remembered
class Inventory:
    """All runners of this run."""

    runners: tuple[RunnerInfo, ...]
    silent: tuple[RunnerInfo, ...] = ()
    """Those whose engine did not answer."""

    @functools.cached_property
    def settings(self) -> str:
        """What the runners' settings may change in results, whether or not they answer today."""
        told = {
            repr((sorted(r.env.items()), r.settings and (r.settings.memory, r.settings.access)))
            for r in (*self.runners, *self.silent)
        }
        return repr(sorted(told))

    @property
    def slots(self) -> int:
        """How many jobs run at once, on all runners together."""
        return sum(runner.slots for runner in self.runners)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inventory(
    definition: Definition,
    slots: int | None = None,
    env: Mapping[str, str] = MappingProxyType({}),
) -> Inventory:
    """All runners, this machine first; `slots` overrides its matrix.toml, that one per two cores.

    GPUs of this machine that `env` hides (`CUDA_VISIBLE_DEVICES`) are left out.

    Nothing is read here: accelerators of this machine are looked at when they are asked for, and
    other machines when their engine is (`RunnerInfo.seen_by`).
    """
    others = (r for name, r in definition.runners.items() if name != "local")
    settings = definition.runners["local"]
    local = RunnerInfo(
        name="local",
        devices=LocalDevices(env),
        slots=slots or settings.slots or max(1, min(4, cores() // 2)),
        cores=cores(),
        env=dict(settings.env),
        docker=settings.docker,
        settings=settings,
    )
    return Inventory(runners=(local, *map(_remote, others)))


def _remote(settings: Runner) -> RunnerInfo:
    unasked = RunnerInfo(
        name=settings.name,
        devices={},
        slots=settings.slots or 1,
        cores=0,
        env=dict(settings.env),
        docker=settings.docker,
        settings=settings,
    )
    return unasked.seen_by(EngineFacts())
