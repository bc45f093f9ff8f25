"""One job through its stages: provision → identity probe → suites → rows, each suite kept whole."""

import errno
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from matrix.accelerators import Gpu
from matrix.backends import Backend, CellFailed, Environment, RunnerLost, RunnerUnfit
from matrix.backends.compiled import CompileCaches
from matrix.compilecache.shared import Exchange, SharedCache
from matrix.entries import Entry
from matrix.evidence import base_fields, make_entry, pulled, reading_of, together, waive
from matrix.identity import identity
from matrix.plan import Job, SuiteRun
from matrix.recipes import part_of
from matrix.records import Reading, read_probe, read_suite
from matrix.redact import NOTHING, Redactor
from matrix.store import Bundle, utc_now


class Watcher(Protocol):
    """Who is told how a job comes along (the board)."""

    def started(self, job_id: str, label: str, estimate_s: float) -> None:
        """A stage of a job begins; `estimate_s` is 0 where nobody knows."""

    def stage(self, job_id: str, text: str) -> None:
        """What it does now."""

    def progress(self, job_id: str, done: int, total: int) -> None:
        """How many of its tests have an outcome."""

    def finished(
        self, job_id: str, verdict_counts: Mapping[str, int], reason: str, seconds: float
    ) -> None:
        """It ended; `reason` is "" where all went well."""


Need = Literal["install", "shared", "alone"]


class Turn(Protocol):
    """Waits for one's turn on the runner; gives the GPUs that one has then.

    To install takes none; nobody else uses what one has `alone`. `say` hears what is waited for.
    """

    def __call__(
        self, job: Job, need: Need, say: Callable[[str], None], gpus: int = 1, /
    ) -> AbstractContextManager[tuple[Gpu, ...]]:
        """Hold up to `gpus` GPUs, as many as the runner has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where a job runs: its backend, its bundle, its turn, and who watches; `caches` outlive it.

    What they hold is `shared` with other machines.
    """

    backend: Backend
    bundle: Bundle
    turn: Turn
    watcher: Watcher
    work: Path
    redactor: Redactor = NOTHING
    caches: CompileCaches | None = None
    shared: SharedCache | None = None


class Unfinished(Exception):  # noqa: N818  it carries what is left to do
    """A runner went away or is unfit: `done` is kept, `rest` is for whoever is left."""

    def __init__(self, failure: CellFailed, *, rest: Job, done: Sequence[Entry]) -> None:
        super().__init__(failure.reason)
        self.failure = failure
        self.rest = rest
        self.done = done


def carry_out(job: Job, site: Site) -> list[Entry]:
    """Run a job; returns one entry per suite, also where the cell got no further.

    Raises `Stopped` when the run is stopped and `Unfinished` when the runner is lost or unfit:
    suites that finished before are in the bundle, and logs stay for `abandon`.
    """
    folder = folder_of(job, site)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done: list[Entry] = []
    handed_on = False
    try:
        if job.no_runner:
            raise CellFailed("no-runner", job.no_runner)  # noqa: TRY301  one way for all failures
        environment, probe = prepare(job, site, folder)
        for run in job.suites:
            done.append(_suite(job, run, environment, probe, site, folder))  # noqa: PERF401  kept
    except (RunnerLost, RunnerUnfit) as error:
        failure = error if isinstance(error, RunnerUnfit) else CellFailed("infra", str(error))
        handed_on = True
        rest = replace(job, suites=job.suites[len(done) :])
        raise Unfinished(failure, rest=rest, done=done) from error
    except (CellFailed, OSError) as error:
        if isinstance(error, CellFailed):
            failure = error
        elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise  # nobody's job can go on
        else:
            failure = CellFailed("infra", f"{type(error).__name__}: {error}")
        failure.reason = site.redactor.text(failure.reason)
        done += [failed(job, run, failure, site, folder) for run in job.suites[len(done) :]]
    finally:
        if not handed_on:
            site.backend.discard(job, folder)
    return done


def abandon(job: Job, failure: CellFailed, site: Site) -> list[Entry]:
    """Record a job that no runner is left for."""
    told = CellFailed(failure.verdict, site.redactor.text(failure.reason))
    folder = folder_of(job, site)
    entries = [failed(job, run, told, site, folder) for run in job.suites]
    site.backend.discard(job, folder)
    return entries


def folder_of(job: Job, site: Site) -> Path:
    """A job's own scratch folder."""
    return site.work / "jobs" / f"{job.cell.id}-{job.execution}-{job.environment}"


def label(job: Job, suite: str) -> str:
    """What the board calls a stage of a job."""
    return f"{job.cell.id} {suite}"


def prepare(job: Job, site: Site, folder: Path) -> tuple[Environment, dict[str, Any]]:
    """Make the environment and prove that it is the cell."""
    key = f"{job.id}:environment"
    clock = time.monotonic()
    site.watcher.started(key, label(job, "environment"), 0.0)
    reason = ""
    try:
        say = partial(site.watcher.stage, key)
        with site.turn(job, "install", say):
            environment = site.backend.provision(job, folder, say)
        with site.turn(job, "shared", say) as gpus:
            say("probe")
            probing = time.monotonic()
            site.backend.probe(job, replace(environment, gpus=gpus), folder)
        stages = {**environment.stages, "probe": time.monotonic() - probing}
        environment = replace(environment, stages=stages)
        probe = read_probe(folder / "probe.json")
        if mismatch := identity(job, probe):
            sees_no_gpu = probe.get("device") == "cpu" != job.cell.device
            raise (RunnerUnfit if sees_no_gpu else CellFailed)("infra", mismatch)
    except CellFailed as failure:
        reason = str(failure)
        raise
    finally:
        site.watcher.finished(key, {}, reason, time.monotonic() - clock)
    return environment, probe


def _suite(
    job: Job,
    run: SuiteRun,
    environment: Environment,
    probe: Mapping[str, Any],
    site: Site,
    folder: Path,
) -> Entry:
    key = f"{job.id}:{run.suite.name}"
    started = utc_now()
    site.watcher.started(key, label(job, run.suite.name), run.estimate)
    out = site.bundle.stage(job.cell.id, job.execution, run.suite.name)
    (out / "requirements.lock").write_text(environment.lock, encoding="utf-8")
    keep(folder, out)

    def line(text: str) -> None:
        words = text.split(" ", 3)
        if words[0] == "outcome" and len(words) > 1 and "/" in words[1]:
            done, _, total = words[1].partition("/")
            if done.isdigit() and total.isdigit():
                site.watcher.progress(key, int(done), int(total))

    base = base_fields(job, run, site.bundle.id, environment, probe, started)
    say = partial(site.watcher.stage, key)
    environment, exchange = _with_cache(job, run, environment, probe, base, site, say)
    failure: CellFailed | None = None
    gpus: tuple[Gpu, ...] = ()
    clock = time.monotonic()
    say("waits for its turn")
    try:
        with site.turn(
            job, "alone" if run.suite.exclusive else "shared", say, run.suite.gpus
        ) as gpus:
            clock = time.monotonic()
            for number in range(1, run.suite.rounds + 1):
                say("tests" if run.suite.rounds == 1 else f"round {number} of {run.suite.rounds}")
                place = round_folder(out, number)
                site.backend.run_suite(job, run, replace(environment, gpus=gpus), place, line)
    except CellFailed as error:
        failure = CellFailed(error.verdict, site.redactor.text(error.reason))
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    seconds = time.monotonic() - clock
    site.redactor.also("cell", environment.python.parent.parent).clean(out)
    reading = _read(run, out, base) if failure is None else reading_of(failure, base)
    if exchange and exchange.state == "pulled":
        reading = pulled(reading)
    reading = waive(reading, job.waivers)
    entry = make_entry(job, run, seconds, reading, base)
    stages = {**environment.stages, "tests": seconds}
    # as the inventory names it, which the next plan compares it with
    model = gpus[0].model if gpus and gpus[0].model else entry.device_model
    stages = {name: round(value, 3) for name, value in stages.items()}
    entry = replace(entry, stages=stages, device_model=model)
    if exchange and site.shared:
        say("pushes its compile cache")
        exchange = exchange if failure else site.shared.give(exchange)
        entry = replace(entry, cache=site.redactor.texts(exchange.told))
    site.bundle.commit(out, entry, reading.rows)
    site.watcher.finished(key, reading.counts, entry.reason, seconds)
    return entry


def _with_cache(
    job: Job,
    run: SuiteRun,
    environment: Environment,
    probe: Mapping[str, Any],
    base: Mapping[str, Any],
    site: Site,
    say: Callable[[str], None],
) -> tuple[Environment, Exchange | None]:
    """Where a suite keeps compiled code, with what other machines compiled for the same."""
    if site.caches is None:
        return environment, None
    folder = site.caches.folder(job, run.suite, str(base["evidence"]))
    environment = replace(environment, compile_cache=folder)
    if folder is None or site.shared is None:
        return environment, None
    say("pulls its compile cache")
    hashes = (part_of(run.recipe, part) for part in ("tests", "torch-matrix"))
    source = " ".join((run.suite.name, *hashes))
    return environment, site.shared.bring(folder, probe, source, cold=site.caches.cold)


def round_folder(out: Path, number: int, side: str = "") -> Path:
    """Where a round leaves its artefacts: the first one where those of a plain run are."""
    if number == 1:
        return out
    folder = out / "rounds" / "-".join(filter(None, [f"{number:02}", side]))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _read(run: SuiteRun, out: Path, base: Mapping[str, Any]) -> Reading:
    """What all rounds of a suite left, as one reading."""
    if run.suite.rounds == 1:
        return read_suite(out, base)
    places = [round_folder(out, 1), *sorted(out.glob("rounds/*"))]
    return together([read_suite(p, {**base, "round": n}) for n, p in enumerate(places, 1)])


def keep(folder: Path, out: Path) -> None:
    """What the cell was made from, and how far it came."""
    for pattern in ("*.log", "probe.json", "Dockerfile"):
        for path in folder.glob(pattern):
            shutil.copy(path, out / path.name)


def failed(job: Job, run: SuiteRun, failure: CellFailed, site: Site, folder: Path) -> Entry:
    """Record that a cell got no further; the logs say how far it came."""
    started = utc_now()
    out = site.bundle.stage(job.cell.id, job.execution, run.suite.name)
    keep(folder, out)
    site.redactor.also("cell", folder / "env").clean(out)
    probe = read_probe(folder / "probe.json")
    base = base_fields(job, run, site.bundle.id, None, probe, started)
    reading = waive(reading_of(failure, base), job.waivers)
    entry = make_entry(job, run, 0.0, reading, base)
    site.bundle.commit(out, entry, reading.rows)
    key = f"{job.id}:{run.suite.name}"
    site.watcher.started(key, label(job, run.suite.name), 0.0)
    site.watcher.finished(key, reading.counts, failure.reason, 0.0)
    return entry
