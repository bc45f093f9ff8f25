"""CPU: the build without an accelerator's libraries."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from matrix.accelerators.devices import (
    AccessSettings,
    Coverage,
    DeviceAccess,
    EngineFacts,
    Gpu,
    HostDevices,
    Obstacle,
)

NAME: Literal["cpu"] = "cpu"
READS: tuple[str, ...] = ()


def owns(variant: str) -> bool:
    """Whether the variant is the CPU build."""
    return variant == "cpu"


def hidden() -> dict[str, str]:
    """There is no hiding a CPU."""
    return {}


def toolkit(_variant: str) -> str:
    """CPU builds have no toolkit."""
    return ""


def detect() -> HostDevices | None:
    """Every machine has a CPU; its model name as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), "")
    name = model or platform.processor() or platform.machine()
    return HostDevices(driver=None, names=(name,))


def driver_gate(_variant: str, _driver: str | None) -> str:
    """A CPU build needs no driver."""
    return ""


def allowed(gpus: tuple[Gpu, ...], _env: Mapping[str, str]) -> tuple[Gpu, ...]:
    """There is nothing to choose from."""
    return gpus


def visible(_gpus: tuple[Gpu, ...]) -> dict[str, str]:
    """There is nothing to choose from."""
    return {}


def access(_gpus: tuple[Gpu, ...], _engine: EngineFacts, _settings: AccessSettings) -> DeviceAccess:
    """A container has a CPU."""
    return DeviceAccess()


def listed(_engine: EngineFacts, _settings: AccessSettings) -> tuple[Gpu, ...]:
    """No GPU is a CPU."""
    return ()


def unpinned() -> DeviceAccess:
    """A container has a CPU."""
    return DeviceAccess()


def reserved(_gpus: int) -> dict[str, object]:
    """A service has a CPU."""
    return {}


def explain_refusal(_text: str) -> str | None:
    """Nothing is asked for, so nothing is refused."""
    return None


def driver() -> str | None:
    """A CPU has no driver."""
    return None


def obstacle() -> Obstacle | None:
    """Nothing stands between a process and its CPU."""
    return None


def since(_arch: str) -> str:
    """There is no toolkit."""
    return ""


def covers(_archs: tuple[str, ...], _arch: str) -> Coverage:
    """CPU builds choose their code at run time."""
    return "code"
