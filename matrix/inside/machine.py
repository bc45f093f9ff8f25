"""What this process may use: processor cores and the device its tests really run on."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"


def usable_cores() -> int:
    """Cores this process may keep busy: its affinity, and the quota of its cgroup."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(cores, quota)) if quota else cores


def device_kind() -> str:
    """`cpu`, `cuda` or `rocm`: where tests of this process run, without importing torch.

    A build for an accelerator on a machine that has none runs on the `cpu`.
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda"):
        return "cpu"
    if not _KIND:
        _KIND.append(_ask_kind(torch))
    return _KIND[0]


_KIND: list[str] = []


def _ask_kind(torch: ModuleType) -> str:
    # Asked through NVML: asking the runtime itself would spoil CUDA for tests that fork later.
    before = os.environ.get(NVML_CHECK)
    os.environ[NVML_CHECK] = "1"
    try:
        if not torch.cuda.is_available():
            return "cpu"
    finally:
        if before is None:
            del os.environ[NVML_CHECK]
        else:
            os.environ[NVML_CHECK] = before
    return "rocm" if getattr(torch.version, "hip", None) else "cuda"


def _cgroup_quota() -> int:
    """Whole cores that the cgroup's CPU bandwidth limit leaves, 0 where there is no limit."""
    for path, pair in (
        ("/sys/fs/cgroup/cpu.max", None),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ):
        try:
            words = _read(path).split()
            if pair:
                words += _read(pair).split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):
            continue
        if quota > 0 and period > 0:
            return -(-quota // period)
    return 0


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
