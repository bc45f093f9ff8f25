"""SQL over bundles: what it answers, what it refuses, what damaged bundles cost."""

import json
import shutil
import signal
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import feature, keep, row

from matrix import longtable, query, rowfiles
from matrix.errors import InputError
from matrix.longtable import long_table
from matrix.process import Stopped
from matrix.query import BATCH, VIEWS, opened
from matrix.store import Store

WANTS = "needs 2 devices; there is 1"


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def ask(results):
    def select(sql):
        with opened(long_table(Store(results)), threading.Event()) as database:
            return database.select(sql)

    return select


def rows_file(results, run):
    [path] = (results / "local" / "runs" / run).glob("cells/*/*/*/rows.parquet")
    return path


def test_a_feature_has_the_loudest_verdict_of_its_tests(results, ask):
    keep(
        results,
        feature("a"),
        feature("a", "fail", test="test_a.py::two", reason="boom"),
        feature("b", "fail", waiver="accepted"),
    )
    answer = ask("select feature, verdict, reason, tests from features order by feature")
    assert answer.columns == ("feature", "verdict", "reason", "tests")
    assert answer.lines == (("a", "fail", "boom", 2), ("b", "fail waived", "", 1))


def test_a_verdict_that_nobody_knows_is_as_loud_as_a_failure(results, ask):
    keep(results, feature("a"), feature("a", "splendid", test="test_a.py::two"))
    assert ask("select verdict from features").lines == (("splendid",),)


def test_the_newest_result_of_a_place_is_of_its_last_run(results, ask):
    keep(results, feature("a", "fail", recipe="new"), night=2)
    keep(results, feature("a"), feature("old"), night=1)
    answer = ask("select feature, verdict, runs from newest order by feature")
    assert answer.lines == (("a", "fail", 2), ("old", "pass", 1))


@pytest.mark.parametrize(
    ("before", "now", "shown"),
    [
        pytest.param({"verdict": "fail"}, {"verdict": "pass"}, "flaky", id="one-recipe"),
        pytest.param({"verdict": "wrong"}, {"verdict": "pass"}, "wrong", id="wrong-numbers"),
        pytest.param({"verdict": "skip"}, {"verdict": "pass"}, "pass", id="a-skip-says-nothing"),
        pytest.param({}, {"verdict": "skip"}, "skip", id="a-later-skip-is-the-newest"),
        pytest.param({}, {"verdict": "skip", "reason": WANTS}, "pass", id="fewer-devices"),
        pytest.param({"verdict": "skip", "reason": WANTS}, {"verdict": "skip"}, "skip", id="both"),
        pytest.param({"verdict": "fail", "recipe": "old"}, {}, "pass", id="another-recipe"),
        pytest.param({}, {"verdict": "not-run"}, "pass", id="not-run-is-no-evidence"),
    ],
)
def test_two_outcomes_of_one_recipe_are_flaky(results, ask, before, now, shown):
    keep(results, feature("a", **before))
    keep(results, feature("a", **now), night=2)
    assert ask("select verdict from newest").lines == ((shown,),)


SETTINGS = "e-t-{}-w-m"


@pytest.mark.parametrize(
    ("then", "shown"),
    [
        pytest.param([("b", "all")], "b", id="it-was-deleted"),
        pytest.param([("b", "chosen")], "ab", id="others-were-chosen"),
        pytest.param([("b", "chosen"), ("bc", "all")], "bc", id="deleted-after-a-choice"),
        pytest.param([("bcd", "chosen")], "bcd", id="a-larger-choice"),
    ],
)
def test_a_test_that_is_no_more_does_not_count(results, ask, then, shown):
    """As in tables: an earlier run stays that ran more tests, with other settings."""
    nights = [("ab", "all"), *then]
    for night, (names, settings) in enumerate(nights, 1):
        rows = [feature(name, recipe=SETTINGS.format(settings)) for name in names]
        keep(results, *rows, night=night)
    answer = ask("select feature from newest order by feature")
    assert "".join(name for (name,) in answer.lines) == shown
    assert {test[-1] for test in Store(results).columns(Store(results).shown())["test"]} == set(
        shown
    )


def test_releases_sort_as_numbers(results, ask):
    keep(results, *(feature("a", torch=torch) for torch in ("2.10.0", "2.9.1", "2.2.2")))
    answer = ask("select torch from newest order by release(torch)")
    assert answer.lines == (("2.2.2",), ("2.9.1",), ("2.10.0",))


def test_runs_executions_and_metrics(results, ask):
    measured = {"test": "t", "workload": "gemm", "suite": "throughput"}
    keep(
        results,
        feature("a", "wrong"),
        row(torch="2.7.0", verdict="uninstallable", reason="no wheel"),
        row(**measured, verdict="pass"),
        row(**measured, metric="time", unit="s", samples=(1.0, 2.0, 3.0), median=2.0),
    )
    assert ask("select cells, executions, tests, passed, bad from runs").lines == ((2, 3, 2, 1, 1),)
    broken = ask("select torch, verdict, reason from executions where verdict <> ''")
    assert broken.lines == (("2.7.0", "uninstallable", "no wheel"),)
    assert ask("select workload, median, samples from metrics").lines == (("gemm", 2.0, 3),)


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("select * from read_text('{secret}')", id="read"),
        pytest.param("select * from read_csv('{secret}')", id="csv"),
        pytest.param("select * from '{secret}'", id="by-name"),
        pytest.param("select * from glob('/*')", id="glob"),
        pytest.param("copy (select 1) to '{secret}.out'", id="write"),
        pytest.param("attach '{secret}.db'", id="attach"),
        pytest.param("install httpfs", id="extension"),
        pytest.param("set enable_external_access = true", id="setting"),
        pytest.param("create table t as select 1", id="table"),
        pytest.param("select 1; select 2", id="two-statements"),
        pytest.param("select * from query('copy (select 1) to ''{secret}.out''')", id="nested"),
        pytest.param("pragma threads = 1", id="pragma"),
        pytest.param("", id="nothing"),
        pytest.param("selec", id="no-sql"),
    ],
)
def test_a_statement_reaches_the_bundles_and_nothing_else(results, ask, tmp_path, sql):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    keep(results, feature("a"))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError):
        ask(sql.format(secret=secret))
    assert sorted(tmp_path.iterdir()) == before


def test_not_even_the_files_of_the_rows_can_be_written(results, ask):
    keep(results, feature("a"))
    [path] = long_table(Store(results)).files
    with pytest.raises(InputError):
        ask(f"copy (select 1) to '{path}'")
    assert ask("select count(*) from rows").lines == ((1,),)


def test_a_mistake_names_the_columns_there_are(results, ask):
    keep(results, feature("a"))
    with pytest.raises(InputError) as caught:
        ask("select cell, vedict from runs")
    assert str(caught.value) == (
        '`select cell, vedict from runs`: Referenced column "cell" not found in FROM clause!\n'
        "  - `runs` has run, first, last, cells, executions, tests, passed, bad"
    )
    with pytest.raises(InputError) as caught:
        ask("select 1 from row")
    assert str(caught.value).splitlines()[1] == f"  - there are the views {', '.join(VIEWS)}"


def test_a_stopped_query_ends(results):
    keep(results, feature("a"))
    stop = threading.Event()
    with opened(long_table(Store(results)), stop) as database:
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(Stopped):
            database.select("select count(*) from range(10000000000) a, range(10000000000) b")


ENDLESS = "select * from range(100000000000)"


def test_an_answer_of_any_length_is_read_in_parts(results):
    keep(results, feature("a"))
    with opened(long_table(Store(results)), threading.Event()) as database:
        parts = database.parts(ENDLESS)
        assert [len(next(parts).lines) for _ in range(3)] == [BATCH] * 3
        assert [part.lines for part in database.parts("select 1 where false")] == [()]


def test_a_stopped_answer_ends_between_two_parts(results):
    keep(results, feature("a"))
    stop = threading.Event()
    with opened(long_table(Store(results)), stop) as database:
        parts = database.parts(ENDLESS)
        next(parts)
        stop.set()
        with pytest.raises(Stopped):
            next(parts)


def test_rows_that_are_being_put_together_can_be_stopped(results):
    keep(results, feature("a"))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        long_table(Store(results), stop)


def test_a_query_of_too_much_memory_is_refused(ask, results, monkeypatch):
    monkeypatch.setitem(query._SETTINGS, "memory_limit", "20MB")
    keep(results, feature("a"))
    with pytest.raises(InputError, match="needs more than 768MB:\n  - ask for fewer rows"):
        ask("select list(range) from range(10000000)")


def newer(path):
    table = pq.read_table(path)
    place = table.schema.get_field_index("schema")
    pq.write_table(table.set_column(place, "schema", pa.array([2] * table.num_rows)), path)


def no_text(path):
    """A reason that is no UTF-8."""
    table = pq.read_table(path)
    place = table.schema.get_field_index("reason")
    offsets = pa.array([0, 2], pa.int32()).buffers()[1]
    reason = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff\xfe")])
    pq.write_table(table.set_column(place, "reason", reason), path)


def foreign(path):
    table = pq.read_table(path)
    place = table.schema.get_field_index("run")
    pq.write_table(table.set_column(place, "run", pa.array(["other"] * table.num_rows)), path)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-20]), "Parquet", id="cut"),
        pytest.param(lambda path: path.write_bytes(b""), "Parquet", id="empty"),
        pytest.param(no_text, "UTF8", id="no-text"),
        pytest.param(newer, "it is of schema 2, this version reads 1: update", id="newer"),
        pytest.param(foreign, "its rows are of run 'other', its folder of", id="of-another-run"),
        pytest.param(
            lambda path: pq.write_table(pa.table({"cell": ["c"]}), path),
            "it lacks the column(s) torch, variant", id="columns",
        ),
    ],
)  # fmt: skip
def test_a_damaged_bundle_is_told_every_time_and_costs_only_itself(
    results, ask, damage, why, tmp_path
):
    keep(results, feature("whole"))
    broken = keep(results, feature("broken"), night=2)
    damage(rows_file(results, broken))
    assert ask("select feature from features").lines == (("whole",),)
    for _ in range(2):
        [complaint] = long_table(Store(results)).complaints
        assert f"{rows_file(results, broken)} is left out: " in complaint
        assert why in complaint


def test_a_suite_larger_than_any_is_left_out(results, monkeypatch):
    monkeypatch.setattr(rowfiles, "MAX_ROWS", 1)
    keep(results, feature("a"), feature("b"))
    [complaint] = long_table(Store(results)).complaints
    assert "2 rows of 0 MiB are more than a suite can leave" in complaint


def test_rows_of_an_older_version_have_today_s_defaults(results, ask):
    run = keep(results, feature("a"))
    path = rows_file(results, run)
    pq.write_table(pq.read_table(path).drop_columns(["waiver", "samples", "peak_rss"]), path)
    assert ask("select waiver, samples, peak_rss from rows").lines == (("", [], None),)


def test_only_what_changed_is_read_again(results, monkeypatch):
    """A run that came to its end never changes; an interrupted one may be gone or have more."""
    keep(results, feature("a"))
    unfinished = keep(results, feature("b"), night=2, finish=False)
    first = long_table(Store(results)).files
    read = []
    inner = longtable.read_table
    monkeypatch.setattr(longtable, "read_table", lambda *a: read.append(a[1]) or inner(*a))
    assert long_table(Store(results)).files == first
    assert read == []
    keep_more = results / "local" / "runs" / unfinished
    (keep_more / "run.json").write_text("{}")
    second = long_table(Store(results)).files
    assert read == [unfinished]
    assert second[0] == first[0]
    assert not first[1].exists()


def test_rows_of_a_run_that_is_gone_are_forgotten(results, ask):
    keep(results, feature("a"))
    gone = keep(results, feature("b"), night=2)
    assert len(long_table(Store(results)).files) == 2
    shutil.rmtree(results / "local" / "runs" / gone)
    assert ask("select feature from features").lines == (("a",),)
    assert len(list((results / "local" / "rows").iterdir())) == 1


@pytest.mark.parametrize(
    ("verdict", "model", "left"),
    [
        pytest.param("uninstallable", "", [], id="everywhere"),
        pytest.param("build-failed", "NVIDIA H100", ["NVIDIA H200"], id="on-that-model"),
        pytest.param("infra", "", ["NVIDIA H100", "NVIDIA H200"], id="a-fault-says-nothing"),
    ],
)
def test_a_cell_that_broke_has_no_newest_results(results, ask, verdict, model, left):
    gpu = {"variant": "cu130", "device": "cuda"}
    keep(results, feature("a", **gpu, device_model="NVIDIA H200"))
    keep(results, feature("a", **gpu, device_model="NVIDIA H100"), night=2)
    keep(results, row(**gpu, device_model=model, verdict=verdict, reason="why"), night=3)
    found = ask("select device_model from newest order by all")
    assert [line[0] for line in found.lines] == left
    fails = feature("a", "fail", **gpu, device_model="NVIDIA H200", recipe="2")
    keep(results, fails, night=4)
    again = ask("select verdict from newest where device_model = 'NVIDIA H200'")
    assert again.lines == (("fail",),)


def test_a_month_that_is_over_is_one_file(results, ask):
    """The files of its runs are put together once, and again when one of them changes."""
    runs = [keep(results, feature("a"), feature("b", "fail"), night=day) for day in range(1, 9)]
    assert len(long_table(Store(results)).files) == 8
    keep(results, feature("a"), night=32)
    first = long_table(Store(results)).files
    assert [path.parent.name for path in first] == ["months", "rows"]
    assert long_table(Store(results)).files == first
    assert ask("select count(*), count(distinct run) from rows").lines == ((17, 9),)
    shutil.rmtree(results / "local" / "runs" / runs[0])
    keep(results, feature("a"), night=9)
    second = long_table(Store(results)).files
    assert second[0] != first[0]
    assert not first[0].exists()
    assert ask("select count(*), count(distinct run) from rows").lines == ((16, 9),)
    assert ask("select runs from newest where feature = 'a'").lines == ((9,),)


@pytest.mark.parametrize("left", [0, 3, 100])
def test_derived_files_that_were_cut_short_are_made_again(results, ask, left):
    """A full disk or a power cut leaves such: of a month that is over, and of one run."""
    for day in (*range(1, 9), 32):
        keep(results, feature("a"), night=day)
    files = long_table(Store(results)).files
    whole = [path.read_bytes() for path in files]
    for path, content in zip(files, whole, strict=True):
        path.write_bytes(content[:left])
    assert ask("select count(*) from rows").lines == ((9,),)
    assert long_table(Store(results)).files == files
    assert all(path.stat().st_size == len(old) for path, old in zip(files, whole, strict=True))


def test_a_derived_file_that_is_damaged_within_says_what_to_delete(results, ask):
    keep(results, feature("a"))
    [path] = long_table(Store(results)).files
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    path.write_bytes(bytes([*content[:4], *[0xA5] * (footer - 4), *content[footer:]]))
    with pytest.raises(InputError, match="damaged") as caught:
        ask("select feature || test from rows")
    assert "results/local" in str(caught.value)
    shutil.rmtree(path.parent)
    assert len(ask("select feature || test from rows").lines) == 1


def test_the_command_prints_a_table_csv_or_json(results, run_cli, matrix_file):
    matrix_file("")
    keep(results, feature("a", reason="=1+1"), feature("b", reason="\x1b[31mred\n"))
    sql = "select feature, tests, reason from features order by feature"
    assert run_cli("query", sql).out == (
        "feature  tests  reason\na            1  =1+1\nb            1  red\n"
    )
    assert run_cli("query", sql, "--csv").out == ("feature,tests,reason\na,1,'=1+1\nb,1,red\n")
    assert json.loads(run_cli("query", sql, "--json").out)[0] == {
        "feature": "a", "tests": 1, "reason": "=1+1",
    }  # fmt: skip
    assert run_cli("query").out.startswith("rows: schema, run, time, cell, ")
    assert run_cli("query", sql, "--csv", "--json").code == 2
    assert json.loads(run_cli("query", "select 'nan'::float as n", "--json").out) == [{"n": None}]
    wrong = run_cli("query", "select x from rows")
    assert (wrong.code, wrong.out) == (2, "")


def test_a_table_has_the_first_lines_of_a_long_answer(results, run_cli, matrix_file):
    matrix_file("")
    keep(results, feature("a"))
    done = run_cli("query", ENDLESS)
    assert done.code == 0
    assert len(done.out.splitlines()) == BATCH + 1
    assert done.err == f"more than {BATCH} lines; `--csv` prints all\n"
    assert run_cli("query", f"select * from range({BATCH})").err == f"{BATCH} line(s)\n"


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1])
def test_csv_and_json_are_whole_whatever_their_length(results, run_cli, matrix_file, count):
    matrix_file("")
    keep(results, feature("a"))
    sql = f"select range as n, [range] as l from range({count})"
    lines = run_cli("query", sql, "--csv").out.splitlines()
    assert lines == ["n,l", *(f"{n},[{n}]" for n in range(count))]
    text = run_cli("query", sql, "--json").out
    assert text == json.dumps([{"n": n, "l": [n]} for n in range(count)], indent=1) + "\n"


@pytest.mark.parametrize("options", [(), ("--csv",), ("--json",)])
def test_ctrl_c_ends_a_query(results, run_cli, matrix_file, options):
    matrix_file("")
    keep(results, feature("a"))
    threading.Timer(1.0, signal.raise_signal, [signal.SIGINT]).start()
    sql = "select * from range(20000000000000) t(n) where n = -1"
    assert run_cli("query", sql, *options).code == 130


def test_without_results_there_is_nothing_to_ask(run_cli, matrix_file):
    matrix_file("")
    assert run_cli("query", "select 1").code == 3
