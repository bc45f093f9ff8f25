"""Preconditions of tests: each says in one sentence why it is absent, or nothing."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Callable, Sequence


def missing(needs: Sequence[str]) -> str:
    """Why the first unmet of ``needs`` is unmet, empty if all are met.

    Raises ``KeyError`` for a need nobody has defined, so that a typo never skips a test for good.
    """
    for need in needs:
        name, _, argument = need.partition(":")
        reason = NEEDS[name](argument)
        if reason:
            return reason
    return ""


def _accelerator(_argument: str) -> str:
    import torch  # noqa: PLC0415 - only a test that needs a device pays for torch

    if torch.cuda.is_available():
        return ""
    return "needs a CUDA or ROCm device; torch finds none here"


def _devices(count: str) -> str:
    absent = _accelerator("")
    if absent:
        return absent
    import torch  # noqa: PLC0415 - only a test that needs a device pays for torch

    have = torch.cuda.device_count()
    return "" if have >= int(count) else f"needs {count} devices; there is {have}"


def _capability(least: str) -> str:
    absent = _accelerator("")
    if absent:
        return absent
    import torch  # noqa: PLC0415 - only a test that needs a device pays for torch

    have = torch.cuda.get_device_capability()
    if torch.version.hip or have >= tuple(map(int, least.split("."))):  # AMD counts otherwise
        return ""
    return f"needs CUDA compute capability {least}; this device has {have[0]}.{have[1]}"


def _compiler(_argument: str) -> str:
    named = os.environ.get("CXX", "")
    if (named and shutil.which(named)) or any(map(shutil.which, ("g++", "clang++", "c++"))):
        return ""
    return "needs a C++ compiler (g++ or clang++ on PATH, or CXX): torch.compile builds with it"


def _toolkit(_argument: str) -> str:
    if _accelerator(""):
        return ""  # code for the CPU is linked with nothing but torch
    from torch.utils import cpp_extension  # noqa: PLC0415 - only what builds for a device needs it

    homes = (cpp_extension.CUDA_HOME, cpp_extension.ROCM_HOME)
    if any(home and os.path.isdir(home) for home in homes):
        return ""
    return "needs a CUDA or ROCm toolkit (nvcc or hipcc on PATH, CUDA_HOME or ROCM_HOME)"


def _module(name: str) -> str:
    return "" if importlib.util.find_spec(name) else f"needs the package {name}, not installed here"


def _multicast(_argument: str) -> str:
    off = {"NCCL_NVLS_ENABLE": "0", "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1"}
    for name, value in off.items():
        if os.environ.get(name) == value:
            return f"runner policy: {name}={value} keeps multicast off here"
    return ""


NEEDS: dict[str, Callable[[str], str]] = {
    "accelerator": _accelerator,
    "devices": _devices,
    "capability": _capability,
    "compiler": _compiler,
    "toolkit": _toolkit,
    "module": _module,
    "multicast": _multicast,
}
