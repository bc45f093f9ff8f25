"""The largest batch that SGLang captures in a graph when nobody says: by memory and ranks."""

from dataclasses import astuple, dataclass

GRAPH_COLUMNS = ("memory_below", "tp_below", "largest")
ALL = 10**9
"""A bound that nothing reaches."""


@dataclass(frozen=True, order=True, slots=True)
class GraphDefault:
    """The largest decode batch below these bounds: memory of one GPU in MiB, ranks."""

    memory_below: int
    tp_below: int
    largest: int

    def row(self) -> dict[str, str]:
        """Write it."""
        return dict(zip(GRAPH_COLUMNS, map(str, astuple(self)), strict=True))


def largest_batch(table: tuple[GraphDefault, ...], memory: int, tp: int) -> int | None:
    """What a table says of a GPU with `memory` MiB in a group of `tp`; None if it is empty."""
    fits = (row for row in sorted(table) if memory < row.memory_below and tp < row.tp_below)
    return next((row.largest for row in fits), None)
