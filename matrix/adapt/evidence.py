"""What was measured, as far as a choice of flags asks: a few lines of the published tables.

They are read as text first and only lines that matter are parsed, for this must take milliseconds.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matrix.accelerators.models import find_model
from matrix.facts import natural

_COLUMN = re.compile(r"torch(?P<torch>[^-]+)-(?P<variant>[^-]+)-py(?P<python>[^- ]+)(?P<rest>.*)")
NOT_AN_OUTCOME = frozenset({"not measured", "skip", "not-run", "infra", "no-runner"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """An outcome of a feature, or a metric of a workload, on a GPU of the wanted model."""

    torch: str
    column: str
    verdict: str
    """Of a feature; for a metric its status."""
    params: str = ""
    median: float | None = None
    run: str = ""

    @property
    def where(self) -> str:
        """The cell and the run, as a source."""
        return f"{self.column}, run {self.run}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Published results of a folder; all lookups are empty without one."""

    folder: Path | None = None

    def feature(self, name: str, gpu: str) -> list[Measured]:
        """The outcomes of a feature on a GPU, newest torch last."""
        found = [
            Measured(torch=torch, column=row["column"], verdict=row["verdict"], run=row["run"])
            for row, torch in self._rows("features.csv", [name], gpu)
            if row["feature"] == name and row["verdict"] not in NOT_AN_OUTCOME
        ]
        return sorted(found, key=lambda one: natural(one.torch))

    def workload(self, name: str, gpu: str, torch: str) -> list[Measured]:
        """The times of a workload on a GPU with one torch."""
        return [
            Measured(torch=found, column=row["column"], verdict=row["status"],
                     params=row["params"], median=float(row["median"]), run=row["run"])
            for row, found in self._rows("workloads.csv", [name], gpu)
            if row["workload"] == name and row["metric"] == "time" and found == torch
            and row["status"] == "value"
        ]  # fmt: skip

    def _rows(
        self, table: str, words: Iterable[str], gpu: str
    ) -> Iterator[tuple[dict[str, str], str]]:
        """(row, torch) of lines that have these words, on GPUs of this model."""
        if self.folder is None:
            return
        try:
            with (self.folder / table).open(encoding="utf-8", newline="") as stream:
                header = next(csv.reader([stream.readline()]), [])
                lines = [line for line in stream if all(word in line for word in words)]
        except OSError:
            return
        for values in csv.reader(lines):
            row = dict(zip(header, values, strict=False))
            match = _COLUMN.match(row.get("column", ""))
            model = find_model(row.get("device_model", ""))
            if match and model is not None and model.name == gpu:
                yield row, match["torch"]


def same(found: Iterable[Measured], torch: str) -> list[Measured]:
    """Those with this very torch."""
    return [one for one in found if torch and one.torch == torch]
