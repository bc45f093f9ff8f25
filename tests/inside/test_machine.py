"""How many cores may be used, and needs that are met or not."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from matrix.inside import machine, needs


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, 8, id="no cgroup"),
        pytest.param({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, 8, id="no limit"),
        pytest.param({"/sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3, id="two and a half"),
        pytest.param({"/sys/fs/cgroup/cpu.max": "1000 100000\n"}, 1, id="a sliver"),
        pytest.param({"/sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 8, id="more than there are"),
        pytest.param(
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            2,
            id="version 1",
        ),
        pytest.param(
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
            id="version 1 without limit",
        ),
    ],
)
def test_cores(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int) -> None:
    """The smaller of affinity and quota; a quota is rounded up."""

    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    monkeypatch.setattr(machine, "_read", read)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _pid: set(range(8)))

    assert machine.usable_cores() == cores


@pytest.mark.parametrize(
    ("available", "hip", "kind"),
    [(False, None, "cpu"), (False, "7.2", "cpu"), (True, None, "cuda"), (True, "7.2", "rocm")],
)
def test_device_kind(
    monkeypatch: pytest.MonkeyPatch, available: object, hip: str, kind: str
) -> None:
    """Where tests run, not what was built."""
    fake = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: available), version=SimpleNamespace(hip=hip)
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setattr(machine, "_KIND", [])

    assert machine.device_kind() == kind


def test_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)

    assert needs.missing(["module:json"]) == ""
    assert needs.missing(["module:json", "module:nope_x"]) == (
        "needs the package nope_x, not installed here"
    )
    assert needs.missing(["compiler"]).startswith("needs a C++ compiler (g++ or clang++ on PATH")
    with pytest.raises(KeyError):
        needs.missing(["compilr"])
