"""What the evidence says of one execution, as far as a choice between versions needs it."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from matrix.rows import BAD
from matrix.selection import Fields
from matrix.verdicts import ACCEPTED, FLAKY, NOT_MEASURED


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A feature's newest evidence; `nights` and `runs` passed since it last did anything else.

    `verified` is the day of the evidence.
    """

    verdict: str
    reason: str = ""
    runs: int = 0
    nights: int = 0
    verified: str = ""

    @property
    def passes(self) -> bool:
        """Whether it is green; a problem that the user accepts is not."""
        return self.verdict == "pass"

    @property
    def fails(self) -> bool:
        """Whether it broke, also by chance; a refusal is no failure."""
        return self.verdict.removesuffix(ACCEPTED) in {*BAD, FLAKY}

    @property
    def is_wrong(self) -> bool:
        """Whether it gave wrong numbers."""
        return self.verdict.removesuffix(ACCEPTED) == "wrong"


UNMEASURED = Finding(verdict=NOT_MEASURED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """An execution, with what was measured in it; None and absent keys are what was not.

    `times` are steady-state seconds by workload and parameters, as far as they may be compared with
    the others'; `import_seconds` is of one import of torch; sizes are in bytes; `released` is the
    day of the release, from the facts. `broken` says why the cell can no longer be made.
    """

    cell: str
    torch: str
    variant: str
    accelerator: str
    python: str
    companions: str = ""
    execution: str
    provision: str = ""
    device_model: str = ""
    driver: str = ""
    findings: Mapping[str, Finding] = field(default_factory=dict)
    times: Mapping[tuple[str, str], float] = field(default_factory=dict)
    import_seconds: float | None = None
    install_bytes: float | None = None
    image_bytes: float | None = None
    memory_bytes: float | None = None
    released: str = ""
    verified: str = ""
    broken: str = ""

    @property
    def device(self) -> str:
        """The kind of device that its tests ran on."""
        return self.execution.rpartition("-")[2]

    @property
    def fields(self) -> Fields:
        """What selections see."""
        return {
            "id": self.cell,
            "torch": self.torch,
            "variant": self.variant,
            "accelerator": self.accelerator,
            "python": self.python,
            "device": self.device,
            "companion": self.companions,
        }

    @property
    def is_foreign(self) -> bool:
        """Whether the build is made for another device than it ran on."""
        return self.accelerator not in {"", self.device}

    def finding(self, feature: str) -> Finding:
        """The evidence on a feature."""
        return self.findings.get(feature, UNMEASURED)

    def age(self, today: str) -> int | None:
        """Days from the release to `today`, an ISO date."""
        try:
            released = datetime.date.fromisoformat(self.released)
        except ValueError:
            return None
        return max(0, (datetime.date.fromisoformat(today) - released).days)
