"""All tables in a sentence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from matrix.rows import Verdict
from matrix.schema import BUILTIN_SUITES
from matrix.tables.cells import Excluded, cell_table
from matrix.tables.columns import Frame
from matrix.tables.companions import by_companions
from matrix.tables.features import feature_table
from matrix.tables.suites import suite_table
from matrix.tables.verdicts import count, loudest, spoken


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts by verdict, loudest first, and what they come to.

    `features` are those of executions as the tables show them (what only a companion brings to life
    counts where the companion is), `tests` those of the user's suites, `workloads` those that
    gave no number, `cells` those without results. `wrong` says which of them gave wrong numbers.
    """

    sentence: str
    features: dict[str, int]
    tests: dict[str, int]
    workloads: dict[str, int]
    cells: dict[str, int]
    wrong: str

    @property
    def alarm(self) -> str:
        """A sentence where numbers were wrong, which is worse than any failure; else nothing."""
        if not self.wrong:
            return ""
        return f"WRONG NUMBERS from {self.wrong}: computed without an error, and not right."

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
        wrong=_wrong(frame.outcomes),
    )


def _wrong(outcomes: pd.DataFrame) -> str:
    """Name how many features, tests and workloads were wrong, and in how many executions."""
    rows = outcomes[outcomes["verdict"] == Verdict.WRONG]
    own = ~rows["suite"].isin(BUILTIN_SUITES)
    kinds = (
        (rows[rows["suite"] == "feature"], "feature", "a feature", "features"),
        (rows[own], "test", "a test of yours", "tests of yours"),
        (rows[rows["suite"] == "throughput"], "workload", "a workload", "workloads"),
    )
    told = []
    for found, subject, one, many in kinds:
        number = len(found.drop_duplicates(["suite", subject]))
        where = found["label"].nunique()
        if number:
            told.append(
                (one if number == 1 else f"{number} {many}")
                + (f" in {where} executions" if where > 1 else "")
            )
    return ", ".join(told)


def _throughput(frame: Frame) -> tuple[int, dict[str, int]]:
    """Count the measurements, and by verdict the throughput tests that did not pass."""
    rows = frame.newest
    failed = rows[(rows["suite"] == "throughput") & ~rows["verdict"].isin(["", "pass"])]
    return int((rows["metric"] != "").sum()), count(failed["verdict"])


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {spoken(verdict)}" for verdict, number in counts.items())


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
