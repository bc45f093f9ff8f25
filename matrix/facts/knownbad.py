"""Combinations that install and are wrong, slow or broken all the same: `known_bad.toml`."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownBad:
    """A combination that installs and is wrong, slow or broken (`known_bad.toml`, one table).

    `packages` maps names, or patterns of names, to specifiers; all conditions must hold.
    """

    id: str
    why: str
    fix: str
    source: str
    packages: Mapping[str, str] = field(default_factory=dict)
    rocm: str = ""
    arch: str = ""
    accelerator: str = ""
    minor: bool = False
    basis: Literal["declared", "measured"] = "declared"


@functools.cache
def known_bad() -> tuple[KnownBad, ...]:
    """All combinations that are known to be bad."""
    data = tomllib.loads((files(__package__) / "known_bad.toml").read_text(encoding="utf-8"))
    return tuple(KnownBad(**bad) for bad in data["bad"])
