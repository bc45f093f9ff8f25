"""What the end of a container means for the report of the suite in it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matrix.records import MAX_FILE, MAX_LINE, text


def close_report(report: Path, verdict: str, reason: str) -> None:
    """Give the tests that a killed container left open the verdict that its end has.

    Tests that had not begun are `not-run`; outcomes that are there stay as they are.
    """
    events = list(_events(report))
    ended = {text(event.get("id")) for event in events if event.get("event") == "outcome"}
    begun = {text(event.get("id")) for event in events if event.get("event") == "start"}
    about: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("event") in {"item", "start"}:
            about.setdefault(text(event.get("id")), event)
    added: list[dict[str, Any]] = []
    for test, event in about.items():
        if test and test not in ended:
            ran = test in begun
            how = {"verdict": verdict, "reason": reason}
            if not ran:
                how = {"verdict": "not-run", "reason": f"never started: {reason}"}
            added.append({**event, "event": "outcome", "id": test, **how})
    added.append({"event": "end", "status": "stopped", "reason": reason})
    _append(report, added)


def blame_memory(report: Path, limit: int) -> None:
    """Call a crash by SIGKILL what it was in a container whose memory limit killed something."""
    added = []
    for event in _events(report):
        reason = text(event.get("reason"))
        killed = event.get("verdict") == "crash" and "SIGKILL" in reason
        if event.get("event") == "outcome" and killed:
            why = f"the container's memory limit of {limit >> 20} MiB was reached: {reason}"
            added.append({**event, "verdict": "oom", "reason": why})
    _append(report, added)


def _events(report: Path) -> Iterator[dict[str, Any]]:
    """Yield the events that can be read; `matrix.records` complains about the others."""
    with report.open("rb") as stream:
        while (line := stream.readline(MAX_LINE)) and stream.tell() <= MAX_FILE:
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event


def _append(report: Path, events: list[dict[str, Any]]) -> None:
    """Add events; a last line that was cut off stays one line of its own."""
    with report.open("r+b") as stream:
        if stream.seek(0, os.SEEK_END):
            stream.seek(-1, os.SEEK_END)
            whole = stream.read(1) == b"\n"
            stream.write(b"" if whole else b"\n")
        for event in events:
            stream.write(json.dumps(event).encode() + b"\n")
