"""When a number was disturbed by others."""

import pytest

from matrix.inside import neighbours
from matrix.inside.neighbours import Usage, disturbance


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(Usage(2.0, 4.0, 0.0, 4.0), "", id="all-of-it-was-our-own"),
        pytest.param(
            Usage(2.0, 4.0, 0.0, 2.0),
            "unstable: others kept 1.0 cores busy meanwhile, and none was free",
            id="others-took-a-core",
        ),
        pytest.param(Usage(2.0, 4.0, 12.0, 2.0), "", id="others-were-busy-and-cores-were-free"),
        pytest.param(Usage(0.05, 0.1, 0.0, 0.0), "", id="too-short-for-the-kernels-clock"),
        pytest.param(None, "", id="a-system-that-does-not-say"),
    ],
)
def test_disturbance(after: "Usage | None", expected: str) -> None:
    """Foreign work counts where no core was left over for it."""
    assert disturbance(Usage(0.0, 0.0, 0.0, 0.0), after) == expected


def test_usage_reads_the_kernels_counters(tmp_path, monkeypatch) -> None:
    """Time that a hypervisor took away counts as busy, waiting for disks as idle."""
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 700 100 0 0 200 0 0\ncpu0 1\n")
    monkeypatch.setattr(neighbours, "STAT", str(stat))
    monkeypatch.setattr(neighbours.os, "sysconf", lambda _name: 100)
    now = neighbours.usage()
    assert now is not None
    assert (now.busy, now.idle) == (4.0, 8.0)
    stat.write_text("something else\n")
    assert neighbours.usage() is None
