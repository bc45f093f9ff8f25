"""Whether others used the processor while a number was taken; a disturbed number is no number."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

STAT = "/proc/stat"
FOREIGN = 0.10
IDLE = 0.10


class Usage(NamedTuple):
    """Processor seconds since boot of the whole machine, and of this process, at a wall time."""

    wall: float
    busy: float
    idle: float
    own: float


def usage() -> Usage | None:
    """What the kernel counts now, time that a hypervisor took away among it; None elsewhere."""
    try:
        with open(STAT, encoding="ascii") as file:
            words = file.readline().split()
        ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in words[1:9]]
        user, nice, system, idle, iowait, irq, softirq, steal = ticks
    except (OSError, ValueError):
        return None
    busy = user + nice + system + irq + softirq + steal
    return Usage(time.monotonic(), busy, idle + iowait, sum(os.times()[:4]))


def disturbance(before: Usage | None, after: Usage | None) -> str:
    """Why the time between is no measure of this process alone, or "".

    Others may be busy as long as a core stays free: both limits are shares of one core.
    """
    if before is None or after is None or after.wall - before.wall < 0.1:  # noqa: PLR2004
        return ""
    wall = after.wall - before.wall
    foreign = (after.busy - before.busy - (after.own - before.own)) / wall
    idle = (after.idle - before.idle) / wall
    if foreign <= FOREIGN or idle >= IDLE:
        return ""
    return f"unstable: others kept {foreign:.1f} cores busy meanwhile, and none was free"
