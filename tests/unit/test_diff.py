"""Two runs side by side: every change is named once, and the exit code is that of a run."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from stores import feature, keep

from matrix.diff import compare, newest_pair, side
from matrix.errors import InputError
from matrix.reports import diffpage
from matrix.store import Store


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def diff(results):
    def call(before="latest~1", now="latest"):
        store = Store(results)
        return compare(side(str(before), store), side(str(now), store))

    return call


def kinds(found):
    return {
        (line.kind, line.test.rpartition("_")[2], line.verdicts) for line in diffpage.lines(found)
    }


BEFORE = (
    feature("same"), feature("broke"), feature("mended", "fail"), feature("stays", "fail"),
    feature("lost"), feature("refused"), feature("learnt", "unsupported"), feature("chance"),
)  # fmt: skip
NOW = (
    feature("same", recipe="2"), feature("broke", "wrong", recipe="2"),
    feature("mended", recipe="2"), feature("stays", "fail", recipe="2"),
    feature("refused", "unsupported", recipe="2"), feature("learnt", recipe="2"),
    feature("chance", "fail"), feature("first", "crash", recipe="2"),
)  # fmt: skip


def test_every_change_is_named(results, diff):
    keep(results, *BEFORE)
    keep(results, *NOW, night=2)
    found = diff()
    assert kinds(found) == {
        ("new", "broke", "pass → WRONG"),
        ("gone", "mended", "fail → pass"),
        ("known", "stays", "fail"),
        ("missing", "lost", "pass → not there"),
        ("now skipped", "refused", "pass → unsupported"),
        ("changed", "learnt", "unsupported → pass"),
        ("flaky", "chance", "pass → fail"),
        ("first-seen", "first", "crash"),
    }
    assert found.same == 1
    assert [line.kind for line in diffpage.lines(found)][:2] == ["new", "flaky"]


def test_executions_with_the_same_change_share_a_line(results, diff):
    torches = ("2.6.0", "2.7.0")
    keep(results, *(feature("a", torch=torch) for torch in torches))
    keep(results, *(feature("a", "fail", torch=torch, recipe="2") for torch in torches), night=2)
    [line] = diffpage.lines(diff())
    assert line.where == ("torch2.6.0-cpu-py3.11 venv-cpu", "torch2.7.0-cpu-py3.11 venv-cpu")


def test_what_only_one_run_has_is_told_with_the_reason(results, diff):
    gone = {"torch": "2.7.0"}
    keep(results, feature("a"), feature("a", **gone), feature("a", torch="2.8.0"))
    place = {"cell": "torch2.8.0-cpu-py3.11", "execution": "venv-cpu", "suite": "feature"}
    plan = {
        "excluded": [{"id": "torch2.7.0-cpu-py3.11", "reason": "no wheel any more"}],
        "fresh": [place],
    }
    keep(results, feature("a"), feature("a", torch="2.9.0"), night=2, plan=plan)
    found = diff()
    assert found.added == (("torch2.9.0-cpu-py3.11", "venv-cpu", "feature"),)
    assert list(found.left_out.values()) == [
        "excluded: no wheel any more",
        "fresh: nothing changed since an earlier run",
    ]
    assert found.excluded == {"torch2.7.0-cpu-py3.11": "no wheel any more"}
    assert diffpage.summary(found).endswith("1 unchanged, 1 added, 2 left out, 1 excluded")


def test_runs_are_named_by_id_age_or_path(results, diff, tmp_path):
    first = keep(results, feature("a"))
    second = keep(results, feature("a", "fail", recipe="2"), night=2)
    elsewhere = tmp_path / "elsewhere" / first
    shutil.copytree(results / "local" / "runs" / first, elsewhere)
    wanted = kinds(diff())
    assert [kind for kind, _, _ in wanted] == ["new"]
    assert kinds(diff(first, second)) == wanted
    assert kinds(diff(elsewhere, second)) == wanted


def test_a_folder_of_runs_is_its_newest_evidence(results, diff, tmp_path):
    """A night of several machines, beside all nights before it."""
    keep(results, feature("a", torch="2.7.0"))
    keep(results, feature("a", "fail", recipe="0"), night=2)
    keep(results, feature("a"), night=3)
    tonight = tmp_path / "tonight"
    keep(tonight, feature("a", "fail", recipe="2"), night=4)
    keep(tonight, feature("a", torch="2.7.0", recipe="2"), night=4)
    found = diff(results, tonight / "local" / "runs")
    assert kinds(found) == {("new", "a", "pass → fail")}
    assert found.same == 1


def test_what_is_no_run_is_named(results, tmp_path):
    keep(results, feature("a"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no run `latest~1` in"):
        side("latest~1", Store(results))
    with pytest.raises(InputError, match=r"name a bundle, or a folder of bundles"):
        side(str(tmp_path / "empty"), Store(results))


def test_a_damaged_bundle_is_told(results, diff):
    keep(results, feature("a"))
    run = keep(results, feature("a", "fail", recipe="2"), feature("a", torch="2.7.0"), night=2)
    [path] = (results / "local" / "runs" / run).glob("cells/torch2.7.0*/*/*/rows.parquet")
    path.write_bytes(b"cut")
    now = side("latest", Store(results))
    assert now.complaints[0].startswith(f"{path} is left out: ")
    assert len(now.rows) == 1


def test_an_entry_that_leads_elsewhere_is_no_entry(results):
    run = keep(results, feature("a"))
    path = results / "local" / "runs" / run / "run.json"
    told = json.loads(path.read_text())
    told["executions"][0]["cell"] = "../../elsewhere"
    path.write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"run\.json is damaged for 1 suite"):
        side(run, Store(results))


def test_without_names_runs_are_compared_that_have_something_in_common(
    results, run_cli, matrix_file
):
    matrix_file("")
    first = keep(results, feature("a"))
    keep(results, feature("a", torch="2.7.0"), night=2)
    last = keep(results, feature("a", "fail", recipe="2"), night=3)
    done = run_cli("diff")
    assert done.out.startswith(f"{first} → {last}: 1 new, 0 unchanged\n")
    told = f"passed over 1 newer run(s) that share no execution with `{last}`"
    assert done.err == f"matrix: {told}\n"


@pytest.mark.parametrize("others", [0, 1])
def test_runs_with_nothing_in_common_are_not_compared(results, run_cli, matrix_file, others):
    matrix_file("")
    for night in range(others):
        keep(results, feature("a", torch="2.7.0"), night=night + 1)
    last = keep(results, feature("a"), night=3)
    done = run_cli("diff")
    assert (done.code, done.out) == (3, "")
    told = f"none of the {others} earlier run(s) shares an execution with `{last}`; name the runs"
    assert told in done.err


def test_a_test_that_only_the_second_run_has_is_not_said_to_be_unknown(
    results, run_cli, matrix_file
):
    matrix_file("")
    keep(results, feature("a"))
    keep(results, feature("a", recipe="2"), feature("b", "fail"), night=2)
    assert "first-seen: wrong, without a counterpart in the first run\n" in run_cli("diff").out


@pytest.mark.parametrize(
    ("options", "verdict", "code"),
    [
        pytest.param((), "fail", 1, id="new"),
        pytest.param((), "pass", 0, id="nothing-wrong"),
        pytest.param(("--fail-on", "never"), "fail", 0, id="never"),
        pytest.param(("--fail-on", "any"), "fail", 1, id="any"),
    ],
)
def test_the_exit_code_is_that_of_a_run(results, run_cli, matrix_file, options, verdict, code):
    matrix_file("")
    keep(results, feature("a"))
    keep(results, feature("a", verdict, recipe="2"), night=2)
    assert run_cli("diff", *options).code == code


def test_the_command_prints_text_markdown_or_json(results, run_cli, matrix_file):
    matrix_file("")
    first = keep(results, feature("a"))
    second = keep(results, feature("a", "fail", recipe="2", reason="<b>\x1b[31m|boom"), night=2)
    assert run_cli("diff").out == (
        f"{first} → {second}: 1 new, 0 unchanged\n\nnew: wrong now, and was not\n"
        "  test_a.py::test_a: pass → fail\n    torch2.6.0-cpu-py3.11 venv-cpu\n    <b>|boom\n"
    )
    page = run_cli("diff", "--format", "markdown").out
    assert (
        "| new | `test_a.py::test_a` | ✓ pass → ✗ fail | `torch2.6.0-cpu-py3.11 venv-cpu` |" in page
    )
    assert "<b>" not in page
    told = json.loads(run_cli("diff", "--json").out)
    assert told["findings"][0]["change"] == "new"
    missing = run_cli("diff", "latest~7", "nope")
    assert missing.code == 2
    assert "no run `latest~7`" in missing.err
    assert "no run `nope`" in missing.err


def test_rows_of_a_newer_schema_are_not_compared(results, diff):
    keep(results, feature("a"))
    run = keep(results, feature("a", "fail", schema=2), night=2)
    now = side(run, Store(results))
    assert now.rows == ()
    assert "it is of schema 2" in now.complaints[0]
    assert pq.read_table(next(Store(results).run(run).path.rglob("rows.parquet"))).num_rows == 1


def test_a_report_begins_with_what_the_newest_run_changed(results, run_cli, matrix_file):
    """The newest evidence of all runs before it is what it is compared with."""
    matrix_file('[[torch]]\nversion = "2.6.0"\nvariants = ["cpu"]')
    keep(results, feature("a"), feature("b"))
    first = run_cli("report", "--format", "markdown").out
    assert "Beside the runs before it" not in first
    run = keep(results, feature("a", "fail", reason="boom", recipe="new"), feature("b"), night=2)
    text = run_cli("report", "--format", "markdown").out
    line = f"Beside the runs before, run `{run}` has: 1 new, 1 unchanged."
    assert text.split("\n\n")[1] == line


def test_another_gpu_is_another_place(results):
    """What two GPUs could do and one cannot is no change."""
    gpu = {"variant": "cu130", "device": "cuda"}
    first = keep(results, feature("a", **gpu, device_model="NVIDIA H200"), feature("b", suite="x"))
    now = keep(
        results,
        feature("a", "skip", **gpu, device_model="NVIDIA H100"),
        feature("b", suite="x"),
        night=2,
    )
    found = compare(*(side(run, Store(results)) for run in (first, now)))
    assert (found.changed, found.same) == ((), 1)
    assert [place[2] for place in found.added] == ["feature"]
    assert list(found.left_out.values()) == ["it ran on NVIDIA H200, now on NVIDIA H100"]


def test_a_model_that_an_older_run_does_not_name_is_no_other(results):
    """Entries of the first versions have none, and their rows do."""
    gpu = {"variant": "cu130", "device": "cuda", "device_model": "NVIDIA H200"}
    first = keep(results, feature("a", **gpu))
    for path in (results / "local" / "runs" / first).rglob("*.json"):
        path.write_text(path.read_text().replace("NVIDIA H200", ""))
    last = keep(results, feature("a", "fail", **gpu), night=2)
    assert newest_pair(Store(results)) == (first, last, 0)
    found = compare(*(side(run, Store(results)) for run in (first, last)))
    assert (found.added, found.left_out, len(found.findings)) == ((), {}, 1)
