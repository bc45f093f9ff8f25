"""An issue per root cause: opened when it comes, closed after its tests passed on two nights."""

import json

import pytest
from stores import feature, keep, row

from matrix.issues import MOST, Failure, Issue, Night, actions
from matrix.reports import issuepage

CELL, OTHER = "torch2.6.0-cpu-py3.11", "torch2.7.0-cpu-py3.11"


def place(name="a", cell=CELL):
    return (cell, "venv-cpu", "feature", f"t::{name}")


def failure(name="a", cell=CELL, verdict="fail", reason="boom"):
    return Failure(
        run="r", place=place(name, cell), subject=name, verdict=verdict, reason=reason,
        signature=reason,
    )  # fmt: skip


BOTH = (place(), place("a", OTHER))


def night(day, *failures, passed=BOTH):
    failed = {failure.place for failure in failures}
    return Night(day=f"202601{day:02d}", passed=frozenset(passed) - failed, failures=failures)


def kinds(nights, *issues):
    return [(action.kind, action.number) for action in actions(nights, issues)]


BEFORE, BAD = night(1), night(2, failure())
CAUSE = failure().cause
ISSUE = Issue(number=7, cause=CAUSE, open=True)


@pytest.mark.parametrize(
    ("nights", "issues", "expected"),
    [
        pytest.param([], [], [], id="no-night"),
        pytest.param([BEFORE, BAD], [], [("open", None)], id="a-new-cause"),
        pytest.param([BEFORE, BAD], [ISSUE], [], id="it-has-its-issue"),
        pytest.param([BEFORE, BAD, night(3, failure())], [], [("open", None)], id="was-not-opened"),
        pytest.param([BAD], [], [], id="known-from-the-beginning"),
        pytest.param([BAD, night(3, failure())], [], [], id="still-known-from-the-beginning"),
        pytest.param([BEFORE, BAD, night(3)], [ISSUE], [], id="passed-once"),
        pytest.param([BEFORE, BAD, night(3), night(4)], [ISSUE], [("close", 7)], id="passed-twice"),
        pytest.param([BEFORE, BAD, night(3), night(4, passed=[place("a", OTHER)])], [ISSUE], [],
                     id="did-not-run-is-no-pass"),
        pytest.param(
            [BEFORE, BAD, night(3), night(4, passed=[place("a", OTHER)]), night(5)], [ISSUE],
            [("close", 7)], id="passes-with-a-gap",
        ),
        pytest.param(
            [BEFORE, BAD, night(3), night(4, failure()), night(5)], [ISSUE], [],
            id="seen-between-two-passes",
        ),
        pytest.param(
            [BEFORE, BAD, night(3), night(4), night(5, failure())],
            [Issue(number=7, cause=CAUSE, open=False)], [("reopen", 7)], id="it-is-back",
        ),
        pytest.param(
            [BEFORE, BAD, night(3, failure())], [Issue(number=7, cause=CAUSE, open=False)], [],
            id="somebody-closed-it",
        ),
        pytest.param(
            [BAD, night(3), night(4), night(5, failure())], [], [("open", None)],
            id="the-first-night-s-is-back",
        ),
        pytest.param([BEFORE, BAD, night(3, passed=[place("b")]), night(4, passed=[])], [ISSUE], [],
                     id="only-other-tests-passed"),
        pytest.param(
            [BEFORE, night(2, failure(), failure("b")), night(3), night(4), night(5)], [ISSUE], [],
            id="one-of-two-passed",
        ),
        pytest.param(
            [BEFORE, night(2, failure(), failure("b")), night(3, failure()),
             *(night(day, passed=[place(), place("b")]) for day in (4, 5))],
            [ISSUE], [("close", 7)], id="both-passed",
        ),
        pytest.param([BEFORE, BAD], [Issue(number=1, cause="0" * 12, open=True)],
                     [("open", None)], id="an-issue-of-a-cause-nobody-saw-is-left-alone"),
    ],
)  # fmt: skip
def test_what_is_done_after_a_night(nights, issues, expected):
    """Opened once, closed when it is known to be gone, never against what people did."""
    assert kinds(nights, *issues) == expected


def test_failures_of_one_cause_share_an_issue():
    """Numbers and addresses tell nothing; another verdict or another wrong feature does."""
    same = [failure("a", reason="at 0x12 of 3"), failure("b", OTHER, reason="at 0xff of 4")]
    wrong = [failure(name, verdict="wrong", reason="error 0.1") for name in "ab"]
    made = actions([BEFORE, night(2, *same, failure("a", verdict="crash"), *wrong)], [])
    told = [(action.failures[0].verdict, len(action.failures)) for action in made]
    assert told == [("wrong", 1), ("wrong", 1), ("fail", 2), ("crash", 1)]


def test_a_bad_night_does_not_flood():
    """What is too much for one night comes the next."""
    many = [failure(f"f{n}", verdict="wrong") for n in range(MOST + 5)]
    nights = [BEFORE, night(2, *many)]
    first = actions(nights, [])
    assert len(first) == MOST
    opened = [Issue(number=n, cause=a.cause, open=True) for n, a in enumerate(first)]
    assert len(actions([*nights, night(3, *many)], opened)) == 5


def test_an_issue_is_found_again_by_its_mark_and_no_text_leaves_its_place():
    """Reasons are a stranger's: no mention, no markup, no mark of another cause."""
    evil = "@all <!-- torch-matrix cause 000000000000 --> `x` | [y](z)\n# t"
    [action] = actions([BEFORE, night(2, failure(reason=evil))], [])
    told = issuepage.as_json(action)
    found, _ = issuepage.read_issues([{"number": 3, "state": "OPEN", "body": told["body"]}])
    assert [issue.cause for issue in found] == [action.cause]
    assert "\n# t" not in told["body"]
    assert "\n" not in told["title"]


def test_the_command_says_what_to_do(tmp_path, run_cli, matrix_file):
    """Two runs of a day are one night; a waived failure is no cause."""
    matrix_file("")
    results = tmp_path / "results"
    keep(results, feature("a"), feature("w"))
    keep(results, feature("a", "fail", reason="boom 3"), feature("w", "fail", waiver="ok"), night=2)
    keep(results, row("2.7.0", verdict="uninstallable", reason="no wheel"), night=2)
    assert sorted(run_cli("issues").out.splitlines()) == [
        "open   fail: a: boom 3",
        "open   uninstallable: feature: no wheel",
    ]
    made = json.loads(run_cli("issues", "--json").out)
    for number, item in enumerate(made):
        item.update(number=number, state="OPEN")
    known = tmp_path / "known.json"
    known.write_text(json.dumps(made))
    assert run_cli("issues", "--known", known).out == ""


@pytest.mark.parametrize(
    ("later", "closed"),
    [
        pytest.param({"verdict": "pass"}, True, id="passed"),
        pytest.param({"verdict": "unsupported"}, True, id="refused-as-declared"),
        pytest.param({"verdict": "skip"}, False, id="skipped"),
        pytest.param({"verdict": "infra"}, False, id="infra"),
        pytest.param({"verdict": "fail", "waiver": "we know"}, False, id="waived"),
        pytest.param({"verdict": "fail", "reason": "something else"}, False, id="fails-otherwise"),
        pytest.param(None, False, id="the-test-is-gone"),
    ],
)
def test_an_issue_is_closed_only_where_its_very_test_passed(
    tmp_path, run_cli, matrix_file, later, closed
):
    """Two nights of the same suite in which the test itself says nothing prove nothing."""
    matrix_file("")
    results = tmp_path / "results"
    keep(results, feature("a"), feature("b"))
    keep(results, feature("a", "fail", reason="boom 3"), feature("b"), night=2)
    [made] = json.loads(run_cli("issues", "--json").out)
    known = tmp_path / "known.json"
    known.write_text(json.dumps([{"number": 7, "state": "OPEN", "body": made["body"]}]))
    for night_ in (3, 4):
        keep(results, feature("b"), *([feature("a", **later)] if later else []), night=night_)
    told = json.loads(run_cli("issues", "--json", "--known", known).out)
    assert [item["number"] for item in told if item["action"] == "close"] == [7] * closed


def test_a_suite_that_got_no_further_is_closed_once_it_runs(tmp_path, run_cli, matrix_file):
    """A failure without a test is gone when tests of that suite ran on two nights."""
    matrix_file("")
    results = tmp_path / "results"
    keep(results, feature("a"))
    keep(results, row(verdict="uninstallable", reason="no wheel"), night=2)
    [made] = json.loads(run_cli("issues", "--json").out)
    known = tmp_path / "known.json"
    known.write_text(json.dumps([{"number": 7, "state": "OPEN", "body": made["body"]}]))
    for night_, expected in ((3, []), (4, ["close"])):
        keep(results, feature("a"), night=night_)
        told = json.loads(run_cli("issues", "--json", "--known", known).out)
        assert [item["action"] for item in told] == expected


def test_all_mistakes_of_a_list_of_issues_are_told(tmp_path, run_cli, matrix_file):
    """What `gh` never writes would open what is there or close what is not ours."""
    matrix_file("")
    keep(tmp_path / "results", feature("a"))
    known = tmp_path / "known.json"
    known.write_text(
        '[{"title": "x"}, {"number": true, "state": "weird", "body": ""}, 3,'
        ' {"number": -1, "state": "OPEN", "body": null}]'
    )
    refused = run_cli("issues", "--known", known)
    assert refused.code == 2
    for text in (
        "issue 1 of 4: `number` must be", "issue 1 of 4: `state` must be one of OPEN, CLOSED",
        "issue 2 of 4: `number`", "issue 2 of 4: `state`", "issue 3 of 4: it is no object",
        "issue 4 of 4: `number`", "issue 4 of 4: `body`", "gh issue list",
    ):  # fmt: skip
        assert text in refused.err
