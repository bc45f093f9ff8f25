"""GPU models and architectures by name: what vendors publish of them, as facts.

No machine is asked here; `detect` of each vendor's module does that.
"""

import functools
import re
from dataclasses import dataclass

from matrix.accelerators import ACCELERATORS, AcceleratorName
from matrix.facts import table

_VENDOR = re.compile(r"\b(nvidia|amd|instinct)\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """What code for one architecture can count on."""

    accelerator: AcceleratorName
    arch: str
    """`sm_90`, `gfx942`."""
    capability: str
    """As torch reports it; not comparable between vendors."""
    fp8: str
    """The kind of FP8 that its matrix units take (`e4m3fn`, `e4m3fnuz`), or "" for none."""
    fp4: str
    """`nvfp4`, `mxfp4`, or ""."""
    note: str
    source: str
    status: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A GPU as it is sold; where one card is several devices, one of them."""

    accelerator: AcceleratorName
    name: str
    arch: str
    memory: int
    """MiB."""
    note: str
    source: str


@functools.cache
def architectures() -> dict[str, Architecture]:
    """All architectures by name."""
    return {
        row["arch"]: Architecture(
            accelerator=_accelerator(row),
            arch=row["arch"],
            capability=row["capability"],
            fp8=row["fp8"],
            fp4=row["fp4"],
            note=row["note"],
            source=row["source"],
            status=row["status"],
        )
        for row in table("architectures.csv")
    }


def _accelerator(row: dict[str, str]) -> AcceleratorName:
    return next(name for name in ACCELERATORS if name == row["accelerator"])


@functools.cache
def models() -> dict[str, Model]:
    """All GPU models by name."""
    return {
        row["name"]: Model(
            accelerator=_accelerator(row),
            name=row["name"],
            arch=row["arch"],
            memory=int(row["memory_gib"]) * 1024,
            note=row["note"],
            source=row["source"],
        )
        for row in table("gpus.csv")
    }


@functools.cache
def _names() -> dict[str, str]:
    """Every name of a model, made plain → the model's name."""
    found = {}
    for row in table("gpus.csv"):
        for name in (row["name"], *filter(None, row["others"].split(";"))):
            found[_plain(name)] = row["name"]
    return found


def find_model(name: str) -> Model | None:
    """The model of this name, also as a driver spells it; None for one that is not known."""
    known = _names().get(_plain(name))
    return models()[known] if known else None


def _plain(name: str) -> str:
    """Letters and digits in lower case, without the vendor."""
    return re.sub(r"[^a-z0-9]", "", _VENDOR.sub("", name.lower()))


def arch_of_capability(capability: str) -> str:
    """`9.0` of NVML or CUDA → `sm_90`."""
    major, _, minor = capability.partition(".")
    return f"sm_{major}{minor or 0}"
