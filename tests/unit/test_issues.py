"""An issue per root cause: opened when it comes, closed after two nights that ran without it."""

import json

import pytest
from stores import feature, keep, row

from matrix.issues import MOST, Failure, Issue, Night, actions
from matrix.reports import issuepage

PLACE = ("torch2.6.0-cpu-py3.11", "venv-cpu", "feature")
OTHER = ("torch2.7.0-cpu-py3.11", "venv-cpu", "feature")


def failure(name="a", place=PLACE, verdict="fail", reason="boom"):
    return Failure(
        run="r", place=place, test=f"t::{name}", subject=name, verdict=verdict, reason=reason,
        signature=reason,
    )  # fmt: skip


def night(day, *failures, ran=(PLACE, OTHER)):
    return Night(day=f"202601{day:02d}", ran=frozenset(ran), failures=failures)


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
        pytest.param([BEFORE, BAD, night(3)], [ISSUE], [], id="one-silent-night"),
        pytest.param([BEFORE, BAD, night(3), night(4)], [ISSUE], [("close", 7)], id="two"),
        pytest.param([BEFORE, BAD, night(3), night(4, ran=[OTHER])], [ISSUE], [],
                     id="did-not-run-is-not-silent"),
        pytest.param(
            [BEFORE, BAD, night(3), night(4, ran=[OTHER]), night(5)], [ISSUE], [("close", 7)],
            id="silent-with-a-gap",
        ),
        pytest.param(
            [BEFORE, BAD, night(3), night(4, failure()), night(5)], [ISSUE], [],
            id="seen-between-two-silent-nights",
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
    found = issuepage.read_issues([{"number": 3, "state": "OPEN", "body": told["body"]}])
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
    known.write_text('[{"title": "no number"}]')
    refused = run_cli("issues", "--known", known)
    assert refused.code == 2
    assert "does not list issues (an issue has no `number`)" in refused.err
