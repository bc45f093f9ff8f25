"""What changed between runs: verdicts of tests."""

import pytest

from matrix.judge import compare
from matrix.rows import Row

ROW = {
    "cell": "c", "torch": "2.6.0", "variant": "cpu", "accelerator": "cpu", "python": "3.11",
    "execution": "venv-cpu", "backend": "venv", "runner": "local", "device": "cpu", "suite": "s",
}  # fmt: skip


def rows(verdict, **more):
    return [Row(**{**ROW, "test": "t", "verdict": verdict, **more})] if verdict else []


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        pytest.param("pass", "fail", "new", id="broke"),
        pytest.param("pass", "wrong", "new", id="wrong-numbers"),
        pytest.param("unsupported", "crash", "new", id="refusal-became-a-crash"),
        pytest.param("skip", "fail", "new", id="was-never-tried"),
        pytest.param("fail", "fail", "known", id="still-fails"),
        pytest.param("fail", "crash", "known", id="fails-otherwise"),
        pytest.param("fail", "pass", "gone", id="mended"),
        pytest.param("", "fail", "first-seen", id="no-baseline"),
        pytest.param("infra", "fail", "first-seen", id="infra-is-no-baseline"),
        pytest.param("not-run", "fail", "first-seen", id="not-run-is-no-baseline"),
        pytest.param("pass", "pass", None, id="still-passes"),
        pytest.param("pass", "infra", None, id="infra-is-no-finding"),
        pytest.param("pass", "not-run", None, id="not-run-is-no-finding"),
        pytest.param("pass", "unsupported", "now skipped", id="a-refusal-is-no-wrong-result"),
        pytest.param("pass", "", None, id="not-in-this-run"),
    ],
)
def test_a_change_has_a_name(before, now, change):
    assert [f.change for f in compare(rows(before), rows(now))] == ([change] if change else [])


@pytest.mark.parametrize("axis", ["cell", "execution", "suite", "test"])
def test_only_the_same_test_of_the_same_execution_is_compared(axis):
    finding = compare(rows("pass", **{axis: "another"}), rows("fail"))[0]
    assert finding.change == "first-seen"


def test_a_suite_that_worked_and_gets_no_further_is_new():
    """Uninstallable today, or a file that no longer collects: compared with the day it worked."""
    before = rows("pass", test="test_a.py::t")
    for test, verdict in (("", "uninstallable"), ("test_a.py", "fail")):
        found = compare(before, rows(verdict, test=test))
        assert (found[0].change, found[0].before, found[0].now) == ("new", "pass", verdict)


def test_a_test_that_is_gone_is_missing():
    """Nothing disappears without a word."""
    before = [*rows("pass", test="test_a.py::t"), *rows("pass", test="test_a.py::u")]
    [finding] = compare(before, rows("pass", test="test_a.py::t"))
    assert (finding.change, finding.test) == ("missing", "test_a.py::u")


def test_a_finding_says_where_and_what():
    [finding] = compare(rows("pass"), rows("fail", reason="boom"))
    assert (finding.cell, finding.execution, finding.suite, finding.test) == (
        "c", "venv-cpu", "s", "t",
    )  # fmt: skip
    assert (finding.before, finding.now, finding.reason) == ("pass", "fail", "boom")


def test_metrics_have_no_verdict_to_compare():
    assert compare([], [Row(**ROW, test="t", metric="time", samples=(1.0,))]) == []


def on(model, verdict, **more):
    return rows(verdict, execution="docker-cuda", device="cuda", device_model=model, **more)


def test_another_gpu_model_is_no_baseline():
    before = [*on("H100", "pass"), *on("H200", "fail"), *on("H200", "pass", test="other")]
    assert [f.change for f in compare(before, on("H100", "fail"))] == ["new"]
    assert [f.change for f in compare(before, on("H300", "fail"))] == ["first-seen"]
    [finding, _] = compare(before, on("H200", "fail"))
    assert (finding.change, finding.before) == ("known", "fail")


def test_a_cell_that_reaches_no_gpu_today_is_compared_with_the_day_it_did():
    before = on("H100", "pass", test="test_a.py::t")
    assert [f.change for f in compare(before, on("", "uninstallable", test=""))] == ["new"]


def test_another_processor_is_a_baseline():
    before = rows("pass", device_model="Xeon")
    assert [f.change for f in compare(before, rows("fail", device_model="EPYC"))] == ["new"]


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        pytest.param("pass", "fail", "flaky", id="broke"),
        pytest.param("wrong", "pass", "flaky", id="mended-itself"),
        pytest.param("fail", "crash", "flaky", id="fails-otherwise"),
        pytest.param("pass", "unsupported", "flaky", id="refuses-sometimes"),
        pytest.param("pass", "skip", "now skipped", id="a-skip-is-of-the-machine"),
        pytest.param("fail", "fail", "known", id="the-same-again"),
        pytest.param("pass", "pass", None, id="still-passes"),
    ],
)
def test_another_verdict_of_the_same_recipe_is_flaky(before, now, change):
    found = compare(rows(before, recipe="r"), rows(now, recipe="r"))
    assert [f.change for f in found] == ([change] if change else [])
    assert [(f.before, f.now) for f in found] == ([(before, now)] if change else [])


def test_another_recipe_is_a_cause():
    """Then what changed is known, and the finding is an ordinary one."""
    [finding] = compare(rows("pass", recipe="r"), rows("fail", recipe="s"))
    assert finding.change == "new"


def test_what_is_waived_is_not_flaky_either():
    assert compare(rows("pass", recipe="r"), rows("fail", recipe="r", waiver="known")) == []
