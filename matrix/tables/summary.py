"""All tables in a sentence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from matrix.tables.cells import Excluded, cell_table
from matrix.tables.columns import Frame
from matrix.tables.features import by_companions, feature_table
from matrix.tables.suites import suite_table
from matrix.tables.verdicts import count, loudest, spoken


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts by verdict, loudest first, and what they come to.

    `features` are those of executions as the tables show them (what only a companion brings to life
    counts where the companion is), `tests` those of the user's suites, `workloads` those that
    gave no number, `cells` those without results.
    """

    sentence: str
    features: dict[str, int]
    tests: dict[str, int]
    workloads: dict[str, int]
    cells: dict[str, int]

    @property
    def alarm(self) -> str:
        """A sentence where numbers were wrong, which is worse than any failure; else nothing."""
        kinds = (
            (self.features, "a feature", "features"),
            (self.tests, "a test of yours", "tests of yours"),
            (self.workloads, "a workload", "workloads"),
        )
        found = [(counts.get("wrong", 0), one, many) for counts, one, many in kinds]
        told = [one if n == 1 else f"{n} {many}" for n, one, many in found if n]
        return (
            f"WRONG NUMBERS from {', '.join(told)}: computed without an error, and not right."
            * bool(told)
        )

    @property
    def loudest(self) -> str:
        """The worst verdict of a test; `not measured` where none ran."""
        return loudest([*self.features, *self.tests, *self.workloads])


def summarize(
    frame: Frame, excluded: Sequence[Excluded] = (), features: pd.DataFrame | None = None
) -> Summary:
    """Count the verdicts of features in executions, and what was not tested, in a sentence.

    `features` is their table, where that is made already.
    """
    features = feature_table(frame) if features is None else features
    suites = suite_table(frame)
    shown = by_companions(features, frame.executions).values()
    verdicts = count(verdict for part in shown for verdict in part.to_numpy().ravel())
    tests: Counter[str] = Counter()
    for counts in suites.to_numpy().ravel():
        tests.update(counts)
    tested = {verdict: tests[verdict] for verdict in count(tests)}
    measurements, failed = _throughput(frame)
    cells = count(cell_table(frame, excluded)["verdict"])
    parts = []
    if verdicts:
        where = _plural(features.shape[1], "execution")
        parts.append(f"{_list(verdicts)} ({_plural(len(features), 'feature')} in {where})")
    if tested:
        where = _plural(suites.shape[1], "execution")
        own = _plural(suites.index.get_level_values("suite").nunique(), "suite")
        parts.append(f"{_list(tested)} (tests of {own} of yours in {where})")
    if measurements or failed:
        parts.append(", ".join(filter(None, [_plural(measurements, "measurement"), _list(failed)])))
    if cells:
        parts.append(f"without results: {_list(cells)}" if parts else f"No results: {_list(cells)}")
    return Summary(
        sentence="; ".join(parts or ["No results"]) + ".",
        features=verdicts,
        tests=tested,
        workloads=failed,
        cells=cells,
    )


def _throughput(frame: Frame) -> tuple[int, dict[str, int]]:
    """Count the measurements, and by verdict the throughput tests that did not pass."""
    rows = frame.newest
    failed = rows[(rows["suite"] == "throughput") & ~rows["verdict"].isin(["", "pass"])]
    return int((rows["metric"] != "").sum()), count(failed["verdict"])


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {spoken(verdict)}" for verdict, number in counts.items())


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
