"""What `plan` returns: settings with their reasons, and what is left to the engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from matrix.adapt.situation import Situation

Kind = Literal["declared", "gated", "measured", "given", "unknown"]
"""`given`: the user's word; `unknown` is only for what is left to the engine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One flag or environment variable, and why."""

    choice: str
    name: str
    values: tuple[str, ...] = ()
    """None for a switch."""
    reason: str
    kind: Kind
    source: str

    @property
    def is_flag(self) -> bool:
        """Whether it is a flag of the command line, not a variable."""
        return self.name.startswith("-")

    @property
    def text(self) -> str:
        """As it is written: `--tp-size 8`, `NAME=value`."""
        value = " ".join(self.values)
        return f"{self.name} {value}".rstrip() if self.is_flag else f"{self.name}={value}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A choice that is left to the engine, and why."""

    choice: str
    reason: str
    kind: Kind
    source: str


Decision = Setting | Left


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to launch a serving engine with."""

    situation: Situation
    decisions: tuple[Decision, ...]

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What to set."""
        return tuple(one for one in self.decisions if isinstance(one, Setting))

    @property
    def left(self) -> tuple[Left, ...]:
        """What is left to the engine."""
        return tuple(one for one in self.decisions if isinstance(one, Left))

    @property
    def args(self) -> tuple[str, ...]:
        """The words of the command line."""
        return tuple(word for one in self.settings if one.is_flag for word in _words(one))

    @property
    def env(self) -> dict[str, str]:
        """The environment variables."""
        return {one.name: " ".join(one.values) for one in self.settings if not one.is_flag}


def _words(setting: Setting) -> Iterator[str]:
    yield setting.name
    yield from setting.values
