"""AMD: `rocmX.Y` variants and the devices of this machine."""

import re
from pathlib import Path
from typing import Literal

NAME: Literal["rocm"] = "rocm"
_VARIANT = re.compile(r"rocm(\d+(?:\.\d+)+)")
_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
_MODULE = Path("/sys/module/amdgpu/version")


def owns(variant: str) -> bool:
    """Whether the variant is a ROCm build, such as `rocm7.2`."""
    return _VARIANT.fullmatch(variant) is not None


def hidden() -> dict[str, str]:
    """What makes the vendor library report no device."""
    return {"HIP_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": ""}


def toolkit(variant: str) -> str:
    """Return "7.2" for `rocm7.2`."""
    match = _VARIANT.fullmatch(variant)
    return match[1] if match else ""


def _gfx(target_version: int) -> str:
    """Turn the driver's number into LLVM's name: 90402 is gfx942, 90010 is gfx90a."""
    major, minor, step = target_version // 10000, target_version // 100 % 100, target_version % 100
    return f"gfx{major}{minor:x}{step:x}"


def detect(nodes: Path = _NODES) -> tuple[str | None, tuple[str, ...]] | None:
    """Read GPU architectures from the kernel driver's topology; CPU nodes have target 0."""
    names = []
    for properties in sorted(nodes.glob("*/properties")):
        text = properties.read_text(encoding="utf-8")
        match = re.search(r"^gfx_target_version (\d+)$", text, re.MULTILINE)
        if match and int(match[1]):
            names.append(_gfx(int(match[1])))
    if not names:
        return None
    try:
        driver: str | None = _MODULE.read_text(encoding="utf-8").strip()
    except OSError:
        driver = None
    return driver, tuple(names)


def driver_gate(_variant: str, _driver: str | None) -> str:
    """No gate: which amdgpu drivers serve which ROCm release is only partly published."""
    return ""
