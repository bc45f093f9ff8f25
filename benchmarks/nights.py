"""A generated store: nights of a matrix, as real bundles, and the same numbers for other tools.

A night is a run of the features of every cell: most pass, some are refused, a few fail, and now
and then one fails by chance. Once a week the workloads run too, and vary by a percent. Recipes move
every thirty nights, as when tests are edited. The same shape gives the same store.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from common import ROOT  # noqa: F401  puts the checkout on the path

from matrix.entries import Entry
from matrix.facts import builds, published
from matrix.rows import Row, arrow_schema
from matrix.store import PLAN_FILE, ROWS_FILE, RUN_FILE, write_json

FIRST = date(2025, 11, 24)
EDITED, WEEK = 30, 7
PYTHONS = ("3.10", "3.11", "3.12")
EXECUTION = "docker-cuda"
REASON = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
SAMPLES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How large a store is; a workload has two rows, its outcome and its time."""

    nights: int
    cells: int
    features: int = 132
    workloads: int = 18

    @property
    def rows(self) -> int:
        """Rows of all nights."""
        weeks = -(-self.nights // WEEK)
        return self.cells * (self.nights * self.features + weeks * 2 * self.workloads)


def cells(count: int) -> list[dict[str, Any]]:
    """The newest combinations that were published, as fields of rows."""
    axes = [(t, v, p) for t in builds() for v in published(t) for p in PYTHONS]
    fields = ("torch", "variant", "python")
    return [
        dict(zip(fields, axis, strict=True)) | {"cell": "torch{}-{}-py{}".format(*axis)}
        for axis in axes[-count:]
    ]


def _features(cell: dict[str, Any], shape: Shape, chance: random.Random) -> list[Row]:
    return [
        Row(
            **_common(cell, "feature"), test=f"test_group{n % 28}.py::test_{n}",
            feature=f"feature-{n}", title=f"What feature {n} is for",
            verdict=chance.choices(("pass", "unsupported", "fail"), (85, 12, 3))[0],
            duration=0.1 * n, source=f"{n:012x}",
        )
        for n in range(shape.features)
    ]  # fmt: skip


def _workloads(cell: dict[str, Any], shape: Shape, chance: random.Random) -> list[Row]:
    made = []
    for n in range(shape.workloads):
        about = _common(cell, "throughput") | {"test": f"test_speed.py::test_{n}"}
        about |= {"workload": f"workload-{n // 6}", "source": f"{n:012x}"}
        about |= {"params": json.dumps({"batch": 1 << n % 6})}
        base = (1 + n) * chance.uniform(0.8, 1.2)
        made.append(Row(**about, verdict="pass", duration=2.0))
        made.append(Row(**about, metric="time", unit="ms", better="lower", median=base))
    return made


def _common(cell: dict[str, Any], suite: str) -> dict[str, Any]:
    return cell | {
        "accelerator": "cuda", "execution": EXECUTION, "backend": "docker", "runner": "local",
        "device": "cuda", "device_model": "NVIDIA H200", "driver": "580.95.05",
        "evidence": "5c1e8aebf490", "provision": "built", "suite": suite,
    }  # fmt: skip


def nights(shape: Shape) -> Iterator[tuple[str, dict[tuple[str, str], pa.Table]]]:
    """(run id, {(cell, suite): rows}) of each night, oldest first."""
    chance = random.Random(1)  # noqa: S311  the same store every time
    schema = arrow_schema()
    suites = {}
    for cell in cells(shape.cells):
        for suite, make in (("feature", _features), ("throughput", _workloads)):
            rows = [asdict(row) for row in make(cell, shape, chance)]
            suites[str(cell["cell"]), suite] = pa.Table.from_pylist(rows, schema)
    for night in range(shape.nights):
        day = FIRST + timedelta(days=night)
        run = f"{day:%Y%m%d}T010203Z-{night:06x}"
        measured = [key for key in suites if key[1] == "feature" or night % WEEK == 0]
        yield run, {key: _tonight(suites[key], run, night, chance) for key in measured}


def _tonight(table: pa.Table, run: str, night: int, chance: random.Random) -> pa.Table:
    """The rows as this night measured them."""
    day, count = FIRST + timedelta(days=night), table.num_rows
    verdicts, medians = table["verdict"].to_pylist(), table["median"].to_pylist()
    if chance.random() < 0.05:  # noqa: PLR2004  a test that fails by chance
        unlucky = chance.randrange(count)
        verdicts[unlucky] = "fail" if verdicts[unlucky] == "pass" else verdicts[unlucky]
    bad = [REASON if verdict == "fail" else "" for verdict in verdicts]
    samples = [
        [median * chance.gauss(1, 0.01) for _ in range(SAMPLES)] if median else []
        for median in medians
    ]
    told = {
        "run": [run] * count,
        "time": [f"{day}T01:02:03+00:00"] * count,
        "recipe": [f"{night // EDITED:08x}-f5852f04"] * count,
        "verdict": verdicts,
        "reason": bad,
        "signature": bad,
        "samples": samples,
        "median": [sorted(s)[len(s) // 2] if s else None for s in samples],
        "spread": [sorted(s)[-2] - sorted(s)[1] if s else None for s in samples],
    }
    told_arrays = {name: pa.array(v, table.schema.field(name).type) for name, v in told.items()}
    columns = {name: table[name] for name in table.column_names} | told_arrays
    return pa.table(columns, schema=table.schema)


def write_store(folder: Path, shape: Shape) -> None:
    """Leave the nights as local runs of a matrix file that has their cells."""
    folder.mkdir(parents=True, exist_ok=True)
    versions = list(dict.fromkeys(cell["torch"] for cell in cells(shape.cells)))
    text = f'[[torch]]\nversion = {versions}\nvariants = ["published"]\npython = {list(PYTHONS)}\n'
    (folder / "matrix.toml").write_text(text, encoding="utf-8")
    for run, tables in nights(shape):
        write_night(folder / "results" / "local" / "runs" / run, tables)


def write_night(path: Path, tables: dict[tuple[str, str], pa.Table]) -> None:
    """Leave one bundle."""
    entries = []
    for (cell, suite), table in tables.items():
        place = path / "cells" / cell / EXECUTION / suite
        place.mkdir(parents=True)
        pq.write_table(table, place / ROWS_FILE, compression="zstd")
        recipe, time = (table[name][0].as_py() for name in ("recipe", "time"))
        told = [v for v in table["verdict"].to_pylist() if v]
        entry = Entry(
            run=path.name, cell=cell, execution=EXECUTION, suite=suite, recipe=recipe,
            evidence="5c1e8aebf490", started=time, seconds=60.0, provision="built",
            device_model="NVIDIA H200", counts={v: told.count(v) for v in sorted(set(told))},
            stages={"lock": 0.1, "provision": 20.0, "suite": 40.0},
        )  # fmt: skip
        entries.append(asdict(entry))
        write_json(place / "execution.json", entries[-1])
    write_json(path / PLAN_FILE, {"schema": 1})
    write_json(path / RUN_FILE, {"schema": 1, "id": path.name, "executions": entries})


def write_lines(folder: Path, shape: Shape) -> None:
    """Leave the same rows as JSON lines, a file per night."""
    folder.mkdir(parents=True, exist_ok=True)
    for run, tables in nights(shape):
        rows = [row for table in tables.values() for row in table.to_pylist()]
        text = "\n".join(json.dumps(row) for row in rows)
        (folder / f"{run}.jsonl").write_text(text, encoding="utf-8")
