"""What changed between runs."""

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
        pytest.param("pass", "unsupported", None, id="a-refusal-is-no-wrong-result"),
        pytest.param("pass", "", None, id="not-in-this-run"),
    ],
)
def test_a_change_has_a_name(before, now, change):
    assert [f.change for f in compare(rows(before), rows(now))] == ([change] if change else [])


@pytest.mark.parametrize("axis", ["cell", "execution", "suite", "test"])
def test_only_the_same_test_of_the_same_execution_is_compared(axis):
    [finding] = compare(rows("pass", **{axis: "another"}), rows("fail"))
    assert finding.change == "first-seen"


def test_a_finding_says_where_and_what():
    [finding] = compare(rows("pass"), rows("fail", reason="boom"))
    assert (finding.cell, finding.execution, finding.suite, finding.test) == (
        "c", "venv-cpu", "s", "t",
    )  # fmt: skip
    assert (finding.before, finding.now, finding.reason) == ("pass", "fail", "boom")


def test_metrics_have_no_verdict_to_compare():
    assert compare([], [Row(**ROW, test="t", metric="time", samples=(1.0,))]) == []
