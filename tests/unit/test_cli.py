"""Arguments, printing, exit codes: the commands as a user calls them, on recorded artefacts."""

import itertools
import json
import os
import re
import shutil
import signal
import time
from datetime import timedelta
from importlib import metadata

import pytest
from stores import feature, keep

from matrix import cli, errors, execution, plan, rows, store
from matrix.backends.replay import ReplayBackend
from matrix.process import Stopped
from matrix.store import Store

ONE_CELL = """
[[torch]]
version = "2.6.0"
variants = ["cpu"]
python = ["3.11"]
[profiles.default]
suites = ["feature"]
"""
REPLAY = ("--backend", "replay")
RERUN = ("--rerun", "all")


@pytest.fixture
def outcome(world):
    return world.outcome


@pytest.fixture
def replay(run_cli, record, matrix_file):
    """Run one cell on these recorded outcomes."""
    matrix_file(ONE_CELL)

    def call(*events, options=(), probe=None):
        recording = record(*events, probe=probe)
        return run_cli("run", *REPLAY, "--recording", recording, *options)

    return call


@pytest.fixture
def ticking(monkeypatch):
    """Every look at the clock is a second later: two runs of one second have no order."""
    begun = store.utc_now()
    seconds = itertools.count()
    for module in (store, execution):
        monkeypatch.setattr(module, "utc_now", lambda: begun + timedelta(seconds=next(seconds)))


def test_a_run_of_passing_tests_ends_0(replay, outcome):
    done = replay(outcome("test_a.py::t", feature="bf16", title="bfloat16"))
    assert done.code == errors.OK
    assert "bfloat16" in done.out
    assert "wrong results: none" in done.err


def test_failures_without_a_baseline_are_first_seen_and_end_0(replay, outcome):
    done = replay(outcome("t", "fail", reason="boom"))
    assert done.code == errors.OK
    assert "wrong results: 1 first-seen" in done.err


@pytest.mark.parametrize(
    ("fail_on", "before", "now", "code"),
    [
        pytest.param("new", "pass", "fail", 1, id="new-and-new"),
        pytest.param("new", "pass", "wrong", 1, id="new-wrong-numbers"),
        pytest.param("new", "fail", "fail", 0, id="new-but-known"),
        pytest.param("new", "fail", "pass", 0, id="new-but-mended"),
        pytest.param("any", "fail", "fail", 1, id="any-and-known"),
        pytest.param("any", "fail", "pass", 0, id="any-but-mended"),
        pytest.param("any", "pass", "unsupported", 0, id="any-but-refused"),
        pytest.param("never", "pass", "crash", 0, id="never"),
    ],
)
def test_which_wrong_results_end_1(replay, outcome, fail_on, before, now, code):
    replay(outcome("t", before), options=("--json",))
    done = replay(outcome("t", now), options=("--json", "--rerun", "all", "--fail-on", fail_on))
    assert done.code == code
    if before == "pass" and now in {"fail", "wrong", "crash"}:
        assert f"NEW    torch2.6.0-cpu-py3.11 t: {now}" in done.err


def test_wrong_numbers_are_the_last_thing_a_run_says(replay, outcome):
    """Whatever the exit code: without a baseline it is 0."""
    done = replay(outcome("t", "wrong", feature="a"), outcome("u", "wrong"), outcome("v", "fail"))
    assert done.code == errors.OK
    assert re.fullmatch(
        r"WRONG NUMBERS  torch2.6.0-cpu-py3.11 replay-cpu feature: 2 tests ran and gave wrong "
        r"numbers; `python -m matrix report 2\w+-\w+` names them",
        done.err.splitlines()[-1],
    )
    again = replay(outcome("t", "wrong", feature="a"), outcome("u", "wrong"), outcome("v", "fail"))
    assert again.err.startswith("nothing to do")
    assert again.err.splitlines()[-1] == done.err.splitlines()[-1]
    assert "WRONG NUMBERS" not in replay(outcome("t", "fail")).err


def test_pages_are_of_everything_or_not_there(replay, outcome, run_cli, tmp_path):
    """Of a part of the results they would say that the rest never ran."""
    replay(outcome("test_attention.py::t", feature="sdpa", title="SDPA"))
    local = tmp_path / "results" / "local" / "tables"
    assert "### `sdpa`: Scaled dot product attention" in (local / "FEATURES.md").read_text()
    assert (local / "CHANGES.md").read_text().startswith("# What releases changed\n")
    assert run_cli("report", "latest", "--out", tmp_path / "part").code == errors.OK
    assert (tmp_path / "part" / "README.md").is_file()
    assert not (tmp_path / "part" / "FEATURES.md").exists()
    assert run_cli("report", "--publish", "latest").code == errors.OK
    for name in ("README.md", "FEATURES.md", "CHANGES.md"):
        assert (tmp_path / "results" / name).is_file()


@pytest.mark.usefixtures("ticking")
def test_runs_of_one_recipe_that_disagree_are_flaky(replay, outcome, monkeypatch):
    """Said by the run and shown in its tables; what is wrong now ends 1, by chance or not."""
    monkeypatch.setattr(plan, "recipe", lambda *_: "the same")
    fields = {"feature": "sdpa", "title": "SDPA"}
    replay(outcome("test_a.py::t", **fields))
    again = replay(outcome("test_a.py::t", "fail", reason="boom", **fields), options=RERUN)
    assert again.code == errors.NEW_WRONG
    assert "FLAKY  torch2.6.0-cpu-py3.11 test_a.py::t: pass, then fail\n" in again.err
    assert "⇅ flaky" in again.out
    mended = replay(outcome("test_a.py::t", **fields), options=RERUN)
    assert mended.code == errors.OK
    assert "FLAKY  torch2.6.0-cpu-py3.11 test_a.py::t: fail, then pass\n" in mended.err
    assert "⇅ flaky" in mended.out


def test_a_second_run_does_nothing_and_says_why(replay, outcome):
    replay(outcome("t"), options=("--json",))
    done = replay(outcome("t"))
    assert done.code == errors.OK
    assert done.out.startswith(
        "fresh  torch2.6.0-cpu-py3.11 replay-cpu feature: recipe unchanged since 2"
    )
    assert done.err.startswith("nothing to do: 1 suite(s) are fresh; `python -m matrix report`")


def test_another_recording_is_not_fresh_and_a_replay_of_a_replay_is(replay, outcome, run_cli):
    first = json.loads(replay(outcome("t"), options=("--json",)).out)
    again = run_cli("run", *REPLAY, "--recording", first["bundle"], "--json")
    assert json.loads(again.out)["run"] is None
    other = replay(outcome("t", "fail"), options=("--json",))
    assert json.loads(other.out)["executions"][0]["counts"] == {"fail": 1}


def test_a_replay_keeps_the_time_of_its_recording_and_says_that_it_is_one(
    replay, outcome, record, run_cli, tmp_path
):
    folder = record(outcome("t", feature="bf16")) / "cells" / "torch2.6.0-cpu-py3.11"
    entry = {"started": "2025-01-02T05:04:05+02:00"}
    (folder / "venv-cpu" / "feature" / "execution.json").write_text(json.dumps(entry))
    replay(outcome("t", feature="bf16"))
    [row] = json.loads(run_cli("report", "--json").out)
    assert (row["time"], row["backend"]) == ("2025-01-02T03:04:05+00:00", "replay")
    [made] = Store(tmp_path / "results").newest()
    assert (made.started, made.provision) == ("2025-01-02T03:04:05+00:00", "replayed")
    assert "measured 2025-01-02 on cpu Test CPU; replay, replayed" in run_cli("report").out


@pytest.mark.parametrize("entry", ["{", "[]", '{"started": 5}', '{"started": "soon"}', "{}"])
def test_a_recording_that_does_not_say_when_is_of_now(replay, outcome, record, entry, tmp_path):
    folder = record(outcome("t")) / "cells" / "torch2.6.0-cpu-py3.11" / "venv-cpu" / "feature"
    (folder / "execution.json").write_text(entry)
    replay(outcome("t"), options=("--json",))
    [made] = Store(tmp_path / "results").newest()
    assert made.started[:4] == str(store.utc_now().year)


def test_a_fresh_failure_still_ends_1_where_any_failure_does(replay, outcome):
    replay(outcome("t", "fail"), options=("--json",))
    assert replay(outcome("t", "fail"), options=("--fail-on", "any")).code == 1
    assert replay(outcome("t", "fail")).code == errors.OK


def test_a_plan_says_what_a_run_would_do(replay, outcome, run_cli):
    replay(outcome("t"), options=("--json",))
    fresh = run_cli("plan", *REPLAY)
    assert (fresh.code, fresh.out.split(":")[0]) == (
        0, "fresh  torch2.6.0-cpu-py3.11 replay-cpu feature",
    )  # fmt: skip
    again = run_cli("plan", *REPLAY, "--rerun", "all")
    assert again.out.startswith("run    torch2.6.0-cpu-py3.11 replay-cpu feature: asked for; about")
    assert again.err.startswith("backend replay on local\n1 job(s) on ")


def test_a_mistaken_environment_is_infrastructure_and_tried_again(replay, outcome, world):
    other = {**world.probe_of(), "torch": "2.7.0+cpu"}
    done = replay(outcome("t"), probe=other, options=("--json",))
    assert done.code == errors.InfrastructureError.exit_code
    again = replay(outcome("t"), options=("--json",))
    assert again.code == errors.OK
    assert "wrong results: none" in again.err


def test_a_cell_without_a_device_is_a_row_and_not_run_again(run_cli, matrix_file, record):
    matrix_file(ONE_CELL.replace('["cpu"]', '["rocm6.2.4"]'))
    arguments = ("run", *REPLAY, "--recording", record())
    done = run_cli(*arguments)
    assert done.code == errors.OK
    assert "no rocm device on runner `local`" in done.out
    again = run_cli(*arguments)
    assert again.out.startswith("no-runner  torch2.6.0-rocm6.2.4-py3.11 replay-rocm feature")


def test_mistakes_of_the_file_end_2_with_all_of_them(run_cli, matrix_file):
    path = matrix_file("[[torch]]\nversion = '2.66.0'\nvariant = ['cpu']")
    done = run_cli("list")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"matrix: `{path}` has 2 mistake(s):\n"
        "  - torch[0].variant: unknown key; did you mean `variants`?\n"
        "  - torch[0].version: torch 2.66.0 does not exist in the facts of 2026-11-22; "
        "did you mean `2.6.0`?\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["list", "--select", "torch=2"], "the selection cannot be read:\n  - expected "
                     "one of == != < <= > >= ~ after `torch` at column 6 of `torch=2`",
                     id="selection"),
        pytest.param(["run", "--profile", "defualt"], "no profile `defualt`\n"
                     "  - did you mean `default`?", id="profile"),
        pytest.param(["run", "--suite", "featur"], "the suites cannot be run:\n"
                     "  - no suite `featur`; did you mean `feature`?", id="suite"),
        pytest.param(["plan", "--slots", "0"], "--slots:\n  - at least 1, got 0", id="slots"),
        pytest.param(["run", "--backend", "host"], "`--backend host` needs `--python`\n"
                     "  - name an interpreter with torch", id="host-without-python"),
        pytest.param(["explain", "nonsense"], "`nonsense` is no cell id\n"
                     "  - write torch2.13.0-cu130-py3.12\n  - known: torch2.6.0-cpu-py3.11",
                     id="explain"),
    ],
)  # fmt: skip
def test_input_that_is_wrong_ends_2(run_cli, matrix_file, arguments, message):
    matrix_file(ONE_CELL)
    done = run_cli(*arguments)
    assert (done.code, done.err) == (2, f"matrix: {message}\n")


def test_every_mistake_of_a_command_is_said_at_once(run_cli, matrix_file):
    """The matrix file's own among them."""
    matrix_file(ONE_CELL)
    wrong = ("--recording", "latest", "--slots", "0", "--backend", "host", "--profile", "defualt",
             "--suite", "featur", "--select", "torch=2", "--select", "python>x")  # fmt: skip
    done = run_cli("plan", *wrong)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "matrix: the command has 7 mistakes:\n"
        "  - `--recording` needs `--backend replay`: name both or neither\n"
        "  - `--backend host` needs `--python`: name an interpreter with torch\n"
        "  - --slots: at least 1, got 0\n"
        "  - the selection cannot be read: expected one of == != < <= > >= ~ after `torch` at "
        "column 6 of `torch=2`\n"
        "  - the selection cannot be read: `x` is no version, such as 2.9 at column 8 of "
        "`python>x`\n"
        "  - no profile `defualt`: did you mean `default`?\n"
        "  - the suites cannot be run: no suite `featur`; did you mean `feature`?\n"
    )
    path = matrix_file("[[torch]]\nversion = '2.6.0'\nvariant = ['cpu']")
    done = run_cli("run", "--slots", "0")
    assert done.err == (
        "matrix: the command has 2 mistakes:\n"
        "  - --slots: at least 1, got 0\n"
        f"  - `{path}` has 1 mistake(s): torch[0].variant: unknown key; did you mean `variants`?\n"
    )


@pytest.mark.parametrize("command", ["list", "render", "report"])
def test_commands_that_only_look_say_every_mistake_too(run_cli, matrix_file, command):
    matrix_file(ONE_CELL)
    done = run_cli(command, "--profile", "defualt", "--select", "torch=2")
    assert (done.code, done.err.splitlines()[0]) == (2, "matrix: the command has 2 mistakes:")


def test_an_unknown_run_ends_2(run_cli, matrix_file):
    matrix_file(ONE_CELL)
    done = run_cli("report", "20200101T000000Z-abcdef")
    assert done.code == 2
    assert "no run `20200101T000000Z-abcdef` in " in done.err


def test_a_missing_file_ends_2(run_cli, tmp_path):
    done = run_cli("list")
    assert done.code == 2
    assert done.err.startswith(f"matrix: no matrix file at `{tmp_path / 'matrix.toml'}`")


@pytest.mark.parametrize("command", ["list", "plan", "run"])
def test_nothing_selected_ends_3(run_cli, matrix_file, command):
    matrix_file(ONE_CELL)
    done = run_cli(command, "--select", "torch>3")
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        "matrix: no cell matches `torch>3`; matrix.toml has 1 (such as torch2.6.0-cpu-py3.11); "
        "`python -m matrix list --all` shows them\n"
    )


def test_a_report_of_nothing_ends_3(run_cli, matrix_file, tmp_path):
    matrix_file(ONE_CELL)
    done = run_cli("report")
    assert done.code == 3
    assert f"no results in `{tmp_path / 'results'}` yet" in done.err


def test_results_that_cannot_be_written_end_4(replay, outcome, tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")
    done = replay(outcome("t"))
    assert done.code == 4
    assert "cannot be written" in done.err
    assert "free it or use `--results`" in done.err


def test_a_disk_that_fills_up_ends_4_and_keeps_what_finished(replay, outcome, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matrix.execution.shutil.copy", full)
    done = replay(outcome("t"))
    assert done.code == 4
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_130_and_keeps_what_finished(
    run_cli, record, matrix_file, world, monkeypatch, tmp_path, number
):
    """The first cell's suite was nearly done and is kept; the second cell is not begun."""
    matrix_file(ONE_CELL.replace('"2.6.0"', '["2.6.0", "2.7.0"]'))
    for cell in ("torch2.6.0-cpu-py3.11", "torch2.7.0-cpu-py3.11"):
        recording = record(world.outcome("t"), cell=cell)
    run_suite = ReplayBackend.run_suite

    def interrupted(self, *arguments):
        run_suite(self, *arguments)
        os.kill(os.getpid(), number)
        time.sleep(0.5)  # the main thread hears of it

    monkeypatch.setattr(ReplayBackend, "run_suite", interrupted)
    done = run_cli("run", *REPLAY, "--recording", recording, "--slots", "1", "--json")
    assert done.code == errors.INTERRUPTED
    said = f"[ STOP ] {number.name}: stopping, what finished is kept (no suites); ends "
    assert f"{said}torch2.6.0-cpu-py3.11 feature; once more does not wait\n" in done.err
    [run] = Store(tmp_path / "results").runs()
    assert ([e.counts for e in run.entries], run.finished) == ([{"pass": 1}], True)


def test_ctrl_c_before_a_board_is_there_is_said_too(run_cli, matrix_file, monkeypatch):
    matrix_file(ONE_CELL)

    def stopped(*_arguments):
        os.kill(os.getpid(), signal.SIGINT)
        raise Stopped

    monkeypatch.setattr("matrix.cli.parser.list_command", stopped)
    done = run_cli("list")
    assert done.code == errors.INTERRUPTED
    assert done.err == "matrix: SIGINT: stopping, what finished is kept\n"


def test_a_second_ctrl_c_does_not_wait(run_cli, matrix_file, monkeypatch):
    matrix_file(ONE_CELL)

    def twice(*_arguments):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("matrix.cli.parser.list_command", twice)
    assert run_cli("list").code == errors.INTERRUPTED


def test_a_signal_handler_is_given_back(run_cli, matrix_file):
    matrix_file(ONE_CELL)
    before = signal.getsignal(signal.SIGINT)
    run_cli("list")
    assert signal.getsignal(signal.SIGINT) is before


def test_listing_shows_cells_and_says_why_others_are_none(run_cli, matrix_file):
    text = ONE_CELL.replace('"2.6.0"', '["2.6.0", "2.11.0"]')
    matrix_file(text.replace('["3.11"]', '["3.14"]'))
    done = run_cli("list")
    assert done.out == "torch2.11.0-cpu-py3.14\n"
    assert done.err == (
        "\n1 combination(s) are no cell:\n  torch2.6.0-cpu-py3.14: python: no wheel for Python "
        "3.14; wheels are for 3.9 to 3.13\n"
    )


def test_a_build_that_runs_elsewhere_says_so(run_cli, matrix_file):
    matrix_file("[[torch]]\nversion = '2.6.0'\ndevice = 'cpu'")
    assert run_cli("list").out == "torch2.6.0-cu124-py3.11  (tests run on cpu)\n"


def test_every_command_prints_json(replay, outcome, run_cli, tmp_path):
    """One JSON document on stdout, whatever the command; prose goes to stderr."""
    made = replay(outcome("t", "fail"), options=("--json",))
    run = json.loads(made.out)
    assert run["executions"][0]["counts"] == {"fail": 1}
    assert run["findings"][0]["change"] == "first-seen"
    fresh = json.loads(replay(outcome("t", "fail"), options=("--json",)).out)
    assert (fresh["run"], fresh["fresh"][0]["run"]) == (None, run["run"])
    assert json.loads(run_cli("list", "--json").out)["cells"][0]["torch"] == "2.6.0"
    assert json.loads(run_cli("plan", "--json", *REPLAY).out)["jobs"] == []
    assert json.loads(run_cli("explain", "torch2.6.0-cpu-py3.11", "--json").out)["is"] == "cell"
    assert json.loads(run_cli("schema", "--json").out)["type"] == "object"
    [row] = json.loads(run_cli("report", "--json").out)
    assert (row["test"], row["verdict"]) == ("t", "fail")
    published = json.loads(run_cli("report", "--json", "--publish", "latest").out)
    assert published["published"] == str(tmp_path / "results" / "runs" / run["run"])


@pytest.mark.parametrize(
    ("selections", "text"),
    [
        pytest.param(["torch2.60.0-*"], "`torch2.60.0-*` matches", id="glob"),
        pytest.param(["torch==3", "python==3.9"], "`torch==3`, `python==3.9` matches", id="two"),
    ],
)
def test_a_selection_of_no_result_names_what_there_is(
    run_cli, matrix_file, tmp_path, selections, text
):
    matrix_file('[[torch]]\nversion = "2.6.0"\nvariants = ["cpu"]')
    keep(tmp_path / "results", feature("a"), feature("a", torch="2.7.0"))
    done = run_cli("report", *(word for one in selections for word in ("--select", one)))
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(f"matrix: {text} none of the 2 execution(s) here; the nearest: ")
    assert all(f"`torch{torch}-cpu-py3.11`" in done.err for torch in ("2.6.0", "2.7.0"))


def test_a_report_is_markdown_and_csv_too(replay, outcome, run_cli, tmp_path):
    replay(outcome("t", feature="bf16", title="bfloat16"))
    done = run_cli("report", "--format", "markdown", "--out", tmp_path / "out")
    assert done.code == 0
    assert "bfloat16" in done.out
    assert (tmp_path / "out" / "README.md").read_text() == done.out.rstrip("\n") or done.out
    assert list((tmp_path / "out").glob("*.csv"))


def test_a_report_as_json_writes_its_folder_too(replay, outcome, run_cli, tmp_path):
    replay(outcome("t", feature="bf16", title="bfloat16"))
    done = run_cli("report", "--json", "--out", tmp_path / "out")
    assert [row["feature"] for row in json.loads(done.out)] == ["bf16"]
    assert "bfloat16" in (tmp_path / "out" / "README.md").read_text()
    assert (tmp_path / "out" / "features.csv").is_file()
    assert f"tables: {tmp_path / 'out'}" in done.err


def test_working_tables_show_everything_local_whatever_was_selected(
    run_cli, matrix_file, record, outcome, tmp_path, ticking
):
    """One command or ten: the folder is the same; what a report selects goes to its `--out`."""
    matrix_file(ONE_CELL.replace('"2.6.0"', '["2.6.0", "2.7.0"]'))
    for cell in ("torch2.6.0-cpu-py3.11", "torch2.7.0-cpu-py3.11"):
        recording = record(outcome("t", feature="bf16", title="bfloat16"), cell=cell)
    for release in ("2.6", "2.7"):
        only = ("--select", f"torch=={release}")
        done = run_cli("run", *REPLAY, "--recording", recording, *only)
        assert f"torch{release}.0-cpu" in done.out
    assert "torch2.6.0-cpu" not in done.out, "the terminal shows what was selected"
    tables = tmp_path / "results" / "local" / "tables" / "README.md"
    whole = tables.read_text()
    assert all(f"`torch{release}.0-cpu-py3.11`" in whole for release in ("2.6", "2.7"))
    assert "Only" not in whole
    run_cli("report", "latest", "--select", "torch==2.7", "--out", tmp_path / "out")
    assert tables.read_text() == whole
    run = Store(tmp_path / "results").runs()[-1].id
    part = (tmp_path / "out" / "README.md").read_text()
    assert f"\n\nOnly run `{run}`, cells selected by `torch==2.7`.\n\n" in part
    assert "torch2.6.0" not in part


def test_working_tables_keep_evidence_beside_the_fault_of_today(
    replay, outcome, world, tmp_path, ticking
):
    replay(outcome("t", feature="bf16"))
    replay(outcome("t"), options=("--rerun", "all"), probe={**world.probe_of(), "torch": "2.7.0"})
    text = (tmp_path / "results" / "local" / "tables" / "README.md").read_text()
    assert "✓ pass" in text
    assert "! infra" in text


@pytest.fixture
def measured(run_cli, matrix_file, tmp_path):
    """Results of the default backend with today's recipe, and what a report then says."""
    where = {"cell": "torch2.6.0-cpu-py3.11", "execution": "venv-cpu", "suite": "feature"}
    matrix_file(ONE_CELL)
    [job] = json.loads(run_cli("plan", "--json").out)["jobs"]
    bundle = Store(tmp_path / "results").create({})
    row = rows.Row(
        **where, torch="2.6.0", variant="cpu", accelerator="cpu", python="3.11", backend="venv",
        runner="local", device="cpu", test="t", feature="bf16", verdict="pass", run=bundle.id,
        time="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    entry = store.Entry(**where, run=bundle.id, recipe=job["suites"][0]["recipe"],
                        counts={"pass": 1})  # fmt: skip
    bundle.commit(bundle.stage(*entry.key), entry, [row])
    bundle.finish({})

    def report(text, *options):
        matrix_file(text)
        done = run_cli("report", *options)
        assert done.code == 0, done.err
        return done.out

    return report


def test_a_result_that_would_be_measured_again_is_marked_stale(measured, tmp_path):
    assert "stale" not in measured(ONE_CELL)
    changed = f"{ONE_CELL}[suites.feature]\ntimeout = 9\nrequirements = ['einops']"
    shown = measured(changed)
    assert "≈ stale" in shown
    assert "≈ stale: feature (environment, settings) changed since" in " ".join(shown.split())
    text = measured(changed, "--format", "markdown")
    assert "`torch2.6.0-cpu-py3.11` ≈ stale |" in text
    csv = (tmp_path / "results" / "local" / "tables" / "features.csv").read_text()
    assert "stale" not in csv, "a table of what was measured, then"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ONE_CELL.replace("2.6.0", "2.7.0"), id="no-longer-asked-for"),
        pytest.param(f"{ONE_CELL}waivers = [{{select = '*', feature = 'x', reason = 'y'}}]\n"
                     "[profiles.other]", id="fresh-for-another-profile"),
    ],
)  # fmt: skip
def test_what_is_not_known_to_be_stale_is_not_marked(measured, text):
    assert "stale" not in measured(text)


def test_published_results_are_never_marked_stale(measured, run_cli, tmp_path):
    """They may come from other machines, and were right on their day."""
    run_cli("report", "--publish", "latest")
    changed = f"{ONE_CELL}[suites.feature]\ntimeout = 9"
    assert "stale" in measured(changed)
    run_cli("report", "--publish", "latest")
    assert "stale" not in (tmp_path / "results" / "README.md").read_text()
    shutil.rmtree(tmp_path / "results" / "local")
    assert "stale" not in measured(changed)


def test_a_published_run_goes_to_the_tracked_tables(replay, outcome, run_cli, tmp_path):
    replay(outcome("t", feature="bf16", title="bfloat16"))
    done = run_cli("report", "--publish", "latest")
    assert done.code == 0
    assert "published: " in done.err
    assert "bfloat16" in (tmp_path / "results" / "README.md").read_text()
    assert len(list((tmp_path / "results" / "runs").iterdir())) == 1


def test_a_recording_that_lacks_the_cell_is_a_row(run_cli, matrix_file, tmp_path):
    matrix_file(ONE_CELL)
    (tmp_path / "empty").mkdir()
    done = run_cli("run", *REPLAY, "--recording", tmp_path / "empty")
    assert "`empty` has no record of torch2.6.0-cpu-py3.11 on cpu" in done.out


def test_a_closed_pipe_is_no_error_of_ours(run_cli, matrix_file, monkeypatch):
    """As in `matrix list | head -1`."""
    matrix_file(ONE_CELL)

    def closed(*_args, **_kwargs):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", closed)
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    monkeypatch.setattr("sys.stdout.fileno", lambda: 1, raising=False)
    assert run_cli("list").code == 0


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"torch-matrix {metadata.version('torch-matrix')}\n"


def test_the_help_explains_every_exit_code(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(f"  {code:<4} {meaning}" in text for code, meaning in errors.EXIT_CODES.items())
