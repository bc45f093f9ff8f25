"""`guide` over small stores: what is recommended, what is told, and what is never said."""

import json
import threading
import tomllib
from dataclasses import replace

import pytest
from stores import feature, keep, row

from matrix.features import catalogue
from matrix.guide.advice import advise, pinned_by, settings
from matrix.guide.candidates import Candidate, Finding
from matrix.guide.evidence import candidates
from matrix.longtable import long_table
from matrix.query import opened
from matrix.reports.guidedata import as_json
from matrix.scenarios import Scenario, builtin, scenarios
from matrix.store import Store

OWN = """
[[torch]]
version = "2.6.0"
variants = ["cpu"]

[scenarios.mine]
purpose = "try it"
require = ["compile", "sdpa"]
weights = { throughput = 1, soak = 1, size = 1, memory = 1, import = 1 }
"""


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def guide(run_cli, matrix_file):
    """The guide of a scenario of one's own; `more` is added to the matrix file."""

    def call(*options, more=""):
        matrix_file(OWN + more)
        return run_cli("guide", *options)

    return call


@pytest.fixture
def advice(results):
    """The advice of that scenario as data, without the command line."""
    mine = scenarios(tomllib.loads(OWN)["scenarios"])["mine"]

    def call():
        with opened(long_table(Store(results)), threading.Event()) as database:
            found = candidates(database)
        made = advise(mine, found, today="2026-01-09", known=10, index="https://torch.test/whl")
        (one,) = as_json(made, [mine], "2026-01-09")["advice"]
        return one

    return call


def passing(torch="2.13.0", *names, **more):
    return [feature(name, torch=torch, **more) for name in names or ("compile", "sdpa")]


def by_cell(advice):
    return {line["cell"]: line for line in advice["cells"]}


def timed(torch, seconds, source="s", **more):
    """A throughput test of a cell: its outcome, which has the source, and its number."""
    fields = {"torch": torch, "suite": "throughput", "test": "t.py::t", "workload": "gemm"} | more
    number = {"metric": "time", "unit": "s", "better": "lower", "median": seconds}
    return [row(verdict="pass", source=source, **fields), row(**number, **fields)]


def test_what_passes_is_recommended_with_what_is_unknown(results, advice):
    keep(results, *passing())
    found = advice()
    assert found["recommended"] == "torch2.13.0-cpu-py3.11"
    assert found["install"] == "pip install torch==2.13.0 --index-url https://torch.test/whl/cpu"
    assert found["pinned_by"] == ["sglang 0.5.18 to 0.5.21", "vllm 0.27.0 to 0.32.0"]
    assert "not measured here: throughput, size, memory, import" in found["unknown"]
    assert "how it holds over time: 1 run on 1 day so far" in found["unknown"]
    assert "newer releases, not run here: 2.14.0, 2.14.1" in found["unknown"]
    assert "any device but Test CPU" in found["unknown"]


def test_what_was_not_measured_is_never_recommended(results, guide):
    keep(results, *passing("2.13.0", "compile"), feature("sdpa", "skip", torch="2.13.0"))
    done = guide("mine")
    assert done.code == 3
    assert "take     nothing: nothing measured passes everything: 0 ruled out, 1 not measured" in (
        done.out
    )
    assert "1 of 2 not measured: sdpa" in done.out


def test_the_newest_evidence_counts(results, advice):
    keep(results, *passing())
    keep(results, feature("sdpa", "fail", torch="2.13.0", recipe="other"), night=2)
    assert advice()["recommended"] is None


def test_a_feature_that_fails_by_chance_is_not_green(results, advice):
    keep(results, feature("sdpa", "fail", torch="2.13.0"))
    keep(results, *passing(), night=2)
    (line,) = advice()["cells"]
    assert (line["standing"], line["failing"]) == ("ruled out", ["sdpa"])


def test_soak_counts_nights_since_anything_else(results, advice):
    keep(results, *passing(), night=1)
    keep(results, feature("sdpa", "fail", torch="2.13.0", recipe="older"), night=2)
    for night in (3, 4):
        keep(results, *passing(), night=night)
    keep(results, *passing("2.13.0", "compile"), night=5)
    found = advice()
    (line,) = found["cells"]
    assert (line["runs"], line["nights"]) == (2, 2)
    assert found["verified"] == "2026-01-04"


def test_devices_are_never_ranked_together(results, guide):
    keep(results, *passing(), *passing(device="cuda", device_model="NVIDIA H200"))
    found = json.loads(guide("mine", "--json").out)
    assert [(a["device"], len(a["cells"])) for a in found["advice"]] == [("cpu", 1), ("cuda", 1)]
    assert found["unmeasured"] == [{"scenario": "mine", "device": "rocm"}]
    only = json.loads(guide("mine", "--json", "--accelerator", "cuda").out)
    assert [a["device_model"] for a in only["advice"]] == ["NVIDIA H200"]
    assert only["unmeasured"] == []


def test_throughput_is_compared_where_the_tests_are_the_same(results, advice):
    keep(results, *passing("2.13.0"), *timed("2.13.0", 1.0))
    keep(results, *passing("2.14.1"), *timed("2.14.1", 2.0), night=2)
    keep(results, *passing("2.15.0"), *timed("2.15.0", 0.1, source="older"), night=1)
    shares = {k: v["shares"]["throughput"] for k, v in by_cell(advice()).items()}
    assert shares == {
        "torch2.13.0-cpu-py3.11": 1.0,
        "torch2.14.1-cpu-py3.11": 0.5,
        "torch2.15.0-cpu-py3.11": None,
    }


def test_a_workload_that_nobody_timed_is_told(results, guide):
    own = '\n[scenarios.timed]\nlike = "edge"\nworkloads = ["gemm", "copy"]\n'
    keep(results, *passing("2.13.0", *builtin()["edge"].required, install_bytes=10**9))
    keep(results, *timed("2.13.0", 1.0), night=2)
    told = guide("timed", more=own).out
    assert "unknown  workloads that nobody timed here: copy\n" in told


def test_disturbed_numbers_are_none(results, advice):
    outcome, number = timed("2.13.0", 1.0)
    keep(results, *passing(), outcome, replace(number, reason="a foreign process"))
    assert advice()["cells"][0]["shares"]["throughput"] is None


def test_of_several_rounds_the_middle_one_counts_and_no_second_look(results, advice):
    outcome, number = timed("2.13.0", 1.0)
    first = [replace(number, round=n, phase="first", median=m) for n, m in enumerate((1, 2, 9))]
    again = [replace(number, round=9, phase="again", median=0.001)]
    keep(results, *passing(), outcome, *first, *again, *passing("2.14.1"), *timed("2.14.1", 4.0))
    shares = {k: v["shares"]["throughput"] for k, v in by_cell(advice()).items()}
    assert shares == {"torch2.13.0-cpu-py3.11": 1.0, "torch2.14.1-cpu-py3.11": 0.5}


def test_memory_is_compared_where_the_same_tests_ran(results, advice):
    keep(results, *passing("2.14.1", "compile", peak_rss=100))
    keep(results, *passing("2.13.0", peak_rss=2000), *passing("2.15.0", peak_rss=1000), night=2)
    shares = {k: v["shares"]["memory"] for k, v in by_cell(advice()).items()}
    assert shares == {
        "torch2.15.0-cpu-py3.11": 1.0,
        "torch2.13.0-cpu-py3.11": 0.5,
        "torch2.14.1-cpu-py3.11": None,
    }


def process(torch, metric, value, unit="s"):
    """What a fresh process pays in a cell."""
    place = {"torch": torch, "suite": "throughput", "test": "p.py::p", "workload": "process"}
    return row(metric=metric, unit=unit, better="lower", median=value, **place)


def test_what_a_new_process_pays_is_no_throughput(results, advice):
    """Its memory goes before that of the feature suite, which ran more than to import torch."""
    paid = [process("2.13.0", "import", 1.5), process("2.13.0", "host-memory", 2e8, "B")]
    keep(results, *passing(peak_rss=10**9), *passing("2.14.1", peak_rss=10**8), *paid)
    shares = {k: v["shares"] for k, v in by_cell(advice()).items()}
    first, second = shares["torch2.13.0-cpu-py3.11"], shares["torch2.14.1-cpu-py3.11"]
    assert (first["import"], first["memory"], first["throughput"]) == (1.0, 1.0, None)
    assert (second["import"], second["memory"]) == (None, None)


def test_processes_that_do_not_agree_gave_no_number(results, advice):
    outcome, number = timed("2.13.0", 1.0)
    apart = [replace(number, round=n, kind="steady", median=m) for n, m in enumerate((1, 2, 9))]
    keep(results, *passing(), outcome, *apart)
    assert advice()["cells"][0]["shares"]["throughput"] is None


def test_a_cell_that_can_no_longer_be_made(results, advice):
    keep(results, *passing())
    keep(results, row(verdict="uninstallable", reason="no wheel", torch="2.13.0"), night=2)
    (line,) = advice()["cells"]
    assert line["standing"] == "ruled out"
    assert line["why"].startswith("can no longer be made (uninstallable: no wheel)")


def test_a_cell_that_can_be_made_again(results, advice):
    keep(results, row(verdict="uninstallable", reason="no wheel", torch="2.13.0"))
    keep(results, *passing(), night=2)
    assert advice()["recommended"] == "torch2.13.0-cpu-py3.11"


def test_a_cell_that_never_got_far_stands_where_it_might_have_been(results, advice):
    lost = {"device_model": "", "provision": ""}
    keep(results, *passing(), row(verdict="build-failed", reason="gcc", torch="2.15.0", **lost))
    found = advice()
    assert by_cell(found)["torch2.15.0-cpu-py3.11"]["standing"] == "ruled out"
    assert found["recommended"] == "torch2.13.0-cpu-py3.11"


def test_cells_that_tried_none_of_it_are_only_counted(results, advice, guide):
    keep(results, *passing(), *passing("2.9.1", "numpy"))
    assert advice()["untried"] == ["torch2.9.1-cpu-py3.11"]
    assert "not measured: 1 more that tried none of the required features" in guide("mine").out


def test_problems_of_what_is_recommended_are_told(results, guide):
    keep(results, *passing(), feature("numpy", "wrong", torch="2.13.0"))
    assert "careful  ≠ WRONG numpy" in guide("mine").out


def test_a_build_for_another_device_says_so(results, advice):
    keep(results, *passing("2.13.0", variant="cu130"), *passing("2.6.0"))
    found = advice()
    assert found["recommended"] == "torch2.13.0-cu130-py3.11"
    told = "cu130 is a build for cuda and ran on a cpu; builds for cpu, not run here: cpu"
    assert told in found["unknown"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param(["producton"], "no scenario `producton`; did you mean `production`?",
                     id="scenario"),
        pytest.param(["edge", "--accelerator", "cuda"], "`edge` is for cpu only", id="device"),
        pytest.param(["typo"], "scenarios.typo: no test has the feature `sdpaa`; did you mean "
                     "`sdpa`?", id="feature"),
        pytest.param(["typo"], "scenarios.typo: no test has the workload `gem`; did you mean "
                     "`gemm`?", id="workload"),
    ],
)  # fmt: skip
def test_mistakes_end_with_what_was_meant(results, guide, options, problem):
    keep(results, *passing())
    typo = '\n[scenarios.typo]\nlike = "edge"\nrequire = ["sdpaa"]\nworkloads = ["gem"]\n'
    done = guide(*options, more=typo)
    assert done.code == 2
    assert problem in done.err


def test_evidence_that_could_not_be_read_is_told_to_machines(results, guide):
    keep(results, *passing())
    keep(results, *passing("2.9.1"), night=2)
    damaged = next(path for path in sorted(results.rglob("*.parquet"), reverse=True))
    damaged.write_bytes(b"x")
    told = json.loads(guide("mine", "--json").out)["left_out"]
    assert any(damaged.parent.parent.parent.name in text or damaged.name in text for text in told)


def test_a_scenario_is_for_devices_on_which_it_requires_anything(results, guide):
    keep(results, *passing())
    more = '\n[scenarios.gpu]\nrequire_cuda = ["sdpa"]\nweights = { size = 1 }\n'
    assert guide("gpu", more=more).out == "gpu: nothing was measured on cuda\n"


def test_a_selection_that_leaves_nothing_says_so(results, guide):
    keep(results, *passing())
    more = '\n[scenarios.old]\nlike = "edge"\nselect = ["torch<2.0"]\n'
    assert "old: nothing that it selects was measured on cpu" in guide("old", more=more).out


def test_where_nobody_tried_anything_required_that_is_all_that_is_said(results, guide):
    keep(results, *passing("2.9.1", "numpy"))
    out = guide("mine").out
    assert "take     nothing: none of 1 cell tried a required feature" in out
    assert "ruled out" not in out


def test_without_results_there_is_nothing_to_say(guide):
    assert guide().code == 3


def test_the_page_has_a_line_for_every_scenario_and_device(results, guide):
    keep(results, *passing())
    page = guide("--format", "markdown").out
    table = [line.split(" | ")[:3] for line in page.splitlines() if line.startswith("| ")][2:]
    assert table[:9] == [
        ["| development", "`cpu Test CPU`", "none"],
        ["| development", "cuda", "none"],
        ["| development", "rocm", "none"],
        ["| production", "`cpu Test CPU`", "none"],
        ["| production", "cuda", "none"],
        ["| production", "rocm", "none"],
        ["| edge", "`cpu Test CPU`", "none"],
        ["| mine", "`cpu Test CPU`", "2.13.0"],
        ["| mine", "cuda", "none"],
    ]
    assert "pinned by sglang 0.5.18 to 0.5.21, vllm 0.27.0 to 0.32.0 (declared)" in page
    assert "To try it." in page


def test_a_device_with_a_strange_name_stays_within_its_cell(results, guide):
    keep(results, *passing(device_model="a | [b](c) <i>"))
    page = guide("mine", "--format", "markdown").out
    (line,) = [line for line in page.splitlines() if "| 2.13.0 |" in line]
    assert "<i>" not in page
    assert line.count(" | ") == 8


def test_report_leaves_the_page_beside_published_tables(results, guide, run_cli):
    keep(results, *passing())
    guide()  # writes the matrix file
    tables = results / "local" / "tables"
    assert run_cli("report").code == 0
    assert not (tables / "GUIDE.md").exists()
    (results / "local" / "runs").rename(results / "runs")
    assert run_cli("report").code == 0
    page = (tables / "GUIDE.md").read_text(encoding="utf-8")
    assert page == guide("--format", "markdown").out
    assert run_cli("report", "--select", "torch==2.13.0", "--out", results / "part").code == 0
    assert not (results / "part" / "GUIDE.md").exists()


def test_a_setting_is_only_shown_where_its_feature_is_required_and_passes():
    scenario = Scenario(name="s", required=("weights-only", "load-mmap"), weights={"features": 1})
    green = Finding(verdict="pass")
    seen = Candidate(
        cell="torch2.13.0-cpu-py3.11", torch="2.13.0", variant="cpu", accelerator="cpu",
        python="3.11", execution="venv-cpu", device_model="Test CPU",
        findings={"weights-only": green, "load-mmap": green, "aoti-package": green},
    )  # fmt: skip

    def shown(candidate):
        (advice,) = advise(scenario, [candidate], today="2026-11-23", known=9, index="i")
        return [setting.feature for setting in advice.settings]

    assert shown(seen) == ["weights-only", "load-mmap"]
    safe = {**seen.findings, "weights-only-default": green}
    assert shown(replace(seen, findings=safe)) == ["load-mmap"]


def test_settings_and_scenarios_name_features_that_there_are():
    known = {one.id for one in catalogue()}
    named = {s.feature for s in settings()} | {s.unless for s in settings() if s.unless}
    for scenario in builtin().values():
        named.update(scenario.required, *scenario.required_on.values())
    assert named <= known


def test_engines_are_named_by_what_their_metadata_pins():
    assert pinned_by("2.14.1") == ("sglang 0.5.22 to 0.5.23",)
    assert pinned_by("2.10.0") == ("vllm 0.17.0 to 0.19.1",)
    assert pinned_by("2.15.0") == ()
