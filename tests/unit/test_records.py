"""Artefacts of a cell → typed rows; every artefact is a stranger."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix import records
from matrix.records import read_probe, read_suite, signature, text
from matrix.rowfiles import read_rows
from matrix.rows import Row, Verdict, write_rows

BASE = {
    "cell": "c", "torch": "2.6.0", "variant": "cpu", "accelerator": "cpu", "python": "3.11",
    "execution": "venv-cpu", "backend": "venv", "runner": "local", "device": "cpu", "suite": "s",
}  # fmt: skip
END = {"event": "end", "status": "complete", "reason": ""}


def write(folder, *events):
    lines = [e if isinstance(e, str) else json.dumps(e) for e in events]
    (folder / "outcomes.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_suite(folder, BASE)


def passed(test="t", **more):
    return {"event": "outcome", "id": test, "verdict": "pass", **more}


def verdicts(reading):
    return {row.test: row.verdict for row in reading.rows if row.verdict}


def test_outcomes_become_rows(tmp_path):
    reading = write(
        tmp_path,
        {"event": "item", "id": "t"},
        {"event": "start", "id": "t"},
        passed(duration=1.5, feature="f", title="F", params={"n": 8, "dtype": "bf16"}, source="ab"),
        END,
    )
    [row] = reading.rows
    assert (row.test, row.verdict, row.duration, row.feature) == ("t", "pass", 1.5, "f")
    assert (row.title, row.params, row.source) == ("F", '{"dtype": "bf16", "n": 8}', "ab")
    assert (row.cell, row.suite, row.signature) == ("c", "s", "")
    assert (reading.counts, reading.complaints, reading.complete) == ({"pass": 1}, (), True)


@pytest.mark.parametrize(
    ("told", "kept"),
    [(3 << 30, 3 << 30), (None, None), ("much", None), (-1, None), (1e300, None), (10**400, None)],
)
def test_a_suite_says_how_much_memory_its_largest_process_had(tmp_path, told, kept):
    [row] = write(tmp_path, passed(), {**END, "peak_rss": told}).rows
    assert row.peak_rss == kept


def test_a_test_that_started_and_never_ended_crashed_and_the_rest_never_ran(tmp_path):
    reading = write(
        tmp_path,
        {"event": "item", "id": "a"},
        {"event": "item", "id": "b"},
        {"event": "start", "id": "a"},
    )
    assert verdicts(reading) == {"a": "crash", "b": "not-run"}
    assert [row.reason for row in reading.rows] == [
        "its process left no outcome",
        "the suite ended before it",
    ]
    assert not reading.complete


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        pytest.param([], "the suite left no report", id="empty-file"),
        pytest.param([END], "no test was collected", id="nothing-collected"),
        pytest.param([{**END, "reason": "boom"}], "boom", id="its-own-reason"),
        pytest.param(["garbage", "[1]"], "the suite left no report", id="garbage"),
    ],
)
def test_a_suite_without_outcomes_is_a_crash(tmp_path, events, reason):
    [row] = write(tmp_path, *events).rows
    assert (row.test, row.verdict, row.reason) == ("", "crash", reason)


def test_a_missing_report_is_a_crash_and_a_complaint(tmp_path):
    reading = read_suite(tmp_path, BASE)
    assert [row.verdict for row in reading.rows] == ["crash"]
    assert reading.complaints == ("outcomes.jsonl is missing",)


def test_the_last_outcome_of_a_test_counts(tmp_path):
    reading = write(tmp_path, passed(), {**passed(), "verdict": "fail", "reason": "r"}, END)
    assert verdicts(reading) == {"t": "fail"}


def metric(**more):
    return {
        "event": "metric", "id": "t", "workload": "w", "metric": "time", "unit": "s",
        "better": "lower", "samples": [1.0, 2.0, 3.0, 4.0], "work": {"flop": 8}, **more,
    }  # fmt: skip


def test_numbers_of_a_passed_test_become_a_row(tmp_path):
    reading = write(tmp_path, metric(params={"n": 2}), passed(), END)
    [row] = [row for row in reading.rows if row.metric]
    assert (row.metric, row.unit, row.better, row.verdict) == ("time", "s", "lower", "")
    assert (row.samples, row.median, row.spread) == ((1.0, 2.0, 3.0, 4.0), 2.5, 1.5)
    assert json.loads(row.params) == {"n": 2, "work.flop": 8}


def test_numbers_of_a_test_that_did_not_pass_are_dropped(tmp_path):
    reading = write(tmp_path, metric(), {**passed(), "verdict": "wrong"}, END)
    assert not [row for row in reading.rows if row.metric]
    assert reading.complaints == ("numbers of tests that did not pass were dropped",)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param([], id="none"),
        pytest.param("1", id="text"),
        pytest.param([1.0, "2"], id="one-is-text"),
        pytest.param([1.0, True], id="one-is-a-boolean"),
        pytest.param([0.0], id="zero"),
        pytest.param([-1.0], id="negative"),
        pytest.param([float("nan")], id="nan"),
        pytest.param([10**400], id="too-large-for-a-float"),
    ],
)
def test_samples_that_are_no_positive_numbers_are_refused(tmp_path, samples):
    reading = write(tmp_path, metric(samples=samples), passed(), END)
    assert not [row for row in reading.rows if row.metric]
    assert reading.complaints == ("t: samples that are no positive numbers were refused",)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        pytest.param('{"event": "outco', "1 line(s) of outcomes.jsonl cannot be read", id="cut"),
        pytest.param("[" * 100_000, "1 line(s) of outcomes.jsonl cannot be read", id="nested"),
        pytest.param('{"a": "' + "x" * 200_000 + '"}',
                     "2 line(s) of outcomes.jsonl cannot be read", id="a-line-too-long"),
        pytest.param('{"n": ' + "9" * 5000 + "}", "1 line(s) of outcomes.jsonl cannot be read",
                     id="a-number-too-long"),
        pytest.param('{"event": "outcome", "id": "x", "verdict": "great"}',
                     "unknown verdict 'great'", id="unknown-verdict"),
        pytest.param('{"event": "outcome", "id": "x", "verdict": ["pass"]}',
                     """unknown verdict "['pass']\"""", id="a-list-for-a-verdict"),
        pytest.param('{"event": "outcome", "verdict": "pass"}', "outcome without a test 'pass'",
                     id="no-id"),
        pytest.param('{"event": "outcome", "id": "x"}', "unknown verdict ''", id="no-verdict"),
        pytest.param('{"event": "outcome", "id": "x", "verdict": "excluded"}',
                     "unknown verdict 'excluded'", id="a-verdict-only-cells-have"),
    ],
)  # fmt: skip
def test_a_hostile_line_is_counted_and_others_are_unharmed(tmp_path, line, complaint):
    reading = write(tmp_path, passed("before"), line, passed("after"), END)
    assert verdicts(reading) == {"before": "pass", "after": "pass"}
    assert reading.complaints == (complaint,)


def test_a_report_without_end_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MAX_FILE", 1000)
    monkeypatch.setattr(records, "MAX_LINE", 200)
    reading = write(tmp_path, *[passed(f"t{n}") for n in range(100)], END)
    assert 0 < len(reading.rows) < 100
    assert reading.complaints == ("outcomes.jsonl is larger than 0 MiB; cut there",)
    assert not reading.complete


@pytest.mark.parametrize("depth", [10, 300, 900, *range(960, 1000, 4), 2000])
def test_values_of_any_depth_can_be_read(tmp_path, depth):
    """Near the interpreter's limit the line counts as unreadable, or its value as unspeakable."""
    nested = "[" * depth + "]" * depth
    line = f'{{"event": "outcome", "id": "t", "verdict": "pass", "reason": {nested}}}'
    reading = write(tmp_path, line, END)
    assert verdicts(reading) in ({"t": "pass"}, {"": "crash"})


def test_text_has_no_control_characters_and_an_end():
    assert text("\x1b[31mred\x1b[0m\x07\x00\ud800 a\tb\n") == "red��� a\tb\n"
    assert text(None) == ""
    assert len(text("x" * 5000)) == records.MAX_TEXT
    assert text("x" * 5000).endswith("…")


@pytest.mark.parametrize(
    ("error", "reason", "wanted"),
    [
        pytest.param({"type": "RuntimeError", "message": "at 0x7f00 in /a/b/c.py line 3\nmore"}, "",
                     "RuntimeError: at <addr> in <path> line <n>", id="error"),
        pytest.param(None, "took 3.25 s", "took <n> s", id="reason"),
        pytest.param({"type": None, "message": "  "}, "", ": ", id="empty"),
        pytest.param({"type": "E", "message": "int8 on sm_90"}, "", "E: int8 on sm_90",
                     id="names-keep-their-numbers"),
    ],
)  # fmt: skip
def test_one_cause_has_one_signature(error, reason, wanted):
    assert signature(error, reason) == wanted


def test_only_what_is_wrong_has_a_signature(tmp_path):
    reading = write(tmp_path, {**passed(), "verdict": "skip", "reason": "no GPU"}, END)
    assert [row.signature for row in reading.rows] == [""]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("[1]", id="a-list"),
        pytest.param('{"torch"', id="cut"),
        pytest.param("[" * 100_000, id="nested"),
    ],
)
def test_a_probe_that_cannot_be_read_is_empty(tmp_path, content):
    if content is not None:
        (tmp_path / "probe.json").write_text(content)
    assert read_probe(tmp_path / "probe.json") == {}


def test_a_probe_keeps_only_what_has_the_right_type(tmp_path):
    """What a cell says of itself is used further on without another look."""
    good = {"torch": "2.6.0", "devices": [{"name": "a"}], "cpu": {"model": "m"}, "errors": ["e"]}
    bad = {"devices": ["a"], "cpu": [], "errors": {"a": 1}, "power_limit_w": "700", "torch": 5}
    path = tmp_path / "probe.json"
    path.write_text(json.dumps({**good, "power_limit_w": 700.0}))
    assert read_probe(path) == {**good, "power_limit_w": 700.0}
    path.write_text(json.dumps(bad))
    assert read_probe(path) == {}


def test_rows_survive_a_file(tmp_path):
    rows = [
        Row(**BASE, test="t", verdict="pass", duration=1.0),
        Row(**BASE, metric="time", samples=(1.0, 2.0), median=1.5, install_bytes=1 << 40),
    ]
    write_rows(rows, tmp_path / "rows.parquet")
    assert read_rows(tmp_path / "rows.parquet") == rows


def test_no_rows_survive_a_file_too(tmp_path):
    write_rows([], tmp_path / "rows.parquet")
    assert read_rows(tmp_path / "rows.parquet") == []


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = ["id", "verdict", "reason", "duration", "params", "error", "samples", "work", "device",
        "feature", "title", "source", "metric", "unit", "at"]  # fmt: skip
events = st.dictionaries(st.sampled_from(KEYS), values).flatmap(
    lambda body: st.sampled_from(["item", "start", "outcome", "metric", "end", "?"]).map(
        lambda kind: {**body, "event": kind}
    )
)
lines = st.one_of(
    st.binary(max_size=60),
    events.map(lambda e: json.dumps(e).encode()),
    events.map(lambda e: json.dumps({**e, "verdict": "pass", "id": "t"}).encode()),
)


@given(st.lists(lines, max_size=8).map(b"\n".join))
@example(b"\xff\xfe\x00")
@example(b'{"event": "outcome", "verdict": {}, "id": []}')
@example(b'{"event": "outcome", "verdict": "pass", "duration": 1' + b"0" * 400 + b"}")
def test_no_bytes_can_stop_the_reader(tmp_path_factory, content):
    """Whatever a suite left, there are rows, and they can be written."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "outcomes.jsonl").write_bytes(content)
    reading = read_suite(folder, BASE)
    assert reading.rows
    assert all(row.verdict in {*Verdict} or row.metric for row in reading.rows)
    write_rows(reading.rows, folder / "rows.parquet")
    assert len(read_rows(folder / "rows.parquet")) == len(reading.rows)


def test_a_suite_says_what_its_time_went_into(tmp_path):
    spent = {"compiling": 2.0, "children": 0.5, "importing": 0.25}
    reading = write(
        tmp_path,
        {"event": "suite", "compile_cache": "cold"},
        passed("a", duration=3.0, costs=spent),
        passed("b", duration=1.0, costs={"compiling": 1.0, "children": -1, "importing": "long"}),
        {"event": "process", "starting": 1.5},
        {"event": "process", "starting": "nan"},
        END,
    )
    first, second = reading.rows
    assert (first.compiling, first.children, first.importing) == (2.0, 0.5, 0.25)
    assert (second.compiling, second.children, second.importing) == (1.0, None, None)
    assert {row.compile_cache for row in reading.rows} == {"cold"}
    assert reading.costs == {"starting": 1.5, "compiling": 3.0, "children": 0.5, "importing": 0.25}


def test_a_suite_of_before_does_not_say(tmp_path):
    reading = write(tmp_path, passed(duration=3.0), END)
    assert (reading.costs, reading.rows[0].compiling, reading.rows[0].compile_cache) == (
        {},
        None,
        "",
    )
