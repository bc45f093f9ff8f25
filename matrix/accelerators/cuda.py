"""NVIDIA: `cuXYZ` variants, driver floors, and the devices of this machine."""

import re
from pathlib import Path
from typing import Literal

from matrix import facts

NAME: Literal["cuda"] = "cuda"
_VARIANT = re.compile(r"cu(\d+)(\d)")
_PROC = Path("/proc/driver/nvidia")


def owns(variant: str) -> bool:
    """Whether the variant is a CUDA build, such as `cu130`."""
    return _VARIANT.fullmatch(variant) is not None


def hidden() -> dict[str, str]:
    """What makes the vendor library report no device."""
    return {"CUDA_VISIBLE_DEVICES": ""}


def toolkit(variant: str) -> str:
    """Return "13.0" for `cu130`: the last digit is the minor version."""
    match = _VARIANT.fullmatch(variant)
    return f"{match[1]}.{match[2]}" if match else ""


def detect(proc: Path = _PROC) -> tuple[str | None, tuple[str, ...]] | None:
    """Read driver and GPU models from the kernel module's own files; no toolkit is needed."""
    models = []
    for information in sorted(proc.glob("gpus/*/information")):
        match = re.search(r"^Model:\s*(.+)$", information.read_text(encoding="utf-8"), re.MULTILINE)
        models.append(match[1].strip() if match else "NVIDIA GPU")
    if not models:
        return None
    try:
        text = (proc / "version").read_text(encoding="utf-8")
    except OSError:
        text = ""
    match = re.search(r"Kernel Module[^\n]*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return (match[1] if match else None), tuple(models)


def driver_gate(variant: str, driver: str | None) -> str:
    """Compare the driver with the variant's floor; an unknown driver is not gated."""
    floor = facts.driver_floors().get(variant)
    if driver is None or floor is None or facts.natural(driver) >= facts.natural(floor.floor):
        return ""
    return (
        f"{variant} needs an NVIDIA driver >= {floor.floor}, this machine has {driver} "
        f"(gated; source: {floor.source})"
    )
