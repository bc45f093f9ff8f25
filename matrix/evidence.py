"""What a suite of an execution left, as rows and an entry: shared fields, waivers, summary."""

import datetime
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from matrix.backends import CellFailed, Environment
from matrix.definition import Waiver
from matrix.entries import Entry
from matrix.locks import evidence_hash
from matrix.plan import Job, SuiteRun
from matrix.records import Reading
from matrix.rows import BAD, NOT_EVIDENCE, WAIVED, Row


def reading_of(failure: CellFailed, base: Mapping[str, Any]) -> Reading:
    """One cell-level row: the cell got no further."""
    row = Row(**{**base, "verdict": failure.verdict, "reason": failure.reason})
    return Reading(rows=(row,), counts={failure.verdict: 1}, complaints=(), complete=True)


def pulled(reading: Reading) -> Reading:
    """Say that the compiled code a suite found warm came from another machine."""
    rows = (replace(r, compile_cache="pulled") if r.compile_cache == "warm" else r
            for r in reading.rows)  # fmt: skip
    return replace(reading, rows=tuple(rows))


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


def together(readings: Sequence[Reading]) -> Reading:
    """Several rounds of a suite as one reading: all numbers, and of each test its worst outcome."""
    metrics = [row for reading in readings for row in reading.rows if row.metric]
    outcomes: dict[str, list[Row]] = {}
    for reading in readings:
        for row in reading.rows:
            if not row.metric:
                outcomes.setdefault(row.test, []).append(row)
    if len(outcomes) > 1:
        outcomes.pop("", None)  # a round without any outcome; its tests have outcomes of others
    rows = [_worst(rounds) for rounds in outcomes.values()]
    return Reading(
        rows=(*rows, *metrics),
        counts=dict(Counter(row.verdict for row in rows if row.verdict)),
        complaints=tuple(dict.fromkeys(c for reading in readings for c in reading.complaints)),
        complete=all(reading.complete for reading in readings),
        costs=dict(sum((Counter(reading.costs) for reading in readings), Counter())),
    )


def _worst(rounds: Sequence[Row]) -> Row:
    """A test's worst outcome, which says of how many rounds it is."""
    worst = max(rounds, key=lambda row: (row.verdict in BAD, row.verdict != "pass"))
    same = sum(row.verdict == worst.verdict for row in rounds)
    told = f"{worst.reason} (in {same} of {len(rounds)} rounds)".strip()
    reason = worst.reason if same == len(rounds) else told
    return replace(worst, reason=reason, round=0, phase="", side="")


def make_entry(
    job: Job,
    run: SuiteRun,
    seconds: float,
    reading: Reading,
    base: Mapping[str, Any],
) -> Entry:
    """Sum up a suite; `seconds` is what its tests took, wall."""
    cell_level = [row for row in reading.rows if not row.test]
    verdict = cell_level[0].verdict if cell_level else ""
    reason = cell_level[0].reason if cell_level else ""
    if not reading.complete and verdict not in NOT_EVIDENCE:
        reason = reason or "the suite ended without its closing line"
    return Entry(
        run=str(base["run"]),
        cell=job.cell.id,
        execution=job.execution,
        suite=run.suite.name,
        recipe=run.recipe,
        evidence=str(base["evidence"]),
        started=str(base["time"]),
        seconds=round(seconds, 3),
        verdict=verdict,
        reason=reason or "; ".join(reading.complaints),
        costs={name: round(value, 3) for name, value in reading.costs.items()},
        counts=reading.counts,
        provision=str(base["provision"]),
        device_model="" if job.cell.device == "cpu" else str(base["device_model"]),
        complaints=reading.complaints,
    )


def base_fields(
    job: Job,
    run: SuiteRun,
    run_id: str,
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
    lock, base = (environment.lock, environment.base) if environment else ("", "")
    seen = {k: probe.get(k) for k in ("python", "torch", "driver", "devices", "cpu", "compiler")}
    return {
        "run": run_id,
        "time": (environment.recorded.get(run.suite.name, "") if environment else "")
        or started.isoformat(timespec="seconds"),
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
        "device_model": _printable(model),
        "driver": _printable(driver),
        "power_limit": probe.get("power_limit_w"),
        "recipe": run.recipe,
        "evidence": evidence_hash(lock, base, json.dumps(seen, sort_keys=True, default=str)),
        "provision": environment.provision if environment else "",
        "install_bytes": environment.install_bytes if environment else None,
        "image_bytes": environment.image_bytes if environment else None,
        "base": environment.base if environment else "",
        "builder": environment.builder if environment else "",
        "suite": run.suite.name,
    }


def _printable(name: object) -> str:
    """What a device or a driver calls itself, as one line without what no name needs."""
    text = "".join(c if c.isprintable() else " " for c in str(name or ""))
    return " ".join(text.split())
