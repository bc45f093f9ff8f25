"""Where the time of a run's suites went: a short block for each execution."""

from collections import defaultdict
from collections.abc import Iterable

from matrix.entries import Entry
from matrix.reports.text import clean
from matrix.rows import Row

SLOWEST = 5
PARTS = {
    "compiling": "compiling",
    "children": "child processes",
    "starting": "process starts",
    "importing": "later imports",
}


def render(entries: Iterable[Entry], rows: Iterable[Row]) -> str:
    """Lines about the suites that told what they spent their time on; "" where none did."""
    by_suite: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by_suite[row.cell, row.execution, row.suite].append(row)
    blocks = [_block(entry, by_suite[entry.key]) for entry in entries if entry.costs]
    return "\n".join(blocks)


def _block(entry: Entry, rows: list[Row]) -> str:
    """Wall time as a sum, its ratio to the sum without `other`, the slowest features; seconds."""
    told = {name: entry.costs.get(name, 0.0) for name in PARTS}
    other = max(0.0, entry.seconds - sum(told.values()))
    parts = [f"{told[name]:.1f} {label}" for name, label in PARTS.items()]
    needed = sum(told.values())
    ratio = f" ({entry.seconds / needed:.2f} × the sum without it)" if needed else ""
    cache = next((row.compile_cache for row in rows if row.compile_cache), "")
    head = f"time of {entry.cell} {entry.execution} {entry.suite}: {entry.seconds:.1f} s = "
    tail = f"; compile cache {clean(cache)}" if cache else ""
    lines = [f"{head}{' + '.join(parts)} + {other:.1f} other{ratio}{tail}"]
    slow = sorted(_features(rows).items(), key=lambda item: -item[1])[:SLOWEST]
    if slow:
        lines.append(f"  slowest: {', '.join(f'{clean(n, 60)} {s:.1f} s' for n, s in slow)}")
    return "\n".join(lines)


def _features(rows: Iterable[Row]) -> dict[str, float]:
    """Seconds by feature or workload, all of its tests together."""
    seconds: dict[str, float] = defaultdict(float)
    for row in rows:
        if row.verdict and row.duration:
            seconds[row.feature or row.workload or row.test] += row.duration
    return dict(seconds)
