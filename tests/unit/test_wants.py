"""What a machine with fewer devices skips hides no result on more of them."""

import csv

import pytest
from stores import feature, keep

from matrix.store import Store
from matrix.wants import with_more_devices

WANTS = {"verdict": "skip", "reason": "needs 2 devices; there is 1"}


@pytest.fixture
def shown(tmp_path):
    """{test: (verdict, night)} of the tables' rows."""

    def read():
        store = Store(tmp_path)
        entries = store.shown()
        rows = with_more_devices(store, entries, store.columns(entries))
        names = ("test", "verdict", "run")
        lines = zip(*(rows[name] for name in names), strict=True)
        return {test[-1]: (verdict, int(run[6:8])) for test, verdict, run in lines if verdict}

    return read


def test_a_result_on_more_devices_stands_in_for_a_skip(tmp_path, shown):
    keep(tmp_path, feature("a", "wrong"), feature("b"))
    keep(tmp_path, feature("a", **WANTS), feature("b", "fail"), night=2)
    keep(tmp_path, feature("a", **WANTS), feature("b"), night=3)
    assert shown() == {"a": ("wrong", 1), "b": ("pass", 3)}


@pytest.mark.parametrize(
    ("before", "then"),
    [
        pytest.param({"verdict": "fail"}, {"verdict": "skip", "reason": "no compiler"}, id="other"),
        pytest.param({"verdict": "not-run"}, WANTS, id="it-never-ran"),
        pytest.param(WANTS, WANTS, id="never-more"),
        pytest.param({"device_model": "Other"}, WANTS, id="another-place"),
    ],
)
def test_every_other_skip_is_the_newest_result(tmp_path, shown, before, then):
    keep(tmp_path, feature("a", **before), feature("c"))
    keep(tmp_path, feature("a", **then), feature("b"), night=2)
    found = shown()
    assert found["a"] == ("skip", 2)
    assert "c" not in found, "the suite has it no more"


def test_of_several_the_last_one_that_ran_counts(tmp_path, shown):
    keep(tmp_path, feature("a", "fail"), feature("b"))
    keep(tmp_path, feature("a"), feature("b", **WANTS), night=2)
    keep(tmp_path, feature("a", **WANTS), feature("b", **WANTS), night=3)
    assert shown() == {"a": ("pass", 2), "b": ("pass", 1)}


def test_a_report_of_one_run_is_of_that_run_alone(tmp_path, run_cli, matrix_file):
    file = matrix_file('[matrix]\npython = ["3.11"]\n[[torch]]\nversion = "2.6.0"\n')
    keep(tmp_path, feature("a", "wrong"))
    run = keep(tmp_path, feature("a", **WANTS), feature("b"), night=2)
    said = {}
    for scope in ((), (run,)):
        out = tmp_path / f"out{len(scope)}"
        told = run_cli("report", *scope, "--file", file, "--results", tmp_path, "--out", out)
        assert told.code == 0, told.err
        lines = csv.DictReader((out / "features.csv").read_text(encoding="utf-8").splitlines())
        said[scope] = {line["feature"]: line["verdict"] for line in lines}
    assert said == {(): {"a": "wrong", "b": "pass"}, (run,): {"a": "skip", "b": "pass"}}
