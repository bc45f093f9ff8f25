"""What a rule says of a machine: `@rule` makes one of a function that yields answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from matrix.check.machine import Machine

Answer = Literal["yes", "no", "unknown"]
Basis = Literal["measured", "gated", "declared"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """One answer of a rule, about `subject` where a rule asks of several things.

    `basis` is where it comes from: read on the machine, a rule over published facts, or metadata.
    A `no` that is `minor` limits what works, and is no reason for exit code 1. `fix` is one
    command, or "".
    """

    answer: Answer
    evidence: str
    source: str
    basis: Basis = "measured"
    fix: str = ""
    minor: bool = False
    subject: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The answer to the question of one rule."""

    id: str
    question: str
    said: Said

    @property
    def answer(self) -> Answer:
        """Whether all is well."""
        return self.said.answer

    @property
    def is_wrong(self) -> bool:
        """Whether something has to be done before the environment works."""
        return self.said.answer == "no" and not self.said.minor


Ask = Callable[[Machine], Iterator[Said]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One question about a machine. It says nothing where the question does not arise."""

    id: str
    question: str
    ask: Ask

    def __call__(self, machine: Machine) -> tuple[Finding, ...]:
        """Ask it; of a recorded machine nothing was measured here."""
        found = []
        for said in self.ask(machine):
            told = machine.recorded and said.basis == "measured"
            one = replace(said, basis="declared") if told else said
            found.append(Finding(id=self.id, question=self.question, said=one))
        return tuple(found)


def rule(name: str, question: str) -> Callable[[Ask], Rule]:
    """Make a rule of a function; `question` is one that `yes` answers well."""
    return lambda ask: Rule(id=name, question=question, ask=ask)


def yes(evidence: str, source: str, basis: Basis = "measured") -> Said:
    """Say that it is well."""
    return Said(answer="yes", evidence=evidence, source=source, basis=basis)


def unknown(evidence: str, source: str, basis: Basis = "measured") -> Said:
    """Say that nobody knows."""
    return Said(answer="unknown", evidence=evidence, source=source, basis=basis)


def no(
    evidence: str,
    source: str,
    basis: Basis = "measured",
    *,
    fix: str = "",
    minor: bool = False,
    subject: str = "",
) -> Said:
    """Say that it is not, and what to type."""
    return Said(
        answer="no", evidence=evidence, source=source, basis=basis, fix=fix, minor=minor,
        subject=subject,
    )  # fmt: skip
