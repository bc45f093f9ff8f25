"""What reading a year of nights costs, and what pandas and asv take for the same rows.

    python benchmarks/scale.py [--nights 365] [--cells 100] [--rounds 5] [--asv PROGRAM]

Makes the store (1.3 GB for the default, in `TMPDIR`; five minutes), asks for tables and for one
feature's history in fresh processes, and says their largest memory. Then, on 30 nights of 20 cells:
the same by plain pandas over the rows as JSON lines, and `asv publish` over the same numbers (`uv
pip install --group benchmark`), each in turn with ours.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
from common import ROOT, fresh, rounds, show, timed
from nights import FIRST, Shape, cells, nights, write_lines, write_store

SMALL = Shape(nights=30, cells=20)
FEATURE = "feature-7"
SQL = f"SELECT run, cell, verdict FROM features WHERE feature = '{FEATURE}' ORDER BY run, cell"  # noqa: S608  a constant
PANDAS = f"""
import pandas as pd
from pathlib import Path
rows = pd.concat(pd.read_json(path, lines=True) for path in sorted(Path("json").glob("*")))
rows = rows[(rows["feature"] == "{FEATURE}") & (rows["verdict"] != "")]
print(rows.groupby(["run", "cell"])["verdict"].first().to_csv())
"""
TABLES = """
import sys, pandas as pd
from pathlib import Path
rows = pd.concat(pd.read_json(path, lines=True) for path in sorted(Path("json").glob("*")))
rows = rows.sort_values("time", kind="stable")
tests = rows[(rows["metric"] == "") & (rows["feature"] != "")]
last = tests.drop_duplicates(["cell", "execution", "test"], keep="last")
print(last.pivot(index="feature", columns="cell", values="verdict").to_csv())
times = rows[rows["metric"] != ""]
last = times.drop_duplicates(["cell", "execution", "test"], keep="last")
print(last.pivot(index=["workload", "params"], columns="cell", values="median").to_csv())
"""
MATRIX = (sys.executable, "-m", "matrix")
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


def measured(argv: tuple[str, ...], folder: Path) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and MiB of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(argv, cwd=folder, env=ENV, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(argv)}: exit {process.returncode}")
    spent = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - start, spent, usage.ru_maxrss / 1024


def large(folder: Path, shape: Shape, count: int) -> None:
    """Print what our commands cost on the large store."""
    commands = {
        "`report` (tables)": (*MATRIX, "report"),
        f"`query` ({FEATURE})": (*MATRIX, "query", "--csv", SQL),
        f"`history {FEATURE}`": (*MATRIX, "history", FEATURE),
        "`claims`": (*MATRIX, "claims"),
        "`report --html`": (*MATRIX, "report", "--html", "page.html"),
    }
    print(f"\n## {shape.rows:,} rows: {shape.nights} nights of {shape.cells} cells\n")
    first = measured(commands["`claims`"], folder)
    print(f"Put together once: {first[0]:.0f} s, {first[2]:.0f} MiB; then:\n")
    print("| command | median s (min-max) | processor s | largest MiB |\n|---|---|---|---|")
    for name, argv in commands.items():
        runs = [measured(argv, folder) for _ in range(count)]
        wall, spent, memory = zip(*runs, strict=True)
        spread = f"{statistics.median(wall):.2f} ({min(wall):.2f}-{max(wall):.2f})"
        print(f"| {name} | {spread} | {statistics.median(spent):.2f} | {max(memory):.0f} |")
    print(f"\nThe page has {(folder / 'page.html').stat().st_size / 1e6:.1f} MB.")


def write_asv(folder: Path, shape: Shape) -> None:
    """Leave the same numbers as results of asv: a commit per night, an environment per cell."""
    git = partial(subprocess.run, cwd=fresh(folder / "repository"), check=True, capture_output=True)
    git(["git", "init", "-q", "-b", "main"])
    about = {cell["cell"]: cell for cell in cells(shape.cells)}
    benchmarks: dict[str, object] = {}
    place = fresh(folder / "results" / "machine")
    for number, (_, tables) in enumerate(nights(shape)):
        day = 1000 * int(time.mktime(FIRST.timetuple())) + 86_400_000 * number
        who = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
        git(["git", *who, "commit", "-q", "--allow-empty", "-m", str(number),
             "--date", f"{day // 1000} +0000"])  # fmt: skip
        commit = git(["git", "rev-parse", "HEAD"], text=True).stdout.strip()
        for cell in about:
            found = dict(line for key in tables if key[0] == cell for line in _asv(tables[key]))
            for name, (unit, _) in found.items():
                benchmarks[name] = {
                    "name": name, "unit": unit, "type": "track", "version": "1", "code": "",
                    "params": [], "param_names": [], "timeout": 60.0,
                }  # fmt: skip
            axes = {name: about[cell][name] for name in ("torch", "variant")}
            python = about[cell]["python"]
            told = {
                "commit_hash": commit, "date": day, "env_name": cell, "python": python,
                "requirements": axes, "env_vars": {}, "durations": {},
                "params": {"machine": "machine", "python": python, **axes},
                "result_columns": ["result", "params", "version"],
                "results": {name: [[value], [], "1"] for name, (_, value) in found.items()},
                "version": 2,
            }  # fmt: skip
            (place / f"{commit[:8]}-{cell}.json").write_text(json.dumps(told), encoding="utf-8")
    config = {"version": 1, "project": "nights", "repo": "repository", "branches": ["main"]}
    for path, data in {
        folder / "asv.conf.json": config,
        place / "machine.json": {"version": 1, "machine": "machine"},
        place.parent / "benchmarks.json": {"version": 2, **benchmarks},
    }.items():
        path.write_text(json.dumps(data), encoding="utf-8")


def _asv(table: pa.Table) -> list[tuple[str, tuple[str, float]]]:
    """(benchmark, (unit, value)) of a suite: 1 for a pass, and medians."""
    return [
        (row["feature"] or row["test"].replace("::", "."), (row["unit"] or "pass", value))
        for row in table.to_pylist()
        if row["feature"] or row["metric"]
        for value in [row["median"] if row["metric"] else float(row["verdict"] == "pass")]
    ]


def small(folder: Path, count: int, asv: str | None) -> None:
    """Print ratios on the small store."""
    write_store(folder, SMALL)
    write_lines(folder / "json", SMALL)
    run = partial(timed, cwd=folder, env=ENV)
    run([*MATRIX, "claims"])
    title = f"{SMALL.rows:,} rows: {SMALL.nights} nights of {SMALL.cells} cells"
    history = {
        "`query`": lambda: run([*MATRIX, "query", "--csv", SQL]),
        "pandas over JSON lines": lambda: run([sys.executable, "-c", PANDAS]),
    }
    show(f"One feature's history of {title}", rounds(history, count), "`query`")
    tables = {
        "`report`": lambda: run([*MATRIX, "report"]),
        "pandas over JSON lines: two pivots": lambda: run([sys.executable, "-c", TABLES]),
    }
    if asv:
        write_asv(folder, SMALL)
        tables["`asv publish`"] = lambda: run([asv, "publish", "--no-pull"])
        tables["`report --html`"] = lambda: run([*MATRIX, "report", "--html", "page.html"])
    show(f"Tables of {title}", rounds(tables, count), "`report`")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--asv", default=shutil.which("asv"), help="its program")
    parser.add_argument("--keep", type=Path, help="a folder with a large store, or for one")
    arguments = parser.parse_args()
    shape = Shape(nights=arguments.nights, cells=arguments.cells)
    with tempfile.TemporaryDirectory() as name:
        store = arguments.keep or Path(name) / "large"
        if not (store / "results").is_dir():
            write_store(store, shape)
        large(store, shape, arguments.rounds)
        if arguments.asv is None:
            print("\nno `asv` on the path: its figures are left out", file=sys.stderr)
        small(fresh(Path(name) / "small"), arguments.rounds, arguments.asv)


if __name__ == "__main__":
    main()
