"""Vendor knowledge: one module per accelerator, each satisfying the same Protocol."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, Protocol

from matrix.accelerators import cpu, cuda, rocm
from matrix.accelerators.devices import (
    GPU_ACCESS,
    AccessSettings,
    Coverage,
    DeviceAccess,
    EngineFacts,
    Gpu,
    HostDevices,
    Mount,
    Obstacle,
)

__all__ = [
    "ACCELERATORS",
    "GPU_ACCESS",
    "Accelerator",
    "AcceleratorName",
    "AccessSettings",
    "Coverage",
    "DeviceAccess",
    "EngineFacts",
    "Gpu",
    "HostDevices",
    "LocalDevices",
    "Mount",
    "Obstacle",
    "accelerator_of",
    "hidden_except",
]

AcceleratorName = Literal["cpu", "cuda", "rocm"]


class Accelerator(Protocol):
    """What the rest of the project may ask about one vendor."""

    @property
    def NAME(self) -> AcceleratorName:  # noqa: N802  a constant of the module
        """The accelerator's name in ids, selections and rows."""

    @property
    def READS(self) -> tuple[str, ...]:  # noqa: N802  a constant of the module
        """Variables by which the vendor's runtime chooses devices, other vendors' among them."""

    def owns(self, variant: str, /) -> bool:
        """Whether `variant` (`cu130`, `rocm7.2`, `cpu`) is a build for this accelerator."""

    def hidden(self) -> Mapping[str, str]:
        """Environment that hides this vendor's devices from a cell whose tests belong elsewhere."""

    def toolkit(self, variant: str, /) -> str:
        """The toolkit version a variant was built with ("13.0"), or "" where there is none."""

    def detect(self) -> HostDevices | None:
        """Driver and devices of this machine, or None where there is no device."""

    def allowed(self, gpus: tuple[Gpu, ...], env: Mapping[str, str], /) -> tuple[Gpu, ...]:
        """The GPUs that this environment leaves to its processes."""

    def visible(self, gpus: tuple[Gpu, ...], /) -> Mapping[str, str]:
        """Environment in which a process of this machine sees only these GPUs."""

    def access(
        self, gpus: tuple[Gpu, ...], engine: EngineFacts, settings: AccessSettings, /
    ) -> DeviceAccess:
        """What a container on this engine is started with to reach these GPUs."""

    def listed(self, engine: EngineFacts, settings: AccessSettings, /) -> tuple[Gpu, ...]:
        """The GPUs of another machine, as far as its engine or its settings tell."""

    def unpinned(self) -> DeviceAccess:
        """Access for a Compose file that names no machine: with Compose's variables."""

    def reserved(self, gpus: int, /) -> Mapping[str, object]:
        """Keys of a Compose service that is to have this many GPUs of its machine, whichever."""

    def explain_refusal(self, text: str, /) -> str | None:
        """What an engine's refusal means and what to do, in one sentence; None if unknown."""

    def driver_gate(self, variant: str, driver: str | None, /) -> str:
        """Why `variant` cannot run on `driver` (a gated statement with its source), or ""."""

    def driver(self) -> str | None:
        """The kernel driver's version, also where it shows no device; None where unknown."""

    def obstacle(self) -> Obstacle | None:
        """What keeps this user from devices that the machine has; None where nothing is known."""

    def since(self, arch: str, /) -> str:
        """The first toolkit version that compiles for an architecture, or "" where unknown."""

    def covers(self, archs: tuple[str, ...], arch: str, /) -> Coverage:
        """What a build with code for `archs` has for a GPU of the architecture `arch`."""


ACCELERATORS: Mapping[AcceleratorName, Accelerator] = {"cpu": cpu, "cuda": cuda, "rocm": rocm}


def accelerator_of(variant: str) -> Accelerator | None:
    """The accelerator a variant is built for; None for one this project does not know (`xpu`)."""
    return next((a for a in ACCELERATORS.values() if a.owns(variant)), None)


class LocalDevices(Mapping[AcceleratorName, HostDevices]):
    """All accelerators of this machine; each is looked at when it is first asked for.

    GPUs that `env` hides are not ours: a scheduler gave them to somebody else.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._look = functools.cache(functools.partial(_detect, env))

    def __getitem__(self, name: AcceleratorName) -> HostDevices:
        found: HostDevices | None = self._look(name) if name in ACCELERATORS else None
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[AcceleratorName]:
        return (name for name in ACCELERATORS if self._look(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _detect(env: Mapping[str, str], name: AcceleratorName) -> HostDevices | None:
    accelerator = ACCELERATORS[name]
    found = accelerator.detect()
    if found is None or not found.gpus:
        return found
    gpus = accelerator.allowed(found.gpus, env)
    return replace(found, gpus=gpus, names=tuple(gpu.name for gpu in gpus)) if gpus else None


def hidden_except(device: AcceleratorName) -> dict[str, str]:
    """Environment in which only the devices of one accelerator can be seen."""
    own = ACCELERATORS[device].READS
    others = (a for name, a in ACCELERATORS.items() if name != device)
    return {key: value for a in others for key, value in a.hidden().items() if key not in own}
