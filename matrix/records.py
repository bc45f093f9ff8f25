"""Artefacts of a cell → typed rows. Everything read here is untrusted: capped and checked."""

import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matrix.rows import BAD, TEST_VERDICTS, Row
from matrix.signatures import normalize

MAX_FILE = 64 * 1024 * 1024
MAX_LINE = 128 * 1024
MAX_TEXT = 2000
MAX_SAMPLES = 100_000
MAX_BYTES = 1 << 50
MAX_SECONDS = 1e7
COSTS = ("compiling", "children", "importing")
GATES = ("clock_mhz", "power_w", "temperature_c")
_PROBE_TEXT = ("torch", "python", "accelerator", "device", "cuda", "hip", "rocm", "driver")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a suite's artefacts say: rows, and what was wrong with the artefacts themselves.

    `costs` are seconds that the suite spent on `starting` processes and, in tests, on `COSTS`.
    """

    rows: tuple[Row, ...]
    counts: Mapping[str, int]
    complaints: tuple[str, ...]
    complete: bool
    costs: Mapping[str, float] = field(default_factory=dict)


def read_probe(path: Path) -> dict[str, Any]:
    """Read probe.json; an unreadable one is an empty dict."""
    try:
        if path.stat().st_size > MAX_FILE:
            return {}
        data = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {name: value for name, value in data.items() if _is_probed(name, value)}


def _is_probed(name: str, value: object) -> bool:
    """Whether a value of a probe has the type it is used as; what has not counts as unknown."""
    if value is None:
        return True
    if name == "devices":
        return isinstance(value, list) and all(isinstance(device, dict) for device in value)
    if name == "errors":
        return isinstance(value, list)
    if name in {"cpu", "companions", "packages"}:
        return isinstance(value, dict)
    if name == "power_limit_w":
        return _number(value) is not None
    return name not in _PROBE_TEXT or isinstance(value, str)


def read_suite(folder: Path, base: Mapping[str, Any]) -> Reading:
    """Turn `outcomes.jsonl` into rows; `base` holds the fields every row of the suite shares.

    A test that started and has no outcome crashed; one that was collected and never started is
    `not-run`; a number without a passed test is dropped.
    """
    events, complaints = read_events(folder / "outcomes.jsonl")
    outcomes: dict[str, dict[str, Any]] = {}
    started: set[str] = set()
    collected: list[str] = []
    metrics: list[dict[str, Any]] = []
    end: dict[str, Any] | None = None
    starting, cache = 0.0, ""
    for event in events:
        kind, test = event.get("event"), text(event.get("id"))
        if kind == "item" and test:
            collected.append(test)
        elif kind == "start" and test:
            started.add(test)
        elif kind == "outcome":
            verdict = text(event.get("verdict"))
            if verdict in TEST_VERDICTS and test:
                outcomes[test] = {**event, "verdict": verdict}
            else:
                what = "outcome without a test" if not test else "unknown verdict"
                complaints.append(f"{what} {verdict[:40]!r}")
        elif kind == "metric":
            metrics.append(event)
        elif kind == "process":
            starting += _seconds(event.get("starting")) or 0.0
        elif kind == "suite":
            cache = text(event.get("compile_cache"))[:8]
        elif kind == "end":
            end = event
    for test in dict.fromkeys([*collected, *started]):
        if test not in outcomes:
            ran = test in started
            outcomes[test] = {
                "id": test,
                "verdict": "crash" if ran else "not-run",
                "reason": "its process left no outcome" if ran else "the suite ended before it",
            }
    peak = _size(end.get("peak_rss")) if end else None
    base = {**base, "peak_rss": peak, "compile_cache": cache}
    rows = [_outcome_row(event, base) for event in outcomes.values()]
    passed = {test for test, event in outcomes.items() if event["verdict"] == "pass"}
    rows += _metric_rows(metrics, passed, base, complaints)
    if not outcomes:
        reason = text(end.get("reason")) if end else "the suite left no report"
        rows.append(
            Row(**{**base, "verdict": "crash", "reason": reason or "no test was collected"})
        )
    return Reading(
        rows=tuple(rows),
        counts=dict(Counter(row.verdict for row in rows if row.verdict)),
        complaints=tuple(dict.fromkeys(complaints)),
        complete=end is not None,
        costs=_sum_costs(rows, starting),
    )


def _sum_costs(rows: Iterable[Row], starting: float) -> dict[str, float]:
    """Seconds by what they were spent on; empty where the artefacts do not say."""
    spent = {name: [getattr(row, name) for row in rows] for name in COSTS}
    known = {name: [s for s in seconds if s is not None] for name, seconds in spent.items()}
    if not any(known.values()):
        return {}
    return {"starting": starting, **{name: sum(seconds) for name, seconds in known.items()}}


def read_events(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Read events, line by line; what cannot be read is counted, never guessed."""
    events: list[dict[str, Any]] = []
    broken = read = 0
    try:
        stream = path.open("rb")
    except OSError:
        return [], ["outcomes.jsonl is missing"]
    with stream:
        while line := stream.readline(MAX_LINE):
            read += len(line)
            if read > MAX_FILE:
                return events, [f"outcomes.jsonl is larger than {MAX_FILE >> 20} MiB; cut there"]
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                broken += 1
                continue
            if isinstance(event, dict):
                events.append(event)
            else:
                broken += 1
    return events, [f"{broken} line(s) of outcomes.jsonl cannot be read"] if broken else []


def text(value: object) -> str:
    """A string without control characters, at most `MAX_TEXT` long."""
    if value is None:
        return ""
    try:
        clean = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", str(value))
    except RecursionError:
        return "…"
    clean = "".join(c if c in "\n\t" or c.isprintable() else "�" for c in clean)
    return clean if len(clean) <= MAX_TEXT else clean[: MAX_TEXT - 1] + "…"


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON has integers of any size
        return None


def _seconds(value: object) -> float | None:
    """Seconds; None for what no test can take."""
    number = _number(value)
    return number if number is not None and 0 <= number < MAX_SECONDS else None


def _size(value: object) -> int | None:
    """Bytes; None for what no machine can have."""
    number = _number(value)
    return int(number) if number is not None and 0 <= number < MAX_BYTES else None


def _params(value: object) -> str:
    if not isinstance(value, dict):
        return "{}"
    plain = {
        text(k)[:80]: v if isinstance(v, int | float | bool) else text(v)[:200]
        for k, v in value.items()
    }
    return json.dumps(plain, sort_keys=True)


def _outcome_row(event: Mapping[str, Any], base: Mapping[str, Any]) -> Row:
    error = event.get("error")
    costs = event.get("costs")
    spent = costs if isinstance(costs, dict) else {}
    verdict = text(event["verdict"])
    reason = text(event.get("reason"))
    return Row(
        **{
            **base,
            "device": text(event.get("device")) or base["device"],
            "test": text(event["id"]),
            "feature": text(event.get("feature")),
            "workload": text(event.get("workload")),
            "title": text(event.get("title")),
            "params": _params(event.get("params")),
            "verdict": verdict,
            "reason": reason,
            "signature": signature(error, reason) if verdict in BAD else "",
            "duration": _number(event.get("duration")),
            **{name: _seconds(spent.get(name)) for name in COSTS},
            "source": text(event.get("source"))[:64],
        }
    )


def signature(error: object, reason: str) -> str:
    """First line of a failure without what differs between cells, so that one cause is one."""
    if isinstance(error, dict):
        message = text(error.get("message")).strip()
        line = f"{text(error.get('type'))}: {message.splitlines()[0] if message else ''}"
    else:
        line = reason
    return normalize(line)


def _metric_rows(
    metrics: Iterable[Mapping[str, Any]],
    passed: set[str],
    base: Mapping[str, Any],
    complaints: list[str],
) -> Iterator[Row]:
    for event in metrics:
        test = text(event.get("id"))
        if test not in passed:
            complaints.append("numbers of tests that did not pass were dropped")
            continue
        raw = event.get("samples")
        numbers = [_number(v) for v in raw[:MAX_SAMPLES]] if isinstance(raw, list) else []
        samples = tuple(n for n in numbers if n is not None and n > 0)
        if not samples or len(samples) != len(numbers):
            complaints.append(f"{test[:80]}: samples that are no positive numbers were refused")
            continue
        work = event.get("work")
        params = event.get("params")
        merged = {
            **(params if isinstance(params, dict) else {}),
            **({f"work.{k}": v for k, v in work.items()} if isinstance(work, dict) else {}),
        }
        yield Row(
            **{
                **base,
                "device": text(event.get("device")) or base["device"],
                "test": test,
                "workload": text(event.get("workload")),
                "title": text(event.get("title")),
                "params": _params(merged),
                "metric": text(event.get("metric")),
                "reason": text(event.get("reason")),
                "unit": text(event.get("unit")),
                "better": text(event.get("better")),
                "kind": text(event.get("kind"))[:16],
                "samples": samples,
                "median": statistics.median(samples),
                "spread": _iqr(samples),
                **{name: _number(event.get(name)) for name in GATES},
                "limited_by": text(event.get("limited_by"))[:200],
                "source": text(event.get("source"))[:64],
            }
        )


def _iqr(samples: tuple[float, ...]) -> float | None:
    """Interquartile range, in the samples' unit; None for a single sample."""
    if len(samples) < 2:  # noqa: PLR2004
        return None
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return high - low
