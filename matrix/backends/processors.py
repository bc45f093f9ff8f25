"""Which processors of an engine's machine a container gets, so that cells do not share them."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def usable(count: int, *, local: bool) -> tuple[int, ...]:
    """CpuShares by number: of `count`, those that we may use too where it is this machine."""
    ours = os.sched_getaffinity(0) if local and hasattr(os, "sched_getaffinity") else range(count)
    return tuple(sorted(cpu for cpu in ours if cpu < count)) or tuple(range(count))


class CpuShares:
    """Equal shares of processors: two containers never have one in common.

    One that runs alone has them all, and so has each that comes when all shares are taken.
    """

    def __init__(self, cpus: Sequence[int], slots: int) -> None:
        self.all = tuple(cpus)
        size = max(1, len(self.all) // slots)
        shares = (self.all[n * size : (n + 1) * size] for n in range(slots))
        self._free = [share for share in shares if share]
        self._lock = threading.Lock()

    @contextmanager
    def share(self, *, exclusive: bool) -> Iterator[tuple[int, ...]]:
        """CpuShares for one container."""
        with self._lock:
            taken = () if exclusive or not self._free else self._free.pop(0)
        try:
            yield taken or self.all
        finally:
            if taken:
                with self._lock:
                    self._free = sorted((*self._free, taken))
