"""The pages of features and of changes say what was measured, and name what was not."""

import pytest

from matrix import tables
from matrix.facts import changes as facts
from matrix.facts import natural
from matrix.facts.changes import Change, gate, minors
from matrix.features import Case, Feature
from matrix.reports import changespage, featurepage
from matrix.reports.featurepage import since
from matrix.rows import Row

CHANGES = """\
id,torch,area,severity,change,source,status,observe,observed_by
gqa,2.5,attention,high,grouped queries arrive,notes v2.5.0,confirmed,feature,sdpa-gqa
safe,2.6,loading,high,safe by default,notes v2.6.0,confirmed,feature,safe;sdpa-gqa
tf32,2.13,numerics,low,new switch,notes v2.13.0,unconfirmed,feature,nowhere
cuda,2.11,packaging,high,default is CUDA 13,wheel,confirmed,gated,default-variant
abi,2.7,abi,high,C++11 ABI,notes v2.7.0,confirmed,gated,abi
hub,2.11,loading,low,stricter | <b>,notes v2.11.0,confirmed,none,needs a network
"""
OLD = "torch,area,severity,change,source,status\n2.0,packaging,high,old row,notes,confirmed\n"


def row(torch, feature="sdpa-gqa", verdict="pass", reason="", device="cpu", **fields):
    model = "NVIDIA H200" if device == "cuda" else "Xeon 8481C"
    default = {
        "run": "run1", "time": "2026-11-22T03:00:00Z", "cell": f"torch{torch}-cpu-py3.11",
        "torch": torch, "variant": "cpu", "accelerator": "cpu", "backend": "venv",
        "runner": "local", "device": device, "suite": "feature", "feature": feature,
        "title": feature, "verdict": verdict, "reason": reason, "test": f"test_a.py::{feature}",
        "device_model": model, "execution": f"venv-{device}", "python": "3.11",
        "provision": "built",
    }  # fmt: skip
    return Row(**default | fields)


def build(*rows, changes=CHANGES):
    return tables.build(rows, changes=facts.read(changes.splitlines()))


def findings(made, **wanted):
    lines = made.changes.to_dict("records")
    return [x for x in lines if all(x[name] == value for name, value in wanted.items())]


# --- changes ---------------------------------------------------------------------------------


def test_a_change_is_seen_where_its_nearest_measured_neighbours_differ():
    rows = [row("2.2.2"), row("2.4.1", verdict="unsupported", reason="no such argument")]
    made = build(*rows, row("2.5.1"), row("2.9.0", verdict="fail"))
    [line] = findings(made, id="gqa")
    assert line["finding"] == "seen"
    assert (line["before"], line["was"]) == ("2.4.1", "unsupported")
    assert (line["since"], line["now"]) == ("2.5.1", "pass")
    assert (line["between"], line["why"]) == ((), "no such argument")


def test_a_change_that_does_not_show_keeps_both_verdicts():
    [line] = findings(build(row("2.4.1"), row("2.5.0")), id="gqa")
    assert (line["finding"], line["was"], line["now"]) == ("not seen", "pass", "pass")


def test_releases_that_lie_between_the_neighbours_are_named():
    """The flip may be theirs: the row is still seen, but not proven to be of that release."""
    made = build(row("2.2.2", verdict="unsupported"), row("2.6.0"))
    [line] = findings(made, id="gqa")
    assert (line["finding"], line["between"]) == ("seen", ("2.3", "2.4", "2.5"))
    page = changespage.render(made)
    assert "| 2.2.2 – unsupported | 2.6.0 ✓ pass | seen; not run between: 2.3, 2.4, 2.5 |" in page


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="nothing"),
        pytest.param([row("2.4.1")], id="only-before"),
        pytest.param([row("2.5.1"), row("2.6.0")], id="only-since"),
        pytest.param([row("2.4.1", verdict="skip"), row("2.5.1")], id="a-skip-says-nothing"),
        pytest.param([row("2.4.1", feature="other"), row("2.5.1")], id="another-feature"),
        pytest.param([row("2.4.1", python="3.12"), row("2.5.1")], id="another-python"),
        pytest.param([row("2.4.1", device="cuda"), row("2.5.1")], id="another-device"),
        pytest.param([row("2.4.1", device_model="Epyc"), row("2.5.1")], id="another-machine"),
        pytest.param([row("2.4.1", backend="docker"), row("2.5.1")], id="another-backend"),
    ],
)
def test_without_both_neighbours_in_one_place_nothing_is_claimed(rows):
    made = build(*rows)
    assert [x["finding"] for x in findings(made, id="gqa")] == ["neighbours not run"]
    assert "neighbours not run" in changespage.render(made)


def test_what_passes_by_chance_shows_no_change():
    earlier = [row("2.5.1", verdict="fail", recipe="r")]
    now = [row("2.4.1"), row("2.5.1", recipe="r", run="run2", time="2026-11-23T03:00:00Z")]
    made = tables.build(now, earlier=earlier, changes=facts.read(CHANGES.splitlines()))
    [line] = findings(made, id="gqa")
    assert (line["finding"], line["now"]) == ("not seen", "flaky")


def test_a_change_counts_once_whatever_number_of_features_and_places_show_it():
    both = [row(t, f, v, device=d) for t, v in (("2.5.1", "unsupported"), ("2.6.0", "pass"))
            for f in ("safe", "sdpa-gqa") for d in ("cpu", "cuda")]  # fmt: skip
    made = build(*both)
    assert len(findings(made, id="safe", finding="seen")) == 4
    page = changespage.render(made)
    assert "- measured by a feature: 3 changes (1 seen, 2 neighbours not run)\n" in page
    assert "- gated: 2 changes (1 seen, 1 not evaluated)\n" in page
    assert "- neither: 1 change (1 not observable)\n" in page


def test_a_gated_change_is_compared_in_the_published_builds():
    [line] = findings(build(), id="cuda")
    assert line["finding"] == "seen"
    assert line["why"].startswith("2.10.0 and 2.11.0: default variant ")
    [line] = findings(build(), id="abi")
    assert (line["finding"], line["observe"]) == ("not evaluated", "gated")


@pytest.mark.parametrize(
    ("check", "wanted"),
    [
        pytest.param("triton", (True, "1.0 and 2.0: triton (default) 3 → 4"), id="a-column"),
        pytest.param("variants", (True, "1.0 and 2.0: variants a b → a"), id="variants"),
        pytest.param("cudnn", (False, "1.0 and 2.0: no difference in what it names"), id="same"),
        pytest.param("nccl", (False, "1.0 and 2.0: no difference in what it names"), id="unknown"),
        pytest.param("abi", (None, "no check of the published builds is named by it"), id="none"),
    ],
)
def test_a_gate_says_what_differs_and_never_guesses(check, wanted):
    build = {"kind": "pypi-default", "triton": "3", "cudnn": "9", "nccl": "1"}
    rows = [
        {"torch": "1.0", "variant": "a", **build},
        {"torch": "1.0", "variant": "b", **build, "kind": "stable"},
        {"torch": "2.0", "variant": "a", **build, "triton": "4", "nccl": "unconfirmed"},
    ]
    change = Change(
        id="x", torch="2.0", area="", severity="", change="", source="", status="",
        observe="gated", observed_by=check,
    )  # fmt: skip
    shown, why = gate(change, rows)
    assert (shown, why.replace("; triton (a) 3 → 4", "")) == wanted


def test_rows_without_the_columns_are_not_linked():
    """The file may be older than the columns; nothing is claimed then."""
    made = build(changes=OLD)
    assert [x["finding"] for x in findings(made)] == ["not linked"]
    assert "## Not linked to a check\n\n- 2.0 packaging: old row (notes)\n" in changespage.render(
        made
    )


def test_text_of_a_change_cannot_break_the_page():
    page = changespage.render(build())
    assert "- 2.11 loading: stricter \\| &lt;b> (notes v2.11.0): needs a network\n" in page


def test_the_published_file_can_be_read():
    assert len(facts.changes()) > 40
    assert all(change.observe in {"feature", "gated", "none"} for change in facts.changes())
    assert list(minors()) == sorted(minors(), key=natural)


# --- regressions -----------------------------------------------------------------------------


def test_what_passed_failed_and_passes_again_is_named_with_its_error():
    rows = [row("2.8.0", "x"), row("2.9.0", "x", "fail", "KeyError: 'a'"), row("2.10.0", "x")]
    made = build(*rows)
    [line] = made.regressions.to_dict("records")
    assert (line["before"], line["torch"], line["again"]) == ("2.8.0", "2.9.0", "2.10.0")
    assert (
        "- ✗ fail `x` in 2.9.0, which passes in 2.8.0; passes again in 2.10.0 "
        "(`cpu Xeon-8481C, venv, py3.11`): `KeyError: 'a'`\n"
    ) in changespage.render(made)


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        pytest.param([row("2.8.0", "x"), row("2.9.0", "x", "unsupported")], 1, id="removed"),
        pytest.param([row("2.8.0", "x", "fail"), row("2.9.0", "x", "crash")], 0, id="never-passed"),
        pytest.param([row("2.8.0", "x"), row("2.9.0", "x", "skip")], 0, id="skipped"),
        pytest.param([row("2.8.0", "x"), row("2.9.0", "x", "fail", python="3.12")], 0, id="python"),
        pytest.param([row("2.4.0"), row("2.5.0", verdict="fail")], 0, id="a-change-names-it"),
        pytest.param([row("2.7.0"), row("2.8.0", verdict="fail")], 1, id="a-change-of-another"),
        pytest.param([row("2.10.0", "x"), row("2.9.0", "x", "fail")], 0, id="mended-in-2.10"),
    ],
)
def test_only_what_no_change_explains_is_a_regression(rows, count):
    assert len(build(*rows).regressions) == count


# --- features --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "wanted"),
    [
        pytest.param(
            [("2.2", "unsupported"), ("2.6", "pass"), ("2.9", "pass"), ("2.15", "pass")],
            ("2.6", "passes in 2.6 … 2.15; unsupported in 2.2"),
            id="since",
        ),
        pytest.param(
            [("2.2", "pass"), ("2.5", "fail"), ("2.6", "pass"), ("2.9", "pass")],
            ("2.6", "passes in 2.2, 2.6, 2.9; fails in 2.5"),
            id="a-hole-is-named",
        ),
        pytest.param(
            [("2.2", "pass"), ("2.5", "wrong")],
            ("–", "passes in 2.2; WRONG in 2.5"),
            id="not-the-newest",
        ),
        pytest.param(
            [("2.2", "pass")], ("2.2 (the oldest measured)", "passes in 2.2"), id="only-one"
        ),
        pytest.param(
            [("2.2", "pass"), ("2.5", "skip")], ("–", "passes in 2.2; skipped in 2.5"), id="skip"
        ),
        pytest.param([], ("–", ""), id="nothing"),
    ],
)
def test_since_when_a_feature_passes(points, wanted):
    assert since(points) == wanted


DECLARED = (
    Feature(
        id="sdpa-gqa", group="attention", title="Grouped queries", purpose="Engines share heads.",
        needs=("compiler",), refusals=1, tests=(Case(name="test_gqa", doc="Eight share two."),),
    ),
    Feature(
        id="never", group="attention", title="", purpose="", needs=(), refusals=0,
        tests=(Case(name="test_never", doc=""),),
    ),
)  # fmt: skip


def test_the_feature_page():
    """What it is, what its tests show, where it passes since when, why not, and what never ran."""
    rows = [
        row("2.2.2", verdict="fail", reason="RuntimeError: Numpy is not available"),
        row("2.6.0"),
        row("2.9.0"),
        row("2.10.0", feature="gone"),
    ]
    page = featurepage.render(build(*rows), DECLARED)
    assert (
        "| `cpu Xeon-8481C, venv, py3.11` | 2.2.2, 2.6.0, 2.9.0, 2.10.0 | 2.3, 2.4, 2.5, 2.7, 2.8 |"
        in page
    )
    whole = """\
### `sdpa-gqa`: Grouped queries

Engines share heads.

- `test_gqa`: Eight share two.
- needs `compiler`, else it is skipped
- 1 way(s) in which torch may refuse it are declared: `unsupported`

| place | passes since | measured |
| --- | --- | --- |
| `cpu Xeon-8481C, venv, py3.11` | 2.6.0 | passes in 2.6.0, 2.9.0; fails in 2.2.2 |

- ✗ fail `sdpa-gqa` in `2.2.2`: `RuntimeError: Numpy is not available`
  - cause: torch up to 2.2 is built against NumPy 1 and cannot use NumPy 2 (https://github.com/pytorch/pytorch/issues/107302)
  - fix: `pip install "numpy<2"`

Never ran in `2.10.0`.

### `never`

No purpose is declared.

- `test_never`

Never ran in what is measured here.

## In results only
"""
    assert whole in page
    assert "### `gone`" in page


def test_without_results_no_feature_works():
    page = featurepage.render(build(), DECLARED)
    assert "Nothing has been measured yet." in page
    assert page.count("Never ran in what is measured here.") == 2
    assert "passes" not in page.partition("## attention")[2]
