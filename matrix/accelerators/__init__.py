"""Vendor knowledge: one module per accelerator, each satisfying the same Protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from matrix.accelerators import cpu, cuda, rocm

AcceleratorName = Literal["cpu", "cuda", "rocm"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HostDevices:
    """What this machine has of one accelerator, read without importing torch."""

    driver: str | None
    names: tuple[str, ...]


class Accelerator(Protocol):
    """What the rest of the project may ask about one vendor."""

    @property
    def NAME(self) -> AcceleratorName:  # noqa: N802  a constant of the module
        """The accelerator's name in ids, selections and rows."""

    def owns(self, variant: str, /) -> bool:
        """Whether `variant` (`cu130`, `rocm7.2`, `cpu`) is a build for this accelerator."""

    def hidden(self) -> Mapping[str, str]:
        """Environment that hides this vendor's devices from a cell whose tests belong elsewhere."""

    def toolkit(self, variant: str, /) -> str:
        """The toolkit version a variant was built with ("13.0"), or "" where there is none."""

    def detect(self) -> tuple[str | None, tuple[str, ...]] | None:
        """Driver version and device names on this machine, or None where there is no device."""

    def driver_gate(self, variant: str, driver: str | None, /) -> str:
        """Why `variant` cannot run on `driver` (a gated statement with its source), or ""."""


ACCELERATORS: Mapping[AcceleratorName, Accelerator] = {"cpu": cpu, "cuda": cuda, "rocm": rocm}


def accelerator_of(variant: str) -> Accelerator | None:
    """The accelerator a variant is built for; None for one this project does not know (`xpu`)."""
    return next((a for a in ACCELERATORS.values() if a.owns(variant)), None)


def detect() -> dict[AcceleratorName, HostDevices]:
    """All accelerators of this machine; `cpu` is always there."""
    found: dict[AcceleratorName, HostDevices] = {}
    for name, accelerator in ACCELERATORS.items():
        if (devices := accelerator.detect()) is not None:
            found[name] = HostDevices(driver=devices[0], names=devices[1])
    return found


def hidden_except(device: AcceleratorName) -> dict[str, str]:
    """Environment in which only the devices of one accelerator can be seen."""
    env: dict[str, str] = {}
    for name, accelerator in ACCELERATORS.items():
        if name != device:
            env |= accelerator.hidden()
    return env
