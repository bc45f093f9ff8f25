"""CPU: the build without an accelerator's libraries."""

import platform
from pathlib import Path
from typing import Literal

NAME: Literal["cpu"] = "cpu"


def owns(variant: str) -> bool:
    """Whether the variant is the CPU build."""
    return variant == "cpu"


def hidden() -> dict[str, str]:
    """There is no hiding a CPU."""
    return {}


def toolkit(_variant: str) -> str:
    """CPU builds have no toolkit."""
    return ""


def detect() -> tuple[str | None, tuple[str, ...]] | None:
    """Every machine has a CPU; its model name as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), "")
    return None, (model or platform.processor() or platform.machine(),)


def driver_gate(_variant: str, _driver: str | None) -> str:
    """A CPU build needs no driver."""
    return ""
