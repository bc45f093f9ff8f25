"""Two cells in turn on one lease: a round of one, then of the other, each in a fresh process.

The rounds are parts of one execution of each cell, not executions of their own: a cell is
installed and proven once, and its rows say of which round they are. Every second pair runs the
other way round (A B, B A, …), so that what drifts steadily favours neither side.
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from matrix.accelerators import Gpu
from matrix.backends import CellFailed, Environment, RunnerLost
from matrix.definition import Suite
from matrix.entries import Entry
from matrix.evidence import base_fields, make_entry, reading_of, together, waive
from matrix.execution import Site, failed, folder_of, keep, label, prepare, round_folder
from matrix.plan import Job
from matrix.process import Stopped
from matrix.records import Reading, read_suite
from matrix.rows import AFTER, AGAIN, BEFORE, FIRST, Row
from matrix.store import utc_now

Again = Callable[[Sequence[Row], Sequence[Row]], tuple[set[str], int]]
"""From the rows of both sides: tests to measure again, and how many pairs of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InTurn:
    """A comparison: `before` and `after` are cell ids, which may be the same; how many `pairs`."""

    before: str
    after: str
    pairs: int

    @property
    def cells(self) -> tuple[str, str]:
        """Both, in order."""
        return self.before, self.after


@dataclass(kw_only=True)
class _Seat:
    """One of the cells, ready to run rounds of its suite."""

    job: Job
    environment: Environment
    base: dict[str, Any]
    out: Path
    readings: list[Reading] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def key(self) -> str:
        """What the board knows it by."""
        return f"{self.job.id}:{self.job.suites[0].suite.name}"

    def rows(self, side: str) -> list[Row]:
        """What was measured for one side so far."""
        return [row for reading in self.readings for row in reading.rows if row.side == side]


def carry_out(jobs: Sequence[Job], turns: InTurn, site: Site, again: Again) -> list[Entry]:
    """Run two jobs of one suite each in turn, or one against itself; one entry per job.

    What `again` names is measured again on the same lease. Where one cell gets no further the
    other is not run. Raises `Stopped`; rounds that came to their end are kept.
    """
    with ExitStack() as stack:
        seats: dict[str, _Seat] = {}
        rounds = turns.pairs * (3 - len(jobs))
        for job in jobs:
            try:
                seats[job.cell.id] = stack.enter_context(_seat(job, site, rounds))
            except (CellFailed, RunnerLost) as error:
                return _none(jobs, job, error, site)
        say = partial(site.watcher.stage, next(iter(seats.values())).key)
        try:
            with site.turn(jobs[0], "alone", say, jobs[0].suites[0].suite.gpus) as gpus:
                _take_turns(seats, turns, site, gpus, again)
        except RunnerLost as error:
            return _none(jobs, jobs[0], error, site)
        except Stopped:
            for seat in seats.values():
                if seat.readings:
                    _commit(seat, site, ())
            raise
        return [_commit(seat, site, gpus) for seat in seats.values()]


@contextmanager
def _seat(job: Job, site: Site, rounds: int) -> Iterator[_Seat]:
    """Make the cell, and a folder for what its `rounds` leave; both go where that is not kept."""
    folder = folder_of(job, site)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (run,) = job.suites
    try:
        environment, probe = prepare(job, site, folder)
        out = site.bundle.stage(job.cell.id, job.execution, run.suite.name)
        (out / "requirements.lock").write_text(environment.lock, encoding="utf-8")
        keep(folder, out)
        base = base_fields(job, run, site.bundle.id, environment, probe, utc_now())
        seat = _Seat(job=job, environment=environment, base=base, out=out)
        site.watcher.started(seat.key, label(job, run.suite.name), run.estimate * rounds)
        try:
            yield seat
        finally:
            shutil.rmtree(out, ignore_errors=True)  # not there any more where it was committed
    finally:
        site.backend.discard(job, folder)


def _take_turns(
    seats: Mapping[str, _Seat], turns: InTurn, site: Site, gpus: tuple[Gpu, ...], again: Again
) -> None:
    """The first rounds, and those of what has to be measured again."""
    by_side = {BEFORE: seats[turns.before], AFTER: seats[turns.after]}

    def pairs(count: int, phase: str, tests: Collection[str] = ()) -> None:
        for number in range(1, count + 1):
            order = [BEFORE, AFTER] if number % 2 else [AFTER, BEFORE]
            for side in order:
                seat = by_side[side]
                site.watcher.stage(seat.key, f"{phase} round {number} of {count}, {side}")
                about: dict[str, str | int] = {"round": number, "phase": phase, "side": side}
                _round(seat, site, gpus, about, tests)

    pairs(turns.pairs, FIRST)
    tests, count = again(*(seat.rows(side) for side, seat in by_side.items()))
    if tests:
        pairs(count, AGAIN, tests)


def _round(
    seat: _Seat,
    site: Site,
    gpus: tuple[Gpu, ...],
    about: Mapping[str, str | int],
    tests: Collection[str],
) -> None:
    """Run the suite once, or only some of its tests, in fresh processes.

    The first round's artefacts lie where those of a plain run do, the others' in `rounds`.
    """
    number = len(seat.readings) + 1
    out = round_folder(seat.out, number, str(about["side"]))
    (run,) = seat.job.suites
    if tests:
        known = {row.test for reading in seat.readings for row in reading.rows if row.test}
        run = replace(run, suite=_only(run.suite, tests, known))
    environment = replace(seat.environment, gpus=gpus)
    base = {**seat.base, **about}
    clock = time.monotonic()
    try:
        site.backend.run_suite(seat.job, run, environment, out, lambda _line: None)
    except CellFailed as error:
        failure = CellFailed(error.verdict, site.redactor.text(error.reason))
        reading = reading_of(failure, base)
    except BaseException:
        if number > 1:
            shutil.rmtree(out, ignore_errors=True)
        raise
    else:
        site.redactor.also("cell", environment.python.parent.parent).clean(out)
        reading = read_suite(out, base)
    seat.seconds += time.monotonic() - clock
    seat.readings.append(reading)


def _only(suite: Suite, tests: Collection[str], known: Collection[str]) -> Suite:
    """The suite with the other tests left out; pytest deselects by how an id begins."""
    others = sorted(t for t in known if not any(wanted.startswith(t) for wanted in tests))
    return replace(suite, pytest_args=(*suite.pytest_args, *(f"--deselect={t}" for t in others)))


def _commit(seat: _Seat, site: Site, gpus: tuple[Gpu, ...]) -> Entry:
    """Keep what all rounds left, as one suite of one execution."""
    (run,) = seat.job.suites
    reading = waive(together(seat.readings), seat.job.waivers)
    entry = make_entry(seat.job, run, seat.seconds, reading, seat.base)
    stages = {**seat.environment.stages, "tests": seat.seconds}
    entry = replace(
        entry,
        stages={name: round(value, 3) for name, value in stages.items()},
        device_model=gpus[0].model if gpus and gpus[0].model else entry.device_model,
    )
    site.bundle.commit(seat.out, entry, reading.rows)
    site.watcher.finished(seat.key, reading.counts, entry.reason, seat.seconds)
    return entry


def _none(jobs: Sequence[Job], at: Job, error: Exception, site: Site) -> list[Entry]:
    """Say of the one cell why it got no further, and of the other that it is for that."""
    known = error if isinstance(error, CellFailed) else CellFailed("infra", str(error))
    failure = CellFailed(known.verdict, site.redactor.text(known.reason))
    without = CellFailed("not-run", f"the other cell, `{at.cell.id}`, could not be run")
    return [
        failed(job, job.suites[0], failure if job is at else without, site, folder_of(job, site))
        for job in jobs
    ]
