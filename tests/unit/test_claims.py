"""Claims say what the evidence says, and name what is unknown."""

import json
from xml.etree import ElementTree

import jsonschema
import pytest
from packaging.requirements import Requirement
from stores import feature, keep, row

from matrix import facts, resources
from matrix.facts import order

RELEASES = ("2.6.0", "2.7.0", "2.8.0", "2.9.0")
NEWEST = "2.9.0"


@pytest.fixture(autouse=True)
def _published(monkeypatch):
    """Nothing newer was published."""
    until = {t: found for t, found in facts.builds().items() if order(t) <= order(NEWEST)}
    monkeypatch.setattr("matrix.history.facts.builds", lambda: until)


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def claims(run_cli, matrix_file):
    matrix_file("")

    def call(*options):
        return run_cli("claims", *options)

    return call


@pytest.fixture
def feed(claims):
    """The claims by feature and place."""

    def call(*options):
        told = json.loads(claims("--json", *options).out)["claims"]
        return {(claim["feature"], claim["place"]["name"]): claim for claim in told}

    return call


CPU = "cpu Test CPU, venv, py3.11"


def over(name, *verdicts, **more):
    pairs = zip(RELEASES, verdicts, strict=False)
    return [feature(name, verdict, torch=torch, **more) for torch, verdict in pairs if verdict]


@pytest.mark.parametrize(
    ("verdicts", "specifier", "gaps"),
    [
        pytest.param(("fail", "pass", "pass", "pass"), ">=2.7.0", ["2.7.1"], id="since"),
        pytest.param(("pass", "fail", "pass", "pass"), ">=2.8.0", [], id="since-it-was-mended"),
        pytest.param(("fail", "pass", "pass"), ">=2.7.0,<=2.8.0", ["2.7.1"], id="not-the-newest"),
        pytest.param(("fail", "pass"), "==2.7.0", [], id="one-release"),
        pytest.param(("pass", "pass", "fail"), ">=2.6.0,<=2.7.0", [], id="until-it-broke"),
        pytest.param(
            ("pass", "skip", None, "pass"), ">=2.6.0", ["2.7.0", "2.7.1", "2.8.0"], id="a-gap"
        ),
        pytest.param(("pass", None, "flaky"), "==2.6.0", [], id="flaky-is-no-pass"),
        pytest.param(("fail", "unsupported"), None, [], id="never"),
    ],
)
def test_a_claim_is_what_neighbouring_releases_say(results, feed, verdicts, specifier, gaps):
    keep(results, *over("a", *verdicts))
    claim = feed()["a", CPU]
    assert (claim["specifier"], claim["gaps"]) == (specifier, gaps)
    assert claim["ahead"][-1:] == ([] if claim["newest"] == NEWEST else [NEWEST])


def test_without_evidence_there_is_no_claim(results, feed):
    keep(results, *over("a", "skip", "not-run"), *over("b", "pass"))
    assert list(feed()) == [("b", CPU)]


def test_a_claim_names_its_evidence(results, feed):
    first = keep(results, *over("a", "pass"))
    second = keep(results, *over("a", None, "pass", variant="cu126"), night=3)
    claim = feed()["a", CPU]
    assert (claim["first_verified"], claim["last_verified"]) == ("2026-01-01", "2026-01-03")
    assert claim["variants"] == ["cpu", "cu126"]
    assert [(r["torch"], r["runs"], r["verified"]) for r in claim["releases"]] == [
        ("2.6.0", [first], "2026-01-01"),
        ("2.7.0", [second], "2026-01-03"),
    ]


def test_the_day_it_was_last_verified_is_of_a_pass(results, feed):
    """A later night in which its test did not run verifies nothing."""
    keep(results, *over("a", "pass"))
    keep(results, *over("a", "not-run"), *over("b", "pass"), night=2)
    assert feed()["a", CPU]["last_verified"] == "2026-01-01"


def test_a_release_that_cannot_be_installed_any_more_does_not_pass(results, feed):
    keep(results, *over("a", "pass", "pass"))
    keep(results, row(torch="2.7.0", verdict="uninstallable", reason="no wheel"), night=2)
    claim = feed()["a", CPU]
    assert claim["specifier"] == "==2.6.0"
    assert claim["releases"][1]["verdict"] == "uninstallable"


def test_the_feed_keeps_to_its_schema(results, claims):
    keep(
        results,
        *over("a", "pass", "wrong", reason="<b>\x1b[31m"),
        *over("a", "pass", variant="cu124", device="cuda", backend="docker", device_model=""),
        *over("a", "pass", companions="torchao==0.17.0", provision="mounted"),
        *over("b", "fail"),
    )
    schema = json.loads((resources.PACKAGE / "claims.schema.json").read_text(encoding="utf-8"))
    told = json.loads(claims("--json").out)
    checker = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    checker.check_schema(schema)
    assert len(told["claims"]) == 4
    assert list(checker.iter_errors(told)) == []
    del told["claims"][0]["gaps"]
    told["claims"][1]["surprise"] = 1
    assert len(list(checker.iter_errors(told))) == 2


EVERYWHERE = [*over("a", *["pass"] * 4), *over("b", *["pass"] * 4)]


@pytest.mark.parametrize(
    ("rows", "line", "strict"),
    [
        pytest.param(
            [*over("a", "fail", "pass", "pass", "pass"), *over("b", *["pass"] * 4)],
            "torch>=2.7.0", "torch>=2.7.0,<=2.9.0,!=2.7.1", id="both",
        ),
        pytest.param(
            [*over("a", "pass", "pass", "pass"), *over("b", None, None, "pass", "pass")],
            "torch==2.8.0", "torch==2.8.0", id="known-of-both-only",
        ),
        pytest.param(
            [*over("a", "pass", "pass", "fail"), *over("b", "pass", "pass", None, "pass")],
            "torch>=2.6.0,<=2.7.0", "torch>=2.6.0,<=2.7.0", id="one-broke",
        ),
        pytest.param(
            [*EVERYWHERE, *over("a", "fail", *["pass"] * 3, backend="docker"),
             *over("b", *["pass"] * 4, backend="docker")],
            "torch>=2.7.0", "torch>=2.7.0,<=2.9.0,!=2.7.1", id="fails-in-another-place",
        ),
        pytest.param(
            [*EVERYWHERE, *over("a", None, "pass", backend="docker"),
             *over("b", "pass", "pass", backend="docker")],
            "torch==2.7.0", "torch==2.7.0", id="measured-in-one-place-only",
        ),
    ],
)  # fmt: skip
def test_a_constraint_holds_for_all_features_in_all_places(results, claims, rows, line, strict):
    keep(results, *rows)
    options = ("--feature", "a", "--feature", "b", "--format", "constraint")
    assert claims(*options).out.splitlines()[-1] == line
    narrow = claims(*options, "--strict").out.splitlines()[-1]
    assert narrow == strict
    assert Requirement(narrow).specifier.contains(
        line.partition("=")[2].strip("=").partition(",")[0]
    )


def test_a_constraint_says_what_it_rests_on(results, claims):
    keep(results, *over("a", "fail", "pass", None, "pass"))
    assert claims("--format", "constraint").out == (
        f"# a: pass\n# on {CPU}\n# from torch 2.7.0 to 2.9.0, last verified 2026-01-01\n"
        "# unknown, admitted, `--strict` leaves them out: 2.7.1, 2.8.0\ntorch>=2.7.0\n"
    )


def test_what_passes_nowhere_in_common_is_no_constraint(results, claims):
    """A GPU on which one release ran says nothing of the others, whatever a CPU says."""
    gpu = {"variant": "cu126", "device": "cuda", "device_model": "NVIDIA H200"}
    keep(results, *over("a", "fail", "pass", "pass"), *over("a", "wrong", **gpu))
    for how in ("constraint", "badge"):
        done = claims("--feature", "a", "--format", how)
        assert (done.code, done.out) == (3, "")
        assert "pass a in all 2 places; choose with `--select`:" in done.err
        assert f"  - {CPU}: a >=2.7.0,<=2.8.0\n" in done.err
        assert "  - cuda NVIDIA H200, venv, py3.11: a ≠ WRONG\n" in done.err


def test_where_nothing_passes_there_is_no_constraint(results, claims):
    keep(results, *over("a", "fail"))
    done = claims("--format", "constraint")
    assert (done.code, done.out) == (3, "")
    assert f"no release is known to pass a:\n  - {CPU}: a ✗ fail\n" in done.err


def test_a_badge_is_a_picture_too(results, claims):
    keep(results, feature("a<b"))
    root = ElementTree.fromstring(claims("--format", "svg", "--feature", "a<b").out)
    assert root.attrib["aria-label"] == "a<b on cpu: torch 2.6.0, verified 2026-01-01"
    done = claims("--format", "svg")
    assert (done.code, "a badge is of one feature" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("verdicts", "message", "color"),
    [
        pytest.param(("fail", "pass", "pass", "pass"), "torch ≥ 2.7.0, verified 2026-01-01",
                     "brightgreen", id="since"),
        pytest.param(("pass", "pass", "fail"), "torch 2.6.0 to 2.7.0, verified 2026-01-01",
                     "yellow", id="until"),
        pytest.param(("fail", "pass"), "torch 2.7.0, verified 2026-01-01", "yellow",
                     id="newer-ones-are-unknown"),
        pytest.param(("fail",), "passes on no measured release", "red", id="never"),
    ],
)  # fmt: skip
def test_a_badge_is_what_shields_reads(results, claims, verdicts, message, color):
    keep(results, *over("a", *verdicts))
    told = json.loads(claims("--format", "badge", "--feature", "a").out)
    assert told == {"schemaVersion": 1, "label": "a on cpu", "message": message, "color": color}


def test_tables_for_people(results, claims):
    keep(results, *over("a", "pass", "pass"), *over("b|<b>", "pass", "fail"))
    text = claims().out
    assert text.startswith(f"{CPU} (measured)\nfeature  torch            variants  newest measured")
    assert "b|<b>    ==2.6.0          cpu       2.7.0 ✗ fail     2026-01-01" in text
    assert "2.7.1, 2.8.0, 2.9.0\n" in text
    page = claims("--format", "markdown").out
    assert page.startswith(f"### `{CPU}` (measured)\n\n| feature | torch |")
    assert "<b>" not in page


def test_results_are_chosen_by_cell_and_feature(results, feed):
    gpu = {"variant": "cu126", "device": "cuda", "device_model": "NVIDIA H200"}
    keep(results, *over("a", "pass"), *over("a", "pass", **gpu), *over("b", "pass"))
    assert list(feed("--select", "device==cuda")) == [("a", "cuda NVIDIA H200, venv, py3.11")]
    assert list(feed("--feature", "b")) == [("b", CPU)]


def test_what_a_selection_left_out_is_told(results, claims):
    """`since` is then of what was selected."""
    keep(results, *over("a", *["pass"] * 4))
    wanted = ("--select", "torch>=2.8")
    assert claims(*wanted).out.startswith(f"{CPU} (measured; only torch>=2.8)\n")
    assert "(measured; only `torch>=2.8`)\n" in claims(*wanted, "--format", "markdown").out
    assert "# only torch>=2.8\n" in claims(*wanted, "--format", "constraint").out


def test_all_mistakes_are_named(results, claims):
    keep(results, *over("abc", "pass"))
    done = claims("--json", "--format", "badge", "--strict", "--select", "torch>>2")
    assert done.code == 2
    assert done.err.count("\n  - ") == 4
    unknown = claims("--feature", "abd")
    assert (unknown.code, unknown.out) == (2, "")
    assert unknown.err.endswith("  - no evidence on `abd`; did you mean `abc`?\n")
