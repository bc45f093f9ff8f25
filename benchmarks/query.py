"""What `query` costs over a generated store, beside plain pandas over the same rows as JSON.

    python benchmarks/query.py [NIGHTS] [CELLS] [FEATURES] [ROUNDS]

Each contender is a fresh process that prints the history of one feature: night, cell, verdict. The
store is put together once before (that time is printed): a night adds one run to it.
"""

import json
import resource
import sys
import tempfile
from dataclasses import asdict
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from common import ROOT, fresh, rounds, show, timed

from matrix.facts import builds, published
from matrix.rows import Row, arrow_schema
from matrix.store import Entry, write_json

SQL = "SELECT run, cell, verdict FROM features WHERE feature = 'feature-7' ORDER BY run, cell"
PANDAS = """
import sys, pandas as pd
from pathlib import Path
rows = pd.concat(pd.read_json(path, lines=True) for path in sorted(Path(sys.argv[1]).glob("*")))
rows = rows[(rows["feature"] == "feature-7") & (rows["verdict"] != "")]
print(rows.groupby(["run", "cell"])["verdict"].first().to_csv())
"""


def cells(count: int) -> list[tuple[str, str, str]]:
    """(torch, variant, python) of real releases."""
    names = [(t, v, p) for t in builds() for v in published(t) for p in ("3.10", "3.11", "3.12")]
    return names[-count:]


def suite(torch: str, variant: str, python: str, features: int) -> list[Row]:
    """The rows of a feature suite."""
    return [
        Row(
            cell=f"torch{torch}-{variant}-py{python}", torch=torch, variant=variant,
            accelerator="cuda", python=python, execution="docker-cuda", backend="docker",
            runner="local", device="cuda", device_model="NVIDIA H200", driver="580.95.05",
            recipe="049908b2-f5852f04", evidence="5c1e8aebf490", provision="built",
            suite="feature", test=f"test_{n % 28}.py::test_{n}", feature=f"feature-{n}",
            title=f"What feature {n} is for", verdict="fail" if n % 17 == 0 else "pass",
            reason="RuntimeError: no kernel image" if n % 17 == 0 else "",
            signature="RuntimeError: no kernel image" if n % 17 == 0 else "", duration=0.1 * n,
        )
        for n in range(features)
    ]  # fmt: skip


def dated(table: pa.Table, run: str, time: str) -> pa.Table:
    """The same rows in another run."""
    for name, value in (("run", run), ("time", time)):
        column = pa.array([value] * table.num_rows)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def generate(folder: Path, nights: int, count: int, features: int) -> int:
    """Leave a store and the same rows as JSON lines; returns how many rows there are."""
    lines = folder / "json"
    lines.mkdir()
    suites = {}
    for cell in cells(count):
        rows = suite(*cell, features)
        suites[rows[0].cell] = (
            rows,
            pa.Table.from_pylist([asdict(r) for r in rows], arrow_schema()),
        )
    for night in range(nights):
        day = date(2026, 1, 1) + timedelta(days=night)
        run, time = f"{day:%Y%m%d}T010203Z-{night:06x}", f"{day}T01:02:03+00:00"
        told, entries = [], []
        for cell, (rows, table) in suites.items():
            place = folder / "results" / "local" / "runs" / run / "cells" / cell
            place = place / "docker-cuda" / "feature"
            place.mkdir(parents=True)
            pq.write_table(dated(table, run, time), place / "rows.parquet", compression="zstd")
            entry = asdict(Entry(run=run, cell=cell, execution="docker-cuda", suite="feature",
                                 recipe=rows[0].recipe, counts={"pass": features}))  # fmt: skip
            write_json(place / "execution.json", entry)
            entries.append(entry)
            told += [json.dumps(asdict(row) | {"run": run, "time": time}) for row in rows]
        write_json(place.parents[3] / "run.json", {"schema": 1, "id": run, "executions": entries})
        (lines / f"{run}.jsonl").write_text("\n".join(told), encoding="utf-8")
    (folder / "matrix.toml").touch()
    return nights * count * features


def main() -> None:
    """Print the table."""
    given = [int(word) for word in sys.argv[1:]]
    nights, count, features, repeats = (*given, *(30, 20, 170, 5)[len(given) :])
    with tempfile.TemporaryDirectory() as name:
        folder = fresh(Path(name) / "store")
        total = generate(folder, nights, count, features)
        query = [sys.executable, "-m", "matrix", "query", "--csv", SQL]
        run = partial(timed, cwd=folder, env={"PYTHONPATH": str(ROOT)})
        print(f"{total} rows, {nights} nights of {count} cells")
        print(f"put together once: {run(query):.1f} s")
        samples = rounds(
            {
                "`matrix query`": lambda: run(query),
                "pandas over JSON": lambda: run([sys.executable, "-c", PANDAS, "json"]),
            },
            repeats,
        )
        show(f"History of one feature of {total} rows", samples, "`matrix query`")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"\nlargest process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
