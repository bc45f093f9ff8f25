"""Rules that say what an engine can be told on which hardware: `matrix/facts/gates.toml`."""

import functools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any, Literal

from matrix.adapt.settings import Left, Setting
from matrix.adapt.situation import Situation
from matrix.facts import natural

Answer = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One way to meet one wish, and its conditions; "" and () are none."""

    engine: str
    choice: str
    wish: str
    names: tuple[str, ...]
    value: str
    arch: tuple[str, ...]
    why: str
    source: str
    toolkit: str = ""
    """The oldest CUDA or ROCm; `torch` and `release` likewise."""
    torch: str = ""
    release: str = ""
    release_before: str = ""
    attention: str = ""
    weights: str = ""

    def answer(self, situation: Situation) -> tuple[Answer, str]:
        """Whether the conditions hold; with what is missing or not known."""
        where, kind = situation.architecture, situation.served.attention
        if not any(fnmatchcase(where.arch, pattern) for pattern in self.arch):
            return "no", f"not on {where.arch}"
        if why := self._release(situation):
            return "no", why
        answer, why = self._builds(situation)
        if why:
            return answer, why
        if self.attention and kind == "auto":
            return "unknown", "it depends on the model's attention (say `--attention mha` or `mla`)"
        holds = self.attention in {"", kind}
        return ("yes", "") if holds else ("no", f"only for {self.attention}")

    def _builds(self, situation: Situation) -> tuple[Answer, str]:
        """Whether toolkit and torch are new enough."""
        name = "CUDA" if situation.architecture.accelerator == "cuda" else "ROCm"
        for what, wanted, found in (
            (name, self.toolkit, situation.torch.toolkit),
            ("torch", self.torch, situation.torch.version),
        ):
            if wanted and not found:
                return (
                    "unknown",
                    f"{what} is not known, at least {wanted} is needed (say `--torch`)",
                )
            if wanted and _older(found, wanted):
                return "no", f"{what} {found}, at least {wanted} is needed"
        return "yes", ""

    def _release(self, situation: Situation) -> str:
        """Why the release does not take it, or ""."""
        release = situation.release
        if self.release and _older(release, self.release):
            return f"the rule was read in releases from {self.release}"
        if self.release_before and not _older(release, self.release_before):
            return f"the rule is of releases before {self.release_before}"
        flag = situation.flags.first(self.names)
        if flag is None and self.names[0].startswith("-"):
            return f"{release} has no {self.names[0]}"
        refused = flag and flag.values and self.value not in flag.values
        return f"{self.names[0]} of {release} does not take {self.value}" if refused else ""

    def setting(self, situation: Situation, reason: str = "") -> Setting:
        """What to set; call it only where the answer is yes."""
        flag = situation.flags.first(self.names)
        return Setting(
            choice=self.choice,
            name=flag.name if flag else self.names[0],
            values=(self.value,),
            reason=reason or self.why,
            kind="gated",
            source=self.source,
        )


def _older(version: str, wanted: str) -> bool:
    return natural(version) < natural(wanted)


@functools.cache
def gates() -> tuple[Gate, ...]:
    """All rules, in the order of the file."""
    text = files("matrix.facts").joinpath("gates.toml").read_text(encoding="utf-8")
    return tuple(map(_gate, tomllib.loads(text)["gate"]))


def _gate(one: dict[str, Any]) -> Gate:
    many = {"names": tuple(one["names"]), "arch": tuple(one["arch"])}
    return Gate(**(one | many))


def of(situation: Situation, choice: str, wish: str = "") -> Iterator[Gate]:
    """The rules of an engine for a choice, and for one wish if one is named."""
    for gate in gates():
        if (gate.engine, gate.choice) == (situation.engine, choice) and wish in {"", gate.wish}:
            yield gate


def chosen(situation: Situation, choice: str, wish: str) -> Gate | Left:
    """The first rule that holds; one before it that cannot be decided leaves it open."""
    reasons: list[str] = []
    for gate in of(situation, choice, wish):
        answer, why = gate.answer(situation)
        if answer == "yes":
            return gate
        if answer == "unknown":
            return Left(choice=choice, reason=why, kind="unknown", source=gate.source)
        reasons.append(why)
    told = "; ".join(dict.fromkeys(reasons)) or "no rule is known for it"
    return Left(choice=choice, reason=told, kind="gated", source="matrix/facts/gates.toml")
