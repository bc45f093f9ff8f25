"""A selection of cells in parts that separate machines or processes carry out.

The parts depend on nothing but the ids: whoever has the same matrix file and selection cuts them
the same, whatever its store and machine are.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matrix import facts
from matrix.accelerators import AcceleratorName
from matrix.cells import Cell
from matrix.errors import InputError

MOST = 256  # jobs that a GitHub matrix may have


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Part `number` of `count`, from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """Cells for one process on a machine with that device."""

    device: AcceleratorName
    part: Part
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """A name for a job and its artefact, such as `cuda-1-of-3`."""
        return f"{self.device}-{self.part.number}-of-{self.part.count}"

    def as_json(self) -> dict[str, object]:
        """It for the matrix of a workflow."""
        return {
            "name": self.name,
            "device": self.device,
            "shard": str(self.part),
            "cells": [cell.id for cell in self.cells],
        }


def read_part(text: str) -> Part:
    """Read `I/N`; raises `InputError`."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError("--shard:", [f"`{text}` is no part such as 1/3, 2/3, 3/3"])
    return Part(number=int(match[1]), count=int(match[2]))


def cells_of(part: Part, cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """The cells of one part, dealt in turn, so that neighbours, which cost alike, are spread."""
    ordered = sorted(cells, key=lambda cell: facts.natural(cell.id))
    return tuple(ordered[part.number - 1 :: part.count])


def split(cells: Sequence[Cell], count: int) -> tuple[Shard, ...]:
    """Cut cells into at most `count` shards for each device, none of them empty.

    Raises `InputError` for more than a workflow can have.
    """
    if count < 1:
        raise InputError("--shards:", [f"at least 1, got {count}"])
    found = []
    for device in sorted({cell.device for cell in cells}):
        own = [cell for cell in cells if cell.device == device]
        size = min(count, len(own))
        for number in range(1, size + 1):
            part = Part(number=number, count=size)
            found.append(Shard(device=device, part=part, cells=cells_of(part, own)))
    if len(found) > MOST:
        raise InputError("--shards:", [f"{len(found)} shards; a workflow has at most {MOST} jobs"])
    return tuple(found)
