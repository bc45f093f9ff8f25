"""Two runs of one recipe that do not agree show so in every table."""

import pytest

from matrix import tables
from matrix.reports import markdown, terminal
from matrix.rows import Row

BASE = {
    "cell": "torch2.9.0-cpu-py3.11", "torch": "2.9.0", "variant": "cpu", "accelerator": "cpu",
    "python": "3.11", "execution": "venv-cpu", "backend": "venv", "runner": "local",
    "device": "cpu", "device_model": "Xeon", "provision": "built", "suite": "feature",
    "feature": "int8", "title": "int8", "test": "test_a.py::t", "recipe": "r", "evidence": "e",
}  # fmt: skip


def outcome(day, verdict, reason="", **more):
    when = {"run": f"run{day}", "time": f"2026-11-{day:02}T00:00:00Z"}
    return Row(**{**BASE, **when, "verdict": verdict, "reason": reason, **more})


def cell_of(now, *earlier):
    """Verdict of the only feature in the only column, and the reason of its problem."""
    made = tables.build([now], earlier=earlier)
    problems = made.problems
    reason = problems["reason"].iloc[0] if len(problems) else ""
    return made.features.iloc[0, 0], reason


def test_both_outcomes_are_named():
    verdict, reason = cell_of(outcome(2, "pass"), outcome(1, "fail", "boom"))
    assert verdict == "flaky"
    assert reason == "flaky (same recipe): fail in run run1 (boom); pass in run run2"


def test_a_pass_that_failed_before_is_not_green_in_any_report():
    made = tables.build([outcome(2, "pass")], earlier=[outcome(1, "crash", "SIGSEGV")])
    assert made.summary.sentence == "1 flaky (1 feature in 1 execution)."
    for text in (markdown.render(made), terminal.render(made, width=120, color=False)):
        assert "⇅ flaky" in text
        assert "crash in run run1 (SIGSEGV); pass in run run2" in text
        assert "✓ pass" not in text


def test_a_result_that_was_wrong_once_is_wrong():
    """Wrong numbers are louder than that they come and go."""
    verdict, reason = cell_of(outcome(2, "pass"), outcome(1, "wrong", "error 0.4 > 0.1"))
    assert verdict == "wrong"
    assert "WRONG in run run1 (error 0.4 > 0.1); pass in run run2" in reason


@pytest.mark.parametrize(
    ("now", "earlier"),
    [
        pytest.param(outcome(2, "pass"), outcome(1, "pass"), id="they-agree"),
        pytest.param(outcome(2, "pass"), outcome(1, "fail", recipe="s"), id="another-recipe"),
        pytest.param(outcome(2, "pass"), outcome(1, "skip"), id="it-was-skipped"),
        pytest.param(outcome(2, "pass"), outcome(1, "not-run"), id="it-did-not-run"),
        pytest.param(outcome(2, "pass"), outcome(1, "fail", device_model="Epyc"), id="machine"),
        pytest.param(outcome(2, "pass"), outcome(1, "fail", test="test_a.py::u"), id="test"),
        pytest.param(outcome(2, "pass", recipe=""), outcome(1, "fail", recipe=""), id="unknown"),
    ],
)
def test_what_has_another_cause_is_not_flaky(now, earlier):
    assert cell_of(now, earlier)[0] == "pass"


def test_a_skip_of_today_stays_a_skip():
    """It says that nothing was measured, which `flaky` would hide."""
    assert (
        cell_of(outcome(3, "skip", "no GPU"), outcome(1, "fail"), outcome(2, "pass"))[0] == "skip"
    )


def test_a_failure_that_the_user_accepts_stays_accepted():
    now = outcome(2, "fail", "boom [waived: old]", waiver="old")
    assert cell_of(now, outcome(1, "pass"))[0] == "fail waived"


def test_a_changed_driver_or_lock_is_mentioned():
    _, reason = cell_of(outcome(2, "pass"), outcome(1, "fail", "boom", evidence="other"))
    assert reason.startswith("flaky (same recipe, but lock, driver or machine differ): fail in")


def test_the_first_and_the_last_of_many_runs_are_named():
    verdicts = ["pass", "fail", "pass", "fail", "pass"]
    *earlier, now = [outcome(day, verdict) for day, verdict in enumerate(verdicts, 1)]
    assert cell_of(now, *earlier)[1] == (
        "flaky (same recipe): pass in run run1; 2 more; fail in run run4; pass in run run5"
    )


def test_earlier_runs_are_in_no_table():
    made = tables.build([outcome(2, "pass")], earlier=[outcome(1, "fail")])
    assert list(made.long["run"]) == ["run2"]
    assert list(made.long["verdict"]) == ["pass"]
    assert made.executions["first"].iloc[0] == "2026-11-02T00:00:00Z"
