"""One job through its stages: provision → identity probe → suites → rows, each suite kept whole."""

import datetime
import errno
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from matrix.backends import Backend, CellFailed, Environment
from matrix.definition import Waiver
from matrix.locks import evidence_hash
from matrix.plan import Job, SuiteRun
from matrix.records import Reading, read_probe, read_suite
from matrix.redact import NOTHING, Redactor
from matrix.rows import BAD, NOT_EVIDENCE, WAIVED, Row
from matrix.store import Bundle, Entry, utc_now


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


Turn = Callable[[bool], AbstractContextManager[None]]
"""`turn(exclusive)`: wait for one's turn on the runner; nothing else runs beside an exclusive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where a job runs: its backend, its bundle, its turn, and who watches."""

    backend: Backend
    bundle: Bundle
    turn: Turn
    watcher: Watcher
    work: Path
    redactor: Redactor = NOTHING


def carry_out(job: Job, site: Site) -> list[Entry]:
    """Run a job; returns one entry per suite, also where the cell got no further.

    Raises `Stopped` when the run is stopped: suites that finished before are in the bundle.
    """
    folder = site.work / "jobs" / f"{job.cell.id}-{job.execution}-{job.environment}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if job.no_runner:
            raise CellFailed("no-runner", job.no_runner)  # noqa: TRY301  one way for all failures
        environment, probe = _prepare(job, site, folder)
        return [_suite(job, run, environment, probe, site, folder) for run in job.suites]
    except (CellFailed, OSError) as error:
        if isinstance(error, CellFailed):
            failure = error
        elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise  # nobody's job can go on
        else:
            failure = CellFailed("infra", f"{type(error).__name__}: {error}")
        failure.reason = site.redactor.text(failure.reason)
        return [_failed(job, run, failure, site, folder) for run in job.suites]
    finally:
        site.backend.discard(job, folder)


def _label(job: Job, suite: str) -> str:
    return f"{job.cell.id} {suite}"


def _prepare(job: Job, site: Site, folder: Path) -> tuple[Environment, dict[str, Any]]:
    """Make the environment and prove that it is the cell."""
    key = f"{job.id}:environment"
    clock = time.monotonic()
    site.watcher.started(key, _label(job, "environment"), 0.0)
    reason = ""
    try:
        with site.turn(False):  # noqa: FBT003  one meaning, by position
            environment = site.backend.provision(job, folder, lambda s: site.watcher.stage(key, s))
            site.watcher.stage(key, "probe")
            probing = time.monotonic()
            site.backend.probe(job, environment, folder)
        stages = {**environment.stages, "probe": time.monotonic() - probing}
        environment = replace(environment, stages=stages)
        probe = read_probe(folder / "probe.json")
        if mismatch := identity(job, probe):
            raise CellFailed("infra", mismatch)  # noqa: TRY301  one way for all failures
    except CellFailed as failure:
        reason = str(failure)
        raise
    finally:
        site.watcher.finished(key, {}, reason, time.monotonic() - clock)
    return environment, probe


def identity(job: Job, probe: Mapping[str, Any]) -> str:
    """Why the environment is not the cell it should be, or "".

    Raises `CellFailed("build-failed")` where torch is installed and does not import.
    """
    cell = job.cell
    if not probe:
        return "the identity probe left no report"
    if not probe.get("torch"):
        errors = probe.get("errors") or ["no reason given"]
        raise CellFailed("build-failed", f"`import torch` failed: {str(errors[0])[:300]}")
    release = str(probe["torch"]).partition("+")[0]
    variant = probed_variant(probe)
    python = ".".join(str(probe.get("python")).split(".")[:2])
    checks = (
        ("torch", release, cell.torch),
        ("variant", variant, cell.variant),
        ("Python", python + "t" * bool(probe.get("free_threaded")), cell.python),
        ("device", probe.get("device"), cell.device),
    )
    wrong = [f"{name} is {have}, not {want}" for name, have, want in checks if have != want]
    return f"the environment is not the cell: {'; '.join(wrong)}" if wrong else ""


def probed_variant(probe: Mapping[str, Any]) -> str:
    """The variant a probe saw; PyPI's wheels have no local version, only `torch.version.cuda`."""
    local = str(probe["torch"]).partition("+")[2]
    if local:
        return local
    accelerator = probe.get("accelerator")
    if accelerator == "cuda":
        return f"cu{str(probe.get('cuda')).replace('.', '')}"
    return f"rocm{probe.get('rocm') or probe.get('hip')}" if accelerator == "rocm" else "cpu"


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
    site.watcher.started(key, _label(job, run.suite.name), run.estimate)
    out = site.bundle.stage(job.cell.id, job.execution, run.suite.name)
    (out / "requirements.lock").write_text(environment.lock, encoding="utf-8")
    for artefact in (*folder.glob("*.log"), folder / "probe.json"):
        shutil.copy(artefact, out / artefact.name)

    def line(text: str) -> None:
        words = text.split(" ", 3)
        if words[0] == "outcome" and len(words) > 1 and "/" in words[1]:
            done, _, total = words[1].partition("/")
            if done.isdigit() and total.isdigit():
                site.watcher.progress(key, int(done), int(total))

    failure: CellFailed | None = None
    clock = time.monotonic()
    site.watcher.stage(key, "waits for its turn")
    try:
        with site.turn(run.suite.exclusive):
            clock = time.monotonic()
            site.watcher.stage(key, "tests")
            site.backend.run_suite(job, run, environment, out, line)
    except CellFailed as error:
        failure = CellFailed(error.verdict, site.redactor.text(error.reason))
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    seconds = time.monotonic() - clock
    site.redactor.also("cell", environment.python.parent.parent).clean(out)
    base = _base(job, run, site, environment, probe, started)
    reading = read_suite(out, base) if failure is None else _reading(failure, base)
    reading = waive(reading, job.waivers)
    entry = _entry(job, run, site, started, seconds, reading, base)
    stages = {**environment.stages, "tests": seconds}
    entry = replace(entry, stages={name: round(value, 3) for name, value in stages.items()})
    site.bundle.commit(out, entry, reading.rows)
    site.watcher.finished(key, reading.counts, entry.reason, seconds)
    return entry


def _failed(job: Job, run: SuiteRun, failure: CellFailed, site: Site, folder: Path) -> Entry:
    """Record that a cell got no further; the logs say how far it came."""
    started = utc_now()
    out = site.bundle.stage(job.cell.id, job.execution, run.suite.name)
    for log in (*folder.glob("*.log"), *folder.glob("probe.json")):
        shutil.copy(log, out / log.name)
    site.redactor.also("cell", folder / "env").clean(out)
    base = _base(job, run, site, None, read_probe(folder / "probe.json"), started)
    reading = waive(_reading(failure, base), job.waivers)
    entry = _entry(job, run, site, started, 0.0, reading, base)
    site.bundle.commit(out, entry, reading.rows)
    key = f"{job.id}:{run.suite.name}"
    site.watcher.started(key, _label(job, run.suite.name), 0.0)
    site.watcher.finished(key, reading.counts, failure.reason, 0.0)
    return entry


def _reading(failure: CellFailed, base: Mapping[str, Any]) -> Reading:
    row = Row(**{**base, "verdict": failure.verdict, "reason": failure.reason})
    return Reading(rows=(row,), counts={failure.verdict: 1}, complaints=(), complete=True)


def waive(reading: Reading, waivers: Sequence[Waiver]) -> Reading:
    """Mark wrong results that the user accepts; they keep their verdict and count as `waived`."""
    rows = []
    for row in reading.rows:
        reason = next((w.reason for w in waivers if fnmatchcase(row.feature, w.feature)), "")
        if reason and row.verdict in BAD:
            rows.append(replace(row, waiver=reason, reason=f"{row.reason} [waived: {reason}]"))
        else:
            rows.append(row)
    counts = Counter(WAIVED if row.waiver else row.verdict for row in rows if row.verdict)
    return replace(reading, rows=tuple(rows), counts=dict(counts))


def _entry(
    job: Job,
    run: SuiteRun,
    site: Site,
    started: datetime.datetime,
    seconds: float,
    reading: Reading,
    base: Mapping[str, Any],
) -> Entry:
    cell_level = [row for row in reading.rows if not row.test]
    verdict = cell_level[0].verdict if cell_level else ""
    reason = cell_level[0].reason if cell_level else ""
    if not reading.complete and verdict not in NOT_EVIDENCE:
        reason = reason or "the suite ended without its closing line"
    return Entry(
        run=site.bundle.id,
        cell=job.cell.id,
        execution=job.execution,
        suite=run.suite.name,
        recipe=run.recipe,
        evidence=str(base["evidence"]),
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        verdict=verdict,
        reason=reason or "; ".join(reading.complaints),
        counts=reading.counts,
        provision=str(base["provision"]),
        complaints=reading.complaints,
    )


def _base(
    job: Job,
    run: SuiteRun,
    site: Site,
    environment: Environment | None,
    probe: Mapping[str, Any],
    started: datetime.datetime,
) -> dict[str, Any]:
    """The fields that all rows of one suite of one execution share."""
    cell = job.cell
    devices = probe.get("devices") or [{}]
    cpu = probe.get("cpu") or {}
    model = devices[0].get("name") if cell.device != "cpu" else cpu.get("model")
    driver = str(probe.get("driver") or "") if cell.device != "cpu" else ""
    lock = environment.lock if environment else ""
    seen = {k: probe.get(k) for k in ("python", "torch", "driver", "devices", "cpu", "compiler")}
    return {
        "run": site.bundle.id,
        "time": started.isoformat(timespec="seconds"),
        "cell": cell.id,
        "torch": cell.torch,
        "variant": cell.variant,
        "accelerator": cell.accelerator,
        "python": cell.python,
        "companions": ";".join(cell.companions),
        "execution": job.execution,
        "backend": job.backend,
        "runner": job.runner,
        "device": cell.device,
        "device_model": str(model or ""),
        "driver": driver,
        "power_limit": probe.get("power_limit_w"),
        "recipe": run.recipe,
        "evidence": evidence_hash(lock, json.dumps(seen, sort_keys=True, default=str)),
        "provision": environment.provision if environment else "",
        "install_bytes": environment.install_bytes if environment else None,
        "suite": run.suite.name,
    }
