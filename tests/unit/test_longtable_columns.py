"""Rows of many suites of a run come out of the run's one file, and are what the suites left."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import feature, keep, row

from matrix import longtable
from matrix.rows import ROW_FIELDS
from matrix.store import Store

RELEASES = ("2.4.0", "2.5.0", "2.6.0", "2.7.0")


def refuse(entry, path, why):
    raise AssertionError(f"{path} of {entry} should be read: {why}")


def lines(columns):
    return sorted(zip(*(map(repr, columns[name]) for name in ROW_FIELDS), strict=True))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Two nights: all cells, then all but the first; the newest evidence is of both."""
    monkeypatch.setattr(longtable, "MANY", 3)
    for night, releases in ((1, RELEASES), (2, RELEASES[1:])):
        rows = [feature("a", "fail", reason="why — 原因", torch=torch) for torch in releases]
        rows += [
            row(torch=torch, suite="throughput", test="t", workload="w", metric="time", unit="s",
                better="lower", median=2.0, spread=0.5, samples=(1.5, 2.0, 2.5))
            for torch in releases
        ]  # fmt: skip
        keep(tmp_path, *rows, night=night)
    return Store(tmp_path)


@pytest.fixture
def table(store):
    return store.local / longtable.FOLDER


def test_they_are_the_rows_of_the_suites(store, table):
    entries = store.shown()
    for _ in ("put together", "read again"):
        found = longtable.columns(store, entries, refuse)
        assert lines(found) == lines(store.columns(entries))
        # of the first night only two suites are wanted: too few for a file
        assert len(list(table.glob("*.parquet"))) == 1
    assert set(found["cell"]) == {f"torch{torch}-cpu-py3.11" for torch in RELEASES}
    assert {type(some) for some in found["samples"]} == {tuple}


def test_only_the_wanted_ones_are_there(store):
    entries = [entry for entry in store.shown() if entry.suite == "throughput"]
    found = longtable.columns(store, entries, refuse)
    assert set(found["suite"]) == {"throughput"}
    assert lines(found) == lines(store.columns(entries))


def test_a_damaged_file_is_told_every_time_and_the_others_are_read(store):
    entries = store.shown()
    lost = next(entry for entry in entries if entry.cell.startswith("torch2.7.0"))
    path = store.run(lost.run).path / "cells" / "/".join(lost.key) / "rows.parquet"
    path.write_bytes(b"PAR1")
    told = []
    for times in (1, 2):
        found = longtable.columns(store, entries, lambda entry, _path, _why: told.append(entry))
        assert told == [lost] * times
        assert len(found["cell"]) == len(entries) - 1


def test_what_a_running_run_adds_is_read(store, table):
    rows = [feature("b", torch=torch) for torch in RELEASES]
    keep(store.root, *rows, night=3, finish=False)
    run = store.paths()[-1]
    entries = store.run(run.name).entries
    assert set(longtable.columns(store, entries, refuse)["feature"]) == {"b"}
    place = run / "cells" / "/".join(entries[0].key)
    place.rename(run / "aside")
    assert len(longtable.columns(store, entries[1:], refuse)["feature"]) == len(entries) - 1
    (run / "aside").rename(place)
    assert len(longtable.columns(store, entries, refuse)["feature"]) == len(entries)
    assert len(list(table.glob(f"{run.name}-*.parquet"))) == 1, "one file of what it was before"


def test_rows_in_a_damaged_file_of_the_run_come_from_its_suites(store, table):
    """That file is derived: nothing is lost with it."""
    entries = store.shown()
    longtable.columns(store, entries, refuse)
    [path] = table.glob("*.parquet")
    path.write_bytes(b"PAR1" * 9)
    found = longtable.columns(store, entries, refuse)
    assert lines(found) == lines(store.columns(entries))


def test_a_folder_that_cannot_be_written_costs_time_only(store, table):
    """Published results on a read-only disk."""
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("no folder")
    entries = store.shown()
    assert lines(longtable.columns(store, entries, refuse)) == lines(store.columns(entries))


def test_what_another_process_is_writing_stays(store, table):
    table.mkdir(parents=True)
    other = table / ".20260101T000000Z-000001-0123.parquet.abc.tmp"
    other.write_bytes(b"half")
    longtable.long_table(store)
    longtable.columns(store, store.shown(), refuse)
    assert other.exists()


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        pytest.param("verdict", None, "`verdict` is null", id="null"),
        pytest.param("time", "2026-13-01T00:00:00", "month must be in 1..12", id="no-time"),
        pytest.param("device_model", "Xeon\x1b[2J", "no name needs", id="escape"),
        pytest.param("companions", "x==1\u202e", "no name needs", id="reordered"),
        pytest.param("cell", "torch9.9.9-cpu-py3.11", "its rows are of cell", id="elsewhere"),
        pytest.param("run", "20260101T000000Z-ffffff", "its rows are of run", id="other-run"),
        pytest.param("schema", 99, "update torch-matrix", id="newer"),
    ],
)
@pytest.mark.parametrize("many", [3, 99])
def test_rows_that_cannot_be_of_a_suite_are_left_out_and_told(
    store, monkeypatch, many, column, value, why
):
    """Tables and SQL refuse the same, read from one file or from each suite."""
    monkeypatch.setattr(longtable, "MANY", many)
    entries = store.shown()
    lost = next(entry for entry in entries if entry.cell.startswith("torch2.7.0"))
    path = store.run(lost.run).path / "cells" / "/".join(lost.key) / "rows.parquet"
    found = pq.read_table(path)
    values = pa.array([value] * found.num_rows, found.schema.field(column).type)
    pq.write_table(found.set_column(found.column_names.index(column), column, values), path)
    told = []
    kept = longtable.columns(store, entries, lambda *said: told.append(said))
    assert [(entry, file) for entry, file, _ in told] == [(lost, path)]
    assert why in told[0][2]
    assert len(kept["cell"]) == len(entries) - 1
    [complaint] = longtable.long_table(store).complaints
    assert why in complaint


def test_what_was_mended_is_read_again(store):
    """What was left out is told as long as it is so."""
    entries = store.shown()
    lost = next(entry for entry in entries if entry.cell.startswith("torch2.7.0"))
    path = store.run(lost.run).path / "cells" / "/".join(lost.key) / "rows.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:99])
    assert len(longtable.long_table(store).complaints) == 1
    path.write_bytes(whole)
    assert longtable.long_table(store).complaints == ()
    assert len(longtable.columns(store, entries, refuse)["cell"]) == len(entries)
