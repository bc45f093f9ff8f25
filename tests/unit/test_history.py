"""Histories: since when a feature passes in a place, where it broke, what nobody knows."""

import json
import threading

import pytest
from stores import feature, keep, row

from matrix.facts import order
from matrix.history import history
from matrix.longtable import long_table
from matrix.query import opened
from matrix.reports import historypage
from matrix.store import Store
from matrix.trend import trends


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def trace(results):
    def call(name="a", how=history):
        with opened(long_table(Store(results)), threading.Event()) as database:
            return how(name, database)

    return call


def over(*verdicts, **more):
    """A row per release."""
    releases = ("2.6.0", "2.7.0", "2.8.0", "2.9.0")
    pairs = zip(releases, verdicts, strict=False)
    return [feature("a", verdict, torch=torch, **more) for torch, verdict in pairs if verdict]


@pytest.mark.parametrize(
    ("verdicts", "since", "told"),
    [
        pytest.param(
            ("unsupported", "pass", "pass"), "2.7.0",
            "passes since 2.7.0; 2.8.0 is the newest that was measured", id="since",
        ),
        pytest.param(
            ("pass", "fail", "pass"), "2.8.0",
            "passes since 2.8.0; 2.8.0 is the newest that was measured", id="broke-and-mended",
        ),
        pytest.param(
            ("pass", "pass", "wrong", "fail"), "",
            "does not pass since 2.8.0 (WRONG); 2.9.0 is the newest that was measured", id="broken",
        ),
        pytest.param(
            ("fail", "unsupported"), "",
            "passes in no release; 2.7.0 is the newest that was measured", id="never",
        ),
        pytest.param(("skip", "not-run"), "", "unknown: no run could tell", id="silent"),
        pytest.param(
            ("pass", "skip", "pass"), "2.6.0",
            "passes since 2.6.0; 2.8.0 is the newest that was measured", id="silence-between",
        ),
    ],
)  # fmt: skip
def test_where_it_passes(results, trace, verdicts, since, told):
    keep(results, *over(*verdicts))
    [place] = trace().places
    assert place.passes_since == since
    assert historypage.sentence(place).splitlines()[0] == told


def test_releases_that_did_not_run_are_unknown(results, trace):
    """Published ones since the oldest that ran, newer ones too; none is counted as a pass."""
    keep(results, *over("pass", "skip", "pass"))
    [place] = trace().places
    unknown = [release.torch for release in place.unknown]
    assert unknown[:3] == ["2.7.0", "2.7.1", "2.9.0"]
    assert "2.5.0" not in unknown
    assert unknown[-1] == "2.15.0"


def test_a_cell_that_cannot_be_installed_is_told_by_the_suite_that_has_the_feature(results, trace):
    keep(
        results,
        *over("pass"),
        row(torch="2.7.0", verdict="uninstallable", provision="", device_model=""),
        row(torch="2.8.0", verdict="infra", reason="disk full"),
        row(torch="2.9.0", verdict="uninstallable", suite="other"),
    )  # fmt: skip
    [place] = trace().places
    found = {release.torch: release for release in place.releases}
    assert found["2.7.0"].verdict == "uninstallable"
    assert not found["2.8.0"].is_known
    assert found["2.9.0"].verdict == "not measured"


def test_infrastructure_takes_nothing_away_from_what_was_seen_before(results, trace):
    keep(results, *over("pass"))
    keep(results, row(verdict="infra", reason="engine gone"), night=2)
    [place] = trace().places
    [track] = place.releases[0].tracks
    assert (track.verdict, track.newest.time[:10]) == ("pass", "2026-01-01")
    assert [sight.verdict for sight in track.sights] == ["pass", "infra"]


def test_changes_over_time_are_told(results, trace):
    for night, (verdict, recipe) in enumerate([("pass", "1"), ("pass", "2"), ("fail", "3")], 1):
        keep(results, *over(verdict, recipe=recipe, reason="boom"), night=night)
    [place] = trace().places
    [track] = place.releases[0].tracks
    assert [(s.verdict, s.time[:10]) for s in track.changes] == [
        ("pass", "2026-01-01"),
        ("fail", "2026-01-03"),
    ]
    text = historypage.render(trace())
    assert "✗ fail   2026-01-03  2026-01-03     3  pass 2026-01-01  boom\n" in text


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        pytest.param(("pass", "fail"), "flaky", id="flaky"),
        pytest.param(("wrong", "pass"), "wrong", id="wrong-numbers-stay"),
        pytest.param(("skip", "pass"), "pass", id="a-skip-is-of-the-machine"),
    ],
)
def test_two_outcomes_of_one_recipe_are_chance(results, trace, seen, verdict):
    for night, one in enumerate(seen, 1):
        keep(results, *over(one), night=night)
    [place] = trace().places
    assert place.releases[0].verdict == verdict
    assert place.passes_since == ("2.6.0" if verdict == "pass" else "")


def test_places_are_apart(results, trace):
    """Devices, models, backends, Pythons and companions; builds of a release are not."""
    gpu = {"variant": "cu124", "device": "cuda"}
    keep(
        results,
        feature("a"),
        feature("a", "fail", variant="cu124"),
        feature("a", backend="docker"),
        feature("a", python="3.12"),
        feature("a", companions="torchao==0.17.0"),
        feature("a", **gpu, device_model="NVIDIA H100"),
    )
    keep(results, feature("a", "fail", **gpu, device_model="NVIDIA H200"), night=2)
    found = {place.name: place.releases[0].verdict for place in trace().places}
    assert found == {
        "cpu Test CPU, docker, py3.11": "pass",
        "cpu Test CPU, venv, py3.11": "fail",
        "cpu Test CPU, venv, py3.11, torchao": "pass",
        "cpu Test CPU, venv, py3.12": "pass",
        "cuda NVIDIA H100, venv, py3.11": "pass",
        "cuda NVIDIA H200, venv, py3.11": "fail",
    }


def measured(torch, median, **more):
    """The number of one process that ran a workload."""
    fields = {"test": "t", "workload": "gemm", "metric": "time", "unit": "s", "better": "lower"}
    fields |= {"suite": "throughput", "median": median, "spread": 0.1, "samples": (median,)}
    return row(torch=torch, **(fields | more))


def test_numbers_over_releases_are_compared_where_the_test_is_the_same(results, trace):
    keep(results, measured("2.10.0", 1.0, source="x"), measured("2.9.0", 2.0, source="x"))
    keep(results, measured("2.10.0", 4.0, source="y"), night=2)
    [trend] = trace("gemm", trends)
    old, new = trend.courses
    assert [course.track.torch for course in trend.courses] == ["2.9.0", "2.10.0"]
    assert [value.median for value in new.values] == [1.0, 4.0]
    assert trend.ratio(new, old) is None, "the test changed"
    keep(results, measured("2.9.0", 2.0, source="y"), night=3)
    [trend] = trace("gemm", trends)
    assert trend.ratio(trend.courses[1], trend.courses[0]) == 0.5


def test_the_processes_of_a_run_are_one_number(results, trace, run_cli, matrix_file):
    """Their middle, without what was disturbed; in doubt where they do not agree."""
    for torch, medians in {"2.9.0": (1.0, 1.01, 1.02), "2.10.0": (1.0, 1.3, 2.0)}.items():
        rounds = [measured(torch, m, round=n, kind="steady") for n, m in enumerate(medians, 1)]
        again = measured(torch, 9.0, round=4, kind="steady", phase="again")
        keep(results, *rounds, again)
    keep(results, measured("2.11.0", 7.0, round=1, reason="busy"), measured("2.11.0", 1.0, round=2))
    [trend] = trace("gemm", trends)
    assert [course.values[0].median for course in trend.courses] == [1.01, 1.3, 1.0]
    assert [bool(course.values[0].why) for course in trend.courses] == [False, True, False]
    assert trend.ratio(trend.courses[1], trend.courses[0]) is None
    matrix_file("")
    assert "2.10.0  cpu      ~ 1.300" in run_cli("history", "gemm").out


def test_a_difference_within_what_runs_differ_by_is_marked(results, run_cli, matrix_file):
    """One of five runs of a release says little beside the only run of another."""
    for night, median in enumerate((12.0, 20.0, 16.0), 1):
        keep(results, measured("2.9.0", median), night=night)
    keep(results, measured("2.10.0", 14.0), measured("2.11.0", 5.0), night=9)
    matrix_file("")
    out = run_cli("history", "gemm").out
    assert "~1.14×" in out
    assert " 2.80×" in out


def test_a_test_s_source_may_stand_beside_its_outcome_only(results, trace, run_cli, matrix_file):
    """As in rows of earlier versions: another test is another number all the same."""
    for night, (source, median) in enumerate([("x", 1.0), ("y", 4.0)], 1):
        number = measured("2.9.0", median)
        outcome = row(torch="2.9.0", suite="throughput", test="t", workload="gemm",
                      verdict="pass", source=source)  # fmt: skip
        keep(results, number, outcome, night=night)
    [trend] = trace("gemm", trends)
    assert [value.source for value in trend.courses[0].values] == ["x", "y"]
    matrix_file("")
    assert "1 more of an older test" in run_cli("history", "gemm").out


def test_the_command_prints_text_or_json(results, run_cli, matrix_file):
    matrix_file("")
    keep(results, *over("pass", "fail"), feature("hostile", reason="\x1b[31m<b>\n"))
    done = run_cli("history", "a")
    assert done.out.startswith(
        "feature a: A (measured)\n\ncpu Test CPU, venv, py3.11\n"
        "does not pass since 2.7.0 (fail); 2.7.0 is the newest that was measured\n"
        "✓ 2.6.0 · ✗ 2.7.0\n"
    )
    told = json.loads(run_cli("history", "a", "--json").out)
    assert told["places"][0]["passes_since"] is None
    assert told["places"][0]["releases"][0]["executions"][0]["sights"][0]["verdict"] == "pass"
    assert "\x1b" not in run_cli("history", "hostile").out
    unknown = run_cli("history", "hostil")
    assert unknown.code == 2
    assert unknown.err.endswith("did you mean `hostile`?\n")


def test_releases_are_in_order():
    names = ["2.10.0", "2.9.1", "2.10.0rc1", "2.10.0.dev20260101", "2.10.1"]
    assert sorted(names, key=order) == [
        "2.9.1", "2.10.0.dev20260101", "2.10.0rc1", "2.10.0", "2.10.1",
    ]  # fmt: skip
