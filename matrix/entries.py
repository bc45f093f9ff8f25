"""What a bundle says of one suite of one execution, and of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from matrix.rows import NOT_EVIDENCE

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Summary of one suite of one execution: what the plan needs to know about the past.

    `seconds` and `stages` are wall seconds; `counts` maps verdicts to numbers of tests.
    `device_model` is that of its GPU: "" on processors, and where it got to none.
    `costs` says what `seconds` went into, as far as the suite told. `cache` is what became of its
    compiled code on a remote: empty where none is shared.
    """

    schema: int = SCHEMA
    run: str
    cell: str
    execution: str
    suite: str
    recipe: str
    evidence: str = ""
    started: str = ""
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    verdict: str = ""
    reason: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    provision: str = ""
    device_model: str = ""
    complaints: tuple[str, ...] = ()
    cache: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What newer entries replace."""
        return self.cell, self.execution, self.suite

    @property
    def is_evidence(self) -> bool:
        """Whether it says something about the cell, rather than about the machine."""
        return self.verdict not in NOT_EVIDENCE and set(self.counts) != {"not-run"}

    @property
    def is_complete(self) -> bool:
        """Whether it is evidence on every test of the suite: only then it can be fresh."""
        return self.is_evidence and not self.counts.get("not-run")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInfo:
    """One run of the store; `refusal` says why it, or a part of it, is not among the entries."""

    path: Path
    id: str
    finished: bool
    entries: tuple[Entry, ...]
    refusal: str = ""

    @property
    def refusals(self) -> list[str]:
        """A line on what is left out of it, if anything is."""
        part = " in part" if self.entries else ""
        return [f"{self.path} is left out{part}: {self.refusal}"] if self.refusal else []
