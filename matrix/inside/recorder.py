"""Writes what happens to each test into the event file, as it happens."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
import time
from typing import Any, Dict, Iterator, List

import pytest

from matrix.inside import marks
from matrix.inside.costs import COSTS
from matrix.inside.events import Event, EventFile, clip, first_line, short_id
from matrix.inside.machine import device_kind
from matrix.inside.numerics import LEDGER, WrongNumbers
from matrix.inside.verdicts import Verdict, of_error, of_skip

TRACEBACK_LIMIT = 16 * 1024
MESSAGE_LIMIT = 4 * 1024
# After these the device may be unusable for every later test of the process.
SUSPECT = frozenset({"fail", "wrong", "unsupported", "oom"})


class Recorder:
    """One process's part of a suite: the tests that earlier processes have not finished."""

    def __init__(self, settings: Dict[str, Any], poisoned_exit: int) -> None:
        self._events = EventFile(settings["events"])
        self._done = set(settings["done"])
        self._first = bool(settings["first"])
        self._broken: Dict[str, str] = settings["broken"]
        self._finished: str = settings["finished"]
        self._poisoned_exit = poisoned_exit
        self._verdict = Verdict("pass")
        self._error: Dict[str, str] | None = None
        self._numbers: Dict[str, float | None] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        """A file that cannot be collected, or skips itself, is an outcome of its own."""
        result = yield
        report = result.get_result()  # type: ignore[attr-defined]
        nodeid = short_id(collector.nodeid) or "."
        if report.outcome == "passed" or nodeid in self._done:
            return
        text = _collect_text(report)
        if report.outcome == "skipped":
            verdict, error = of_skip(text, self._broken), None
        else:
            line = _last_error(text)
            verdict = Verdict("fail", f"not collected: {line}")
            error = {"type": "CollectionError", "message": line, "traceback": text}
            error["traceback"] = clip(text, TRACEBACK_LIMIT)
        self._done.add(nodeid)
        self._events.write({"event": "item", "id": nodeid}, sync=False)
        self._events.write(_outcome(nodeid, verdict, error=error))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: List[pytest.Item]
    ) -> None:
        """Leave out what earlier processes have finished."""
        done = [item for item in items if short_id(item.nodeid) in self._done]
        if done:
            items[:] = [item for item in items if short_id(item.nodeid) not in self._done]
            config.hook.pytest_deselected(items=done)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say which tests there are before the first of them can end the process."""
        if self._first:
            for item in session.items:
                # More than the id, so that the supervisor can say which feature it was that
                # crashed or was never run.
                event = {"event": "item", "id": short_id(item.nodeid), **_about(item)}
                self._events.write(event, sync=False)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Tell an end that pytest came to from one that a test or an import made."""
        with open(self._finished, "w", encoding="ascii"):
            pass

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Frame a test by its start and its outcome."""
        nodeid = short_id(item.nodeid)
        self._verdict, self._error, self._numbers = Verdict("pass"), None, {}
        LEDGER.clear()
        COSTS.clear()
        begun = time.monotonic()
        start = {"event": "start", "id": nodeid, "at": time.time(), "pid": os.getpid()}
        self._events.write({**start, "device": device_kind()})
        result = yield
        stopped = result.excinfo  # type: ignore[attr-defined]
        if stopped:
            self._judge(Verdict("fail", f"stopped the test process: {stopped[0].__name__}"))
        duration = time.monotonic() - begun
        self._write_outcome(item, nodeid, duration)
        if self._verdict.name in SUSPECT and _device_is_poisoned():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._poisoned_exit)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        """Judge one phase of a test; the first phase that went wrong decides."""
        result = yield
        report = result.get_result()  # type: ignore[attr-defined]
        if report.when == "call":
            _keep_benchmark(item)
        expected_failure = getattr(report, "wasxfail", None)
        if expected_failure is not None:
            why = str(expected_failure).replace("reason: ", "", 1) or "no reason given"
            if report.skipped:
                self._judge(Verdict("skip", f"expected failure: {why}"))
            elif report.passed and report.when == "call":
                self._judge(Verdict("pass", f"passed though a failure was expected: {why}"))
        elif report.skipped and call.excinfo is not None:
            self._judge(of_skip(str(call.excinfo.value), self._broken))
        elif report.failed and call.excinfo is not None:
            self._judge_error(item, call.excinfo.value, report)
        elif report.failed:
            self._judge(Verdict("fail", first_line(report.longreprtext)))

    def _judge_error(
        self, item: pytest.Item, error: BaseException, report: pytest.TestReport
    ) -> None:
        verdict = of_error(error, report.when, _refusals(item))
        if not self._judge(verdict):
            return
        self._error = {
            "type": type(error).__name__,
            "message": clip(str(error), MESSAGE_LIMIT),
            "traceback": clip(report.longreprtext, TRACEBACK_LIMIT),
        }
        if isinstance(error, WrongNumbers):
            self._numbers = {"error": error.error, "tolerance": error.tolerance}

    def _judge(self, verdict: Verdict) -> bool:
        """Take ``verdict`` unless an earlier phase already went wrong."""
        if self._verdict != Verdict("pass"):
            return False
        self._verdict = verdict
        return True

    def _write_outcome(self, item: pytest.Item, nodeid: str, duration: float) -> None:
        if not self._numbers and LEDGER.error is not None:
            self._numbers = {"error": LEDGER.error, "tolerance": LEDGER.tolerance}
        seed = getattr(item, "matrix_seed", None)
        if seed is not None:
            self._numbers["seed"] = seed
        event = _outcome(nodeid, self._verdict, error=self._error, duration=duration)
        costs = {kind: round(seconds, 6) for kind, seconds in COSTS.seconds.items()}
        event.update(_about(item), numbers=self._numbers, costs=costs)
        self._events.write(event)
        if self._verdict.name != "pass":
            return
        for metric in getattr(item, "matrix_metrics", []):
            frame = {
                "event": "metric",
                "id": nodeid,
                "workload": event["workload"] or event["feature"] or _function(item),
            }
            params = {**event["params"], **metric.pop("params", {})}
            self._events.write({**frame, **metric, "params": params, "device": event["device"]})


def _outcome(
    nodeid: str, verdict: Verdict, *, error: Dict[str, str] | None, duration: float = 0.0
) -> Event:
    return {
        "event": "outcome",
        "id": nodeid,
        "verdict": verdict.name,
        "reason": verdict.reason,
        "duration": round(duration, 6),
        "feature": "",
        "workload": "",
        "title": "",
        "params": {},
        "numbers": {},
        "error": error,
        "device": device_kind(),
        "source": "",
    }


def _about(item: pytest.Item) -> Event:
    feature = item.get_closest_marker(marks.FEATURE)
    workload = item.get_closest_marker(marks.WORKLOAD)
    row = feature or workload
    return {
        "feature": feature.kwargs["id"] if feature else "",
        "workload": workload.kwargs["id"] if workload else "",
        "title": row.kwargs["title"] if row else "",
        "params": _params(item),
        "source": _source(item),
    }


def _function(item: pytest.Item) -> str:
    """The test's name without its parameters: what a number of a user's own suite is of."""
    return item.name.partition("[")[0]


def _params(item: pytest.Item) -> Dict[str, Any]:
    """The test's parameters that are plain values; others show in its id only."""
    callspec = getattr(item, "callspec", None)
    values = getattr(callspec, "params", {})
    kinds = (bool, int, float, str)
    return {name: value for name, value in values.items() if isinstance(value, kinds)}


def _source(item: pytest.Item) -> str:
    """A hash that changes when the test or its module does; parameters share it."""
    function = getattr(item, "function", None)
    digest = hashlib.sha256()
    try:
        digest.update(inspect.getsource(function).encode())  # type: ignore[arg-type]
        with open(inspect.getfile(function), "rb") as file:  # type: ignore[arg-type]
            digest.update(file.read())
    except (OSError, TypeError):
        return ""
    return digest.hexdigest()[:12]


def _keep_benchmark(item: pytest.Item) -> None:
    """Numbers of a test that uses pytest-benchmark's own fixture, while the fixture is there."""
    funcargs = getattr(item, "funcargs", None) or {}
    timed = getattr(getattr(funcargs.get("benchmark"), "stats", None), "stats", None)
    if timed is None or "measure" in funcargs or not timed.data:
        return
    metric = {"metric": "time", "unit": "s", "better": "lower", "work": {}, "params": {}}
    item.matrix_metrics = [{**metric, "samples": [float(sample) for sample in timed.data]}]  # type: ignore[attr-defined]


def _refusals(item: pytest.Item) -> List[marks.Refusal]:
    rows = [*item.iter_markers(marks.FEATURE), *item.iter_markers(marks.WORKLOAD)]
    return [refusal for row in rows for refusal in row.kwargs["refusals"]]


def _collect_text(report: pytest.CollectReport) -> str:
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).replace("Skipped: ", "", 1)
    return str(getattr(longrepr, "longrepr", longrepr))


def _last_error(text: str) -> str:
    """The line of a collection error that says what was raised."""
    lines = [line[2:].strip() for line in text.splitlines() if line.startswith("E ")]
    # before a SyntaxError stand the file and the line of code
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt|Exit)\b", line)]
    return first_line("\n".join(raised or lines) or text)


def _device_is_poisoned() -> bool:
    """Whether the device context that a failed test used no longer works."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.zeros(1, device="cuda").add_(1)
        torch.cuda.synchronize()
    except Exception:  # noqa: BLE001 - whatever it raises, this process is of no use any more
        return True
    return False
