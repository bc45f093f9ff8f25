"""`compare`, `export` and the mistakes of `run --compare`, on stored rows."""

import json
import random
import statistics

import pytest

from matrix.entries import Entry
from matrix.rows import Row
from matrix.store import Store
from matrix.tables import frame, workload_table

OLD, NEW = "torch2.6.0-cpu-py3.11", "torch2.11.0-cpu-py3.11"


def rows_of(run, cell, level, side, seed, *, bad="", unit="s"):
    base = {
        "run": run, "time": "2026-01-01T00:00:00+00:00", "cell": cell,
        "torch": cell[5:].split("-")[0],
        "variant": "cpu", "accelerator": "cpu", "python": "3.11", "execution": "venv-cpu",
        "backend": "venv", "runner": "local", "device": "cpu", "device_model": "Test CPU",
        "suite": "throughput", "test": "test_w.py::test_w", "workload": "w",
    }  # fmt: skip
    rng = random.Random(seed)
    yield Row(**base, verdict="pass", source="abc")
    for phase, count in (("first", 6), ("again", 12)):
        for n in range(1, count + 1):
            value = level * rng.gauss(1, 0.003)
            yield Row(**base, metric="time", unit=unit, better="lower", samples=(value,) * 3,
                      median=value, spread=0.0, params='{"dtype": "bfloat16"}', round=n,
                      phase=phase if side else "", side=side, reason=bad)  # fmt: skip


@pytest.fixture
def stored(tmp_path, matrix_file, world):
    """A function that stores a run of cells with their levels; returns its id."""
    matrix_file(world.TWO_CELLS)
    store = Store(tmp_path / "results")

    def write(*cells, sides=("before", "after"), **more):
        ids = [cell for cell, _ in cells]
        told = {"compare": {"cells": [ids[0], ids[-1]], "pairs": 6}} if sides[0] else {}
        bundle = store.create(told)
        rows = {}
        for number, ((cell, level), side) in enumerate(zip(cells, sides, strict=False)):
            rows.setdefault(cell, []).extend(rows_of(bundle.id, cell, level, side, number, **more))
        for cell, own in rows.items():
            entry = Entry(run=bundle.id, cell=cell, execution="venv-cpu", suite="throughput",
                          recipe="r", counts={"pass": 1})  # fmt: skip
            bundle.commit(bundle.stage(cell, "venv-cpu", "throughput"), entry, own)
        bundle.finish({})
        return bundle.id

    return write


@pytest.mark.parametrize(
    ("level", "code", "verdict"), [(1.05, 1, "regressed"), (0.95, 0, "improved"), (1, 0, "known")]
)
def test_a_regression_ends_1(stored, run_cli, level, code, verdict):
    run = stored((OLD, 1.0), (NEW, level))
    done = run_cli("compare", run, "--json")
    assert done.code == code
    [line] = json.loads(done.out)["series"]
    assert line["verdict"] == verdict
    assert line["low"] < 1 / level < line["high"]
    assert line["before"] == pytest.approx(1.0, rel=0.01)


def test_what_is_shown_says_what_is_compared(stored, run_cli):
    stored((OLD, 1.0), (NEW, 1.05))
    shown = run_cli("compare", "latest").out
    assert shown.startswith(f"{NEW} compared with {OLD}\nratio: more than 1 is better")
    assert "w dtype=bfloat16" in shown
    assert "↓ regressed" in shown
    assert "of 1 series on both sides, 0 excluded" in " ".join(shown.split())
    page = run_cli("compare", "latest", "--format", "markdown").out
    assert "| `w dtype=bfloat16` | " in page
    assert "| 0.95" in page
    assert "| ↓ regressed |  |\n" in page


def test_the_same_cell_twice_is_two_sides(stored, run_cli):
    stored((OLD, 1.0), (OLD, 1.0))
    [line] = json.loads(run_cli("compare", "latest", "--json").out)["series"]
    assert (line["verdict"], line["rounds"]) == ("known", 6)


def test_two_runs_are_two_times(stored, run_cli):
    runs = [stored((OLD, level), sides=("",)) for level in (1.0, 1.05)]
    done = run_cli("compare", *runs)
    assert done.code == 0
    assert "~ unstable" in done.out
    why = "measured at two times; rounds taken in turn (`run --compare`) tell"
    assert why in " ".join(done.out.split())
    assert "first-seen" in run_cli("compare", *runs[:1], stored((NEW, 1.0), sides=("",))).out


def test_disturbed_numbers_are_said_to_be_so(stored, run_cli):
    run = stored((OLD, 1.0), (NEW, 1.05), bad="another process was busy")
    [line] = json.loads(run_cli("compare", run, "--json").out)["series"]
    assert (line["verdict"], line["ratio"]) == ("unstable", None)
    assert line["why"] == "another process was busy"


def test_one_run_is_compared_with_its_history(stored, run_cli):
    runs = [stored((OLD, 1.0), sides=("",)) for _ in range(2)]
    done = run_cli("compare", max(runs))
    assert done.code == 0
    assert done.out.startswith(f"run {max(runs)} compared with 1 earlier run(s)")
    assert "· first-seen w dtype=bfloat16: 0 nights at this level; 8 make a baseline" in done.out


def test_mistakes_end_2(stored, run_cli):
    run = stored((OLD, 1.0), sides=("",))
    done = run_cli("compare", run, "--cells", OLD.replace("2.6", "2.5"), "nothing")
    assert done.code == 2
    assert f"has no cell `{OLD.replace('2.6', '2.5')}`; did you mean `{OLD}`?" in done.err
    assert "has no cell `nothing`; known:" in done.err
    done = run_cli("compare", run, run, run)
    assert (done.code, done.err) == (2, (
        "matrix: `compare` takes one run (its history, or the cells it compared) or two\n"
        "  - got 3\n"
    ))  # fmt: skip


def test_a_run_without_numbers_ends_3(run_cli, record, matrix_file, world):
    matrix_file(world.TWO_CELLS)
    record(world.outcome("t"))
    replay = ("--backend", "replay", "--suite", "feature", "--select", "torch==2.6")
    done = run_cli("run", *replay, "--recording", record(world.outcome("t")))
    assert done.code == 0, done.err
    assert run_cli("compare", "latest", "latest").code == 3
    assert run_cli("export", "latest", "--format", "pytorch-v3").code == 3


def test_every_mistake_of_a_comparison_is_said_at_once(run_cli, matrix_file, world):
    matrix_file(world.TWO_CELLS)
    wrong = ("--compare", "torch2.6.1-cpu-py3.11", "torch>=2", "--pairs", "2", "--suite",
             "feature", "--suite", "throughput", "--select", "*")  # fmt: skip
    done = run_cli("run", *wrong)
    assert done.code == 2
    assert done.err.splitlines() == [
        "matrix: the cells cannot be compared:",
        "  - --pairs: at least 3, got 2",
        "  - --select: `--compare` names its two cells itself",
        "  - --suite: one suite is compared at a time, got feature, throughput",
        "  - --compare: `torch2.6.1-cpu-py3.11` is 0 cells, name one (did you mean `" + OLD + "`?)",
        f"  - --compare: `torch>=2` is 2 cells, name one ({OLD}, {NEW})",
    ]


def test_exports_have_the_other_tools_names(stored, run_cli):
    run = stored((OLD, 1.0), (NEW, 1.05))
    done = run_cli("export", run, "--format", "pytest-benchmark")
    assert (done.code, done.err) == (0, "")
    made = {b["extra_info"]["cell"]: b for b in json.loads(done.out)["benchmarks"]}
    old, new = made[OLD], made[NEW]
    assert old["stats"]["rounds"] == 18, "six processes with three readings each"
    assert new["stats"]["median"] == pytest.approx(1.05, rel=0.01)
    assert old["fullname"].startswith(f"{OLD}/venv-cpu/test_w.py::test_w")
    records = json.loads(run_cli("export", run, "--format", "pytorch-v3").out)
    assert [r["dependencies"]["torch"]["version"] for r in records] == ["2.11.0", "2.6.0"]
    assert records[0]["benchmark"]["dtype"] == "bfloat16"
    assert len(records[0]["metric"]["benchmark_values"]) == 6
    assert records[0]["metric"]["extra_info"] == {"unit": "s", "better": "lower"}


def test_an_export_says_what_it_leaves_out(stored, run_cli):
    run = stored((OLD, 1.0), unit="tok/s", sides=("",))
    done = run_cli("export", run, "--format", "pytest-benchmark")
    assert json.loads(done.out)["benchmarks"] == []
    assert done.err == "1 of 1 series are left out: unstable, or no time in seconds\n"
    run = stored((OLD, 1.0), bad="busy", sides=("",))
    assert json.loads(run_cli("export", run, "--format", "pytorch-v3").out) == []


def test_the_table_of_workloads_shows_the_median_of_rounds(stored, tmp_path):
    run = stored((OLD, 2.0), sides=("before",))
    store = Store(tmp_path / "results")
    rows = store.rows(store.run(run).entries)
    first = [row.median for row in rows if row.phase == "first"]
    [line] = workload_table(frame(rows), None).to_dict("records")
    [median] = [value for (_, field), value in line.items() if field == "median"]
    [spread] = [value for (_, field), value in line.items() if field == "spread"]
    assert median == pytest.approx(statistics.median(first))
    assert 0 < spread < max(first) - min(first)
