"""Calls captured in a device graph, so that replaying them costs no launches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from torch.cuda import CUDAGraph

WARM_CALLS = 3


def warmed(call: Callable[[], Any]) -> None:
    """Run ``call`` on a side stream, so that capturing it meets no first use of a library."""
    import torch  # noqa: PLC0415 - not every user of this package has torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_CALLS):
            call()
    torch.cuda.current_stream().wait_stream(side)


class Captured:
    """A device graph of ``repeat`` calls; ``result`` is what the last of them returned.

    ``bytes`` is by how much the allocator's memory grew for it. ``call`` is kept: what the graph
    reads must live as long as the graph.
    """

    def __init__(self, call: Callable[[], Any], repeat: int = 1, pool: Any = None) -> None:  # noqa: ANN401 - an opaque handle
        import torch  # noqa: PLC0415 - not every user of this package has torch

        self._call = call
        warmed(call)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        self.graph: CUDAGraph = torch.cuda.CUDAGraph()
        self.repeat = repeat
        with torch.cuda.graph(self.graph, pool=pool):
            for _ in range(repeat):
                self.result = call()
        self.bytes = max(0, torch.cuda.memory_reserved() - before)

    def __call__(self) -> None:
        """Replay."""
        self.graph.replay()
