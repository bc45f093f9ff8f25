"""Numbers in other tools' formats: rounds of a series are one entry, unstable ones are left out."""

import json
from collections.abc import Iterable
from typing import Any

from matrix.rows import AGAIN, Row

Series = tuple[str, str, str, str, str]


def pytest_benchmark(rows: Iterable[Row]) -> dict[str, Any]:
    """What `pytest-benchmark compare` reads: only times, of which less is better, in seconds."""
    from pytest_benchmark import __version__  # noqa: PLC0415  half a second, for exports only
    from pytest_benchmark.stats import Stats  # noqa: PLC0415

    found = series(rows)
    benchmarks = []
    for group in found:
        row = group[0]
        if (row.unit, row.better) != ("s", "lower"):
            continue
        stats: Any = Stats()  # type: ignore[no-untyped-call]
        for sample in (sample for one in group for sample in one.samples):
            stats.update(sample)
        benchmarks.append({
            "group": row.workload or None,
            "name": f"{row.test.rpartition('::')[2]} {row.metric}",
            "fullname": f"{row.cell}/{row.execution}/{row.test} {row.metric} {row.params}",
            "params": None,
            "param": None,
            "extra_info": _about(row),
            "options": {},
            "stats": {**stats.as_dict(), "data": stats.data, "iterations": 1},
        })  # fmt: skip
    newest = max((group[0].time for group in found), default="")
    return {
        "machine_info": _machine(found[0][0]) if found else {},
        "commit_info": {},
        "benchmarks": benchmarks,
        "datetime": newest,
        "version": __version__,
    }


def pytorch_v3(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Records with the field names of the PyTorch benchmark database, schema v3.

    `benchmark_values` are the medians of the rounds, in the unit that `extra_info` names.
    """
    return [_record(group[0], [one.median for one in group]) for group in series(rows)]


def _record(row: Row, values: list[float | None]) -> dict[str, Any]:
    about = {"suite": row.suite, "test": row.test, "params": row.params}
    return {
        "benchmark": {
            "name": "torch-matrix",
            "mode": "inference",
            "dtype": str(_params(row).get("dtype", "")),
            "extra_info": about,
        },
        "model": {
            "name": row.workload or row.test,
            "type": "workload",
            "origins": ["torch-matrix"],
        },
        "metric": {
            "name": row.metric,
            "benchmark_values": values,
            "extra_info": {"unit": row.unit, "better": row.better},
        },
        "runners": [
            {"name": row.runner, "type": row.device_model, "extra_info": _machine(row)},
        ],
        "dependencies": {"torch": {"version": row.torch, "extra_info": _about(row)}},
    }


def series(rows: Iterable[Row]) -> list[list[Row]]:
    """Rounds of each series, without those that were disturbed or only repeat what stood out."""
    found: dict[Series, list[Row]] = {}
    for row in rows:
        if row.metric and row.samples and not row.reason and row.phase != AGAIN:
            key = (row.cell, row.execution, row.test, row.metric, row.params)
            found.setdefault(key, []).append(row)
    return list(found.values())


def _params(row: Row) -> dict[str, Any]:
    try:
        params = json.loads(row.params)
    except ValueError:
        return {}
    return params if isinstance(params, dict) else {}


def _about(row: Row) -> dict[str, Any]:
    return {
        "run": row.run, "cell": row.cell, "execution": row.execution, "variant": row.variant,
        "companions": row.companions, "test_source": row.source,
    }  # fmt: skip


def _machine(row: Row) -> dict[str, Any]:
    return {
        "device": row.device, "device_model": row.device_model, "driver": row.driver,
        "power_limit_w": row.power_limit, "python_version": row.python,
    }  # fmt: skip
