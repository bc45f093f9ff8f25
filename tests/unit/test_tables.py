"""Rows become tables in which nothing is green that was not measured as a pass."""

import json
import re
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from matrix import tables
from matrix.inside import needs
from matrix.reports.marks import MARKS
from matrix.rows import TEST_VERDICTS, Row
from matrix.tables.verdicts import FLAKY, LOUDNESS, loudest
from matrix.verdicts import WANTS_DEVICES

H200 = {"execution": "docker-cuda", "backend": "docker", "device": "cuda"} | {
    "device_model": "NVIDIA H200",
    "driver": "580.65.06",
    "power_limit": 700.0,
}
CPU = {"execution": "venv-cpu", "backend": "venv", "device": "cpu", "device_model": "Xeon 8481C"}


@dataclass(frozen=True, kw_only=True)
class Gone:
    id: str
    rule: str
    reason: str
    source: str
    date: str


def cell(torch="2.9.0", variant="cu128", python="3.12", **place):
    accelerator = "cuda" if variant.startswith("cu") else variant
    device = place or (CPU if variant == "cpu" else H200)
    return {"cell": f"torch{torch}-{variant}-py{python}", "torch": torch, "variant": variant} | {
        "python": python,
        "accelerator": accelerator,
        "runner": "r",
        "provision": "built",
        **device,
    }


def outcome(place=None, verdict="pass", test="test_a.py::test", day=1, **fields):
    when = {"run": f"run{day}", "time": f"2026-11-{day:02}T00:00:00Z"}
    default = {"suite": "feature", "feature": "a", "test": test, "verdict": verdict}
    return Row(**(when | (place or cell()) | default | fields))


def metric(place=None, median=1.0, spread=0.0, better="lower", **fields):
    default = {"suite": "throughput", "feature": "", "workload": "w", "verdict": ""}
    default |= {"metric": "time", "unit": "s", "median": median, "spread": spread}
    return outcome(place, better=better, **(default | fields))


def features(*rows):
    table = tables.feature_table(tables.frame(rows))
    return {str(label): list(table[label]) for label in table.columns}


def workloads(*rows, baseline=None):
    """{column: fields} of the only line."""
    table = tables.workload_table(tables.frame(rows), baseline)
    assert len(table) == 1
    line = table.iloc[0]
    return {label: line[label].to_dict() for label in table.columns.get_level_values(0).unique()}


def test_every_verdict_of_a_test_has_a_place_in_the_order_and_a_mark():
    """A verdict that is added to the records cannot be forgotten here."""
    assert set(LOUDNESS) == {*TEST_VERDICTS, FLAKY}
    assert [v for v in MARKS if v in LOUDNESS] == list(LOUDNESS)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        pytest.param(["pass", "pass"], "pass", id="all-pass"),
        pytest.param(["pass", "skip"], "skip", id="a-skip-is-no-success"),
        pytest.param(["pass", "not-run"], "not-run", id="not-run-is-no-success"),
        pytest.param(["unsupported", "oom"], "oom", id="oom-over-unsupported"),
        pytest.param(["crash", "fail", "wrong"], "wrong", id="wrong-is-loudest"),
        pytest.param(["unsupported", "meteor"], "meteor", id="strange-verdict-as-loud-as-fail"),
        pytest.param(["wrong waived", "oom"], "oom", id="waived-is-quieter-than-a-problem"),
        pytest.param(["pass", "unsupported", "fail waived"], "fail waived", id="waived-is-no-pass"),
        pytest.param(["oom waived", "wrong waived"], "wrong waived", id="waived-keep-their-order"),
        pytest.param([], "not measured", id="no-test-is-unknown"),
    ],
)
def test_a_feature_has_the_loudest_verdict_of_its_tests(verdicts, expected):
    """The order is wrong, crash, fail, timeout, oom, flaky, unsupported, skip, not-run, pass."""
    assert loudest(verdicts) == expected


def test_a_feature_without_a_row_is_not_measured():
    """Unknown is never green and never blank."""
    other = cell("2.11.0")
    rows = [outcome(), outcome(other, feature="b", test="test_b.py::test")]
    assert features(*rows) == {
        "torch2.9.0-cu128-py3.12": ["pass", "not measured"],
        "torch2.11.0-cu128-py3.12": ["not measured", "pass"],
    }


def test_the_newest_run_of_a_test_counts_wherever_it_stands():
    """Rows come in any order; a test that passes again is not kept down by its past."""
    assert features(outcome(day=3), outcome(verdict="fail", day=2)) == {
        "torch2.9.0-cu128-py3.12": ["pass"]
    }


def test_the_newest_run_does_not_hide_another_test_of_the_feature():
    """A later run of one test only says nothing about the other."""
    old = outcome(verdict="wrong", test="test_a.py::other", day=1)
    assert features(old, outcome(day=2)) == {"torch2.9.0-cu128-py3.12": ["wrong"]}


def test_a_want_of_devices_is_said_in_the_words_of_the_need(monkeypatch):
    """The reason is read again, from rows."""
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert re.fullmatch(WANTS_DEVICES, needs.missing(["devices:2"]))


def test_a_collection_error_is_a_line_of_its_own():
    """What broke before any feature was known must not disappear."""
    broken = outcome(verdict="fail", feature="", test="test_b.py", reason="SyntaxError")
    table = tables.feature_table(tables.frame([outcome(), broken]))
    assert list(table.index) == [("a", "a", "a"), ("b", "test_b.py", "test_b.py")]
    assert list(table.iloc[:, 0]) == ["pass", "fail"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(cell("2.9.0"), cell("2.11.0"), id="torch-2.9-before-2.11"),
        pytest.param(cell("2.14.0rc1"), cell("2.14.0"), id="candidate-before-release"),
        pytest.param(cell("2.14.0.dev20260801"), cell("2.14.0"), id="nightly-before-release"),
        pytest.param(
            cell(variant="rocm7.2", **H200), cell(variant="rocm7.14", **H200), id="rocm-7.14-last"
        ),
        pytest.param(cell(python="3.9"), cell(python="3.10"), id="python-3.9-before-3.10"),
        pytest.param(cell(variant="cpu"), cell(variant="cu128"), id="cpu-before-cuda"),
    ],
)
def test_columns_are_in_the_order_of_versions(first, second):
    """Versions sort as integers, whatever the order of the rows."""
    table = tables.feature_table(tables.frame([outcome(second), outcome(first)]))
    assert [label.partition(" ")[0] for label in table.columns] == [first["cell"], second["cell"]]


@pytest.mark.parametrize(
    ("places", "labels"),
    [
        pytest.param([cell()], ["torch2.9.0-cu128-py3.12"], id="alone-needs-no-more"),
        pytest.param([cell(**CPU)], ["torch2.9.0-cu128-py3.12 @cpu"], id="cuda-build-on-a-cpu"),
        pytest.param(
            [cell(), cell(**CPU)],
            ["torch2.9.0-cu128-py3.12", "torch2.9.0-cu128-py3.12 @cpu"],
            id="gpu-and-cpu",
        ),
        pytest.param(
            [cell(), cell(**{**H200, "device_model": "NVIDIA H100 80GB HBM3"})],
            ["torch2.9.0-cu128-py3.12 @H100-80GB-HBM3", "torch2.9.0-cu128-py3.12 @H200"],
            id="two-models",
        ),
        pytest.param(
            [cell(), cell(**{**H200, "backend": "venv", "execution": "venv-cuda"})],
            ["torch2.9.0-cu128-py3.12 @docker", "torch2.9.0-cu128-py3.12 @venv"],
            id="two-backends",
        ),
        pytest.param(
            [cell(), cell() | {"provision": "mounted"}],
            ["torch2.9.0-cu128-py3.12 @built", "torch2.9.0-cu128-py3.12 @mounted"],
            id="mounted-proves-less",
        ),
        pytest.param(
            [cell(), cell(**{**H200, "device_model": ""})],
            ["torch2.9.0-cu128-py3.12 @H200", "torch2.9.0-cu128-py3.12 @unknown"],
            id="unknown-model-is-not-merged",
        ),
    ],
)
def test_a_label_says_what_tells_executions_apart(places, labels):
    """Executions are never merged; the label has of the device only what is needed."""
    table = tables.frame([outcome(place) for place in places]).executions
    assert sorted(table.index) == sorted(labels)


def test_a_test_on_the_cpu_of_a_gpu_cell_stays_in_the_column_of_the_cell():
    """The device of one test does not make another execution."""
    rows = [outcome(), outcome(test="test_a.py::host", device="cpu", verdict="fail")]
    assert features(*rows) == {"torch2.9.0-cu128-py3.12": ["fail"]}


@pytest.mark.parametrize(
    ("better", "ratio"),
    [pytest.param("lower", 2.0, id="half-the-time"), pytest.param("higher", 0.5, id="half-rate")],
)
def test_a_ratio_of_more_than_one_is_always_better(better, ratio):
    """Direction is data: 1 s against 2 s is twice as good, 1 tok/s against 2 tok/s half."""
    rows = [metric(median=2.0, better=better), metric(cell("2.11.0"), median=1.0, better=better)]
    made = workloads(*rows, baseline="torch2.9.0-cu128-py3.12")
    assert made["torch2.11.0-cu128-py3.12"]["ratio"] == ratio
    assert made["torch2.9.0-cu128-py3.12"]["ratio"] == 1.0


NEW = cell("2.11.0")
H100 = cell("2.11.0", **{**H200, "device_model": "NVIDIA H100"})


@pytest.mark.parametrize(
    ("base", "other", "why"),
    [
        pytest.param(
            metric(),
            metric(H100),
            "the baseline ran on cuda NVIDIA H200, this on cuda NVIDIA H100",
            id="other-model",
        ),
        pytest.param(
            metric(cell(**CPU)),
            metric(NEW),
            "the baseline ran on cpu Xeon 8481C, this on cuda NVIDIA H200",
            id="other-device",
        ),
        pytest.param(
            metric(cell() | {"device_model": ""}),
            metric(NEW | {"device_model": ""}),
            "the device model is not known",
            id="unknown-model",
        ),
        pytest.param(
            metric(),
            metric(NEW | {"power_limit": 500.0}),
            "the baseline had a power limit of 700 W, this 500 W",
            id="other-power-limit",
        ),
        pytest.param(
            metric(source="one"),
            metric(NEW, source="two"),
            "the test changed since the baseline was measured",
            id="other-test-source",
        ),
        pytest.param(
            metric(better=""),
            metric(NEW, better=""),
            "which direction is better is not known",
            id="no-direction",
        ),
        pytest.param(metric(median=0.0), metric(NEW), "a value is not positive", id="zero"),
        pytest.param(
            metric(device="cpu"),
            metric(NEW),
            "the baseline was measured on cpu, this on cuda",
            id="baseline-test-on-the-cpu",
        ),
        pytest.param(
            metric(median=None),
            metric(NEW),
            "the baseline is unstable",
            id="baseline-without-a-value",
        ),
        pytest.param(outcome(), metric(NEW), "the baseline is not measured", id="no-baseline"),
    ],
)
def test_what_cannot_be_compared_says_why(base, other, why):
    """No ratio is given across devices, tests or directions: it is `n/c` with the reason."""
    made = workloads(base, other, baseline="torch2.9.0-cu128-py3.12")
    column = made[next(label for label in made if label.startswith("torch2.11.0"))]
    assert (column["ratio"], column["why"]) == ("n/c", why)


def test_the_source_of_a_metric_is_that_of_its_test():
    """A metric that does not carry a hash takes that of the outcome beside it."""
    rows = [
        metric(),
        outcome(suite="throughput", feature="", workload="w", source="one"),
        metric(NEW),
        outcome(NEW, suite="throughput", feature="", workload="w", source="two"),
    ]
    made = workloads(*rows, baseline="torch2.9.0-cu128-py3.12")
    assert made["torch2.11.0-cu128-py3.12"]["ratio"] == "n/c"


def test_a_baseline_cell_is_taken_on_the_device_of_each_column():
    """With a cell as baseline, GPUs are compared with the GPU and CPUs with the CPU."""
    rows = [metric(median=4.0), metric(cell(**CPU), median=40.0)]
    rows += [metric(NEW, median=2.0), metric(cell("2.11.0", **CPU), median=10.0)]
    made = workloads(*rows, baseline="torch2.9.0-cu128-py3.12")
    assert {label: fields["ratio"] for label, fields in made.items()} == {
        "torch2.9.0-cu128-py3.12": 1.0,
        "torch2.9.0-cu128-py3.12 @cpu": 1.0,
        "torch2.11.0-cu128-py3.12": 2.0,
        "torch2.11.0-cu128-py3.12 @cpu": 4.0,
    }


def test_a_baseline_is_always_comparable_with_itself():
    """Two executions of the baseline on one device are each their own baseline."""
    venv = cell(**{**H200, "backend": "venv", "execution": "venv-cuda", "device_model": ""})
    docker = cell() | {"device_model": ""}
    made = workloads(metric(docker), metric(venv, median=3.0), baseline="torch2.9.0-cu128-py3.12")
    assert {label: fields["ratio"] for label, fields in made.items()} == {
        "torch2.9.0-cu128-py3.12 @docker": 1.0,
        "torch2.9.0-cu128-py3.12 @venv": 1.0,
    }


@pytest.mark.parametrize(
    ("places", "base"),
    [
        pytest.param(["2.11.0", "2.13.0"], "torch2.13.0-cu128-py3.12", id="the-same-release"),
        pytest.param(["2.11.0", "2.12.0"], "torch2.12.0-cu128-py3.12", id="the-nearest"),
        pytest.param(["2.12.0", "2.14.0"], "torch2.12.0-cu128-py3.12", id="the-older-of-two"),
    ],
)
def test_a_device_without_the_baseline_has_one_of_its_own(places, base):
    """It is of the nearest release, and each value says which it was."""
    rows = [metric(cell(torch), median=2.0) for torch in places]
    made = workloads(metric(cell("2.13.0", "cpu")), *rows, baseline="torch2.13.0-cpu-py3.12")
    found = {label: (fields["ratio"], fields["base"]) for label, fields in made.items()}
    on_cpu = {"torch2.13.0-cpu-py3.12": (1.0, "torch2.13.0-cpu-py3.12")}
    assert found == on_cpu | {cell(torch)["cell"]: (1.0, base) for torch in places}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(outcome(NEW), id="measured-nothing"),
        pytest.param(metric(NEW, workload="v", test="test_v.py::v"), id="another-workload"),
        pytest.param(metric(NEW | {"backend": "host", "execution": "host-cuda"}), id="backend"),
        pytest.param(metric(NEW | {"provision": "mounted"}), id="provision"),
        pytest.param(metric(NEW | {"device_model": "NVIDIA B200"}), id="model"),
    ],
)
def test_an_execution_that_is_alone_in_its_place_has_no_baseline_there(other):
    """Elsewhere too much differs; the reason names the baseline that was asked for."""
    rows = [metric(cell("2.13.0", "cpu")), metric(), other]
    table = tables.workload_table(tables.frame(rows), "torch2.13.0-cpu-py3.12")
    label = next(str(name) for name, _ in table.columns if "2.9.0" in str(name))
    field = table.iloc[-1][label]
    assert (field["ratio"], field["base"]) == ("n/c", None)
    assert field["why"].startswith("the baseline ran on cpu Xeon")


def test_a_baseline_without_results_makes_everything_not_comparable():
    """A mistyped baseline is seen at every value, with the name that was meant."""
    made = workloads(metric(), baseline="torch2.9.0-cu129-py3.12")
    assert made["torch2.9.0-cu128-py3.12"]["why"] == (
        "no results of the baseline `torch2.9.0-cu129-py3.12` "
        "(did you mean `torch2.9.0-cu128-py3.12`?)"
    )


def test_a_difference_smaller_than_the_spread_says_so():
    """Two overlapping medians keep their ratio but not the claim."""
    rows = [metric(median=1.0, spread=0.1), metric(NEW, median=1.05, spread=0.1)]
    made = workloads(*rows, baseline="torch2.9.0-cu128-py3.12")
    assert made["torch2.11.0-cu128-py3.12"]["why"] == "within the spread"


@pytest.mark.parametrize(
    ("unit", "median", "work", "rate"),
    [
        pytest.param("s", 0.5, {"work.flop": 10}, (20.0, "FLOP/s"), id="flop"),
        pytest.param("ms", 500, {"work.bytes": 10}, (20.0, "B/s"), id="bytes-in-milliseconds"),
        pytest.param("s", 0.5, {"work.tokens": 10}, (20.0, "tok/s"), id="tokens"),
        pytest.param("s", 0.5, {"n": 10}, (None, None), id="no-work-no-rate"),
        pytest.param("J", 0.5, {"work.flop": 10}, (None, None), id="no-time-no-rate"),
    ],
)
def test_a_rate_is_work_per_time(unit, median, work, rate):
    """The work of a call is apart from the parameters and gives a rate where time was measured."""
    rows = [metric(unit=unit, median=median, params=json.dumps(work | {"m": 8}))]
    (made,) = workloads(*rows).values()
    assert (made["rate"], made["rate_unit"]) == rate


def test_a_value_with_a_reason_is_unstable_and_has_no_ratio():
    """A number that its own measurement doubts is not compared."""
    rows = [metric(), metric(NEW, reason="thermal slowdown")]
    made = workloads(*rows, baseline="torch2.9.0-cu128-py3.12")["torch2.11.0-cu128-py3.12"]
    assert (made["status"], made["ratio"], made["why"]) == ("unstable", None, "thermal slowdown")


@pytest.mark.parametrize(
    ("medians", "status"),
    [
        pytest.param([1.0, 1.004, 0.998], "value", id="alike"),
        pytest.param([1.0, 1.06, 0.97], "unstable", id="different"),
        pytest.param([1.0, 1.06], "value", id="too-few-to-tell"),
    ],
)
def test_a_series_whose_processes_differ_is_unstable(medians, status):
    """A steady time on a GPU may vary by 1 % from process to process, and says by how much."""
    rows = [metric(median=m, round=n, kind="steady") for n, m in enumerate(medians, 1)]
    (made,) = workloads(*rows).values()
    assert (made["status"], made["median"]) == (status, pytest.approx(sorted(medians)[1], rel=0.03))
    assert (made["why"] or "").startswith("unstable: 3 processes vary by 4.5%") == (
        status == "unstable"
    )
    (once,) = workloads(
        *(metric(median=row.median, round=row.round, kind="once") for row in rows)
    ).values()
    assert once["status"] == "value", "a first call is no steady state"


def test_a_rate_is_a_share_of_the_best_with_the_same_unit_and_dtype():
    """Bandwidth is one ceiling for all; what is computed has one for each dtype."""

    def done(name, median, **params):
        return metric(median=median, workload=name, test=name, params=json.dumps(params))

    rows = [
        done("copy", 1.0, **{"work.bytes": 4}),
        done("decode", 1.0, **{"work.bytes": 3, "dtype": "bfloat16"}),
        done("gemm", 1.0, **{"work.flop": 8, "dtype": "bfloat16"}),
        done("attention", 1.0, **{"work.flop": 6, "dtype": "bfloat16"}),
        done("fp8", 1.0, **{"work.flop": 16, "dtype": "e4m3"}),
        done("decoder", 1.0, **{"work.tokens": 5}),
    ]
    table = tables.workload_table(tables.frame(rows), None)
    found = {
        key[0]: line["ceiling"]
        for key, line in zip(
            table.index, table.xs(table.columns[0][0], axis=1).to_dict("records"), strict=True
        )
    }
    assert found == {"copy": 1.0, "decode": 0.75, "gemm": 1.0, "attention": 0.75, "fp8": 1.0,
                     "decoder": None}  # fmt: skip


def test_a_workload_that_failed_shows_its_verdict_in_place_of_the_number():
    """Running out of memory is a result; the number of an older run does not stand in for it."""
    rows = [metric(), metric(NEW, day=1)]
    oom = {"suite": "throughput", "feature": "", "workload": "w", "reason": "64 GiB"}
    made = workloads(*rows, outcome(NEW, verdict="oom", day=2, **oom))
    assert made["torch2.11.0-cu128-py3.12"]["status"] == "oom"
    assert made["torch2.9.0-cu128-py3.12"]["status"] == "value"


def test_one_root_cause_is_one_problem_over_its_columns():
    """Tests and columns with the same signature are counted, not listed one by one."""
    rows = [
        outcome(place, verdict="fail", test=f"test_a.py::test[{n}]", reason=f"at 0x{n}")
        for place in (cell(), NEW)
        for n in range(3)
    ]
    rows = [Row(**{**fields_of(row), "signature": "at <addr>"}) for row in rows]
    rows.append(outcome(test="test_a.py::fine"))
    table = tables.problem_table(tables.frame(rows))
    assert table.drop(columns=["reason", "title"]).to_dict("records") == [
        {
            "verdict": "fail",
            "suite": "feature",
            "subject": "a",
            "signature": "at <addr>",
            "tests": 3,
            "of": 4,
            "example": "test_a.py::test[0]",
            "labels": ("torch2.9.0-cu128-py3.12", "torch2.11.0-cu128-py3.12"),
        }
    ]


def fields_of(row):
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def test_the_users_tests_are_counted_by_file():
    """Every verdict of the user's suites is counted; a file without results has no counts."""
    rows = [outcome(suite="mine", feature="", test=f"sub/test_x.py::t{n}") for n in range(3)]
    rows.append(outcome(suite="mine", feature="", test="sub/test_x.py::bad", verdict="crash"))
    rows.append(outcome(NEW, suite="mine", feature="", test="test_y.py::t"))
    table = tables.suite_table(tables.frame(rows))
    assert table.to_dict("index") == {
        ("mine", "sub/test_x.py"): {
            "torch2.9.0-cu128-py3.12": {"crash": 1, "pass": 3},
            "torch2.11.0-cu128-py3.12": {},
        },
        ("mine", "test_y.py"): {
            "torch2.9.0-cu128-py3.12": {},
            "torch2.11.0-cu128-py3.12": {"pass": 1},
        },
    }


def nothing(place, verdict, reason, **fields):
    return outcome(place, verdict, "", feature="", suite="", reason=reason, **fields)


def test_cells_without_results_say_why_and_whose_word_it_is():
    """Excluded is gated, an attempt that failed is measured, a broken machine proves nothing."""
    gone = Gone(id="torch2.6.0-cu130-py3.12", rule="no-wheel", reason="none", source="x", date="d")
    rows = [
        nothing(cell("2.10.0"), "uninstallable", "no solution"),
        nothing(cell("2.11.0"), "infra", "disk full"),
        nothing(cell("2.12.0"), "no-runner", "no GPU", execution="", runner=""),
    ]
    ran = "run run1 on r"
    table = tables.cell_table(tables.frame(rows), [gone])
    assert table.drop(columns=["suite", "date"]).to_numpy().tolist() == [
        ["torch2.6.0-cu130-py3.12", "", "excluded", "none", "gated", "no-wheel: x"],
        [
            "torch2.10.0-cu128-py3.12",
            "docker-cuda",
            "uninstallable",
            "no solution",
            "measured",
            ran,
        ],
        ["torch2.11.0-cu128-py3.12", "docker-cuda", "infra", "disk full", "unknown", ran],
        ["torch2.12.0-cu128-py3.12", "", "no-runner", "no GPU", "gated", "run run1"],
    ]


def test_suites_that_failed_alike_are_one_line():
    """An environment that could not be made is said once, not for every suite."""
    row = fields_of(nothing(cell(), "uninstallable", "no solution"))
    rows = [Row(**{**row, "suite": suite}) for suite in ("feature", "throughput")]
    table = tables.cell_table(tables.frame(rows))
    assert list(table["suite"]) == ["feature+throughput"]


@pytest.mark.parametrize(
    ("day", "listed"),
    [
        pytest.param(2, True, id="newer-than-the-results"),
        pytest.param(1, False, id="results-came-after"),
        pytest.param(None, False, id="a-retry-of-the-same-run-gave-results"),
    ],
)
def test_a_failed_attempt_is_listed_until_results_come(day, listed):
    """Old results stay in the tables, but that the newest try gave none is said."""
    results = outcome(day=1 if listed else 2)
    day = day or 2
    table = tables.cell_table(tables.frame([results, nothing(cell(), "infra", "x", day=day)]))
    assert (len(table) == 1) is listed


def test_a_column_says_when_what_it_shows_was_measured():
    """The time and driver of results that newer ones replaced are not those of the column."""
    rows = [outcome(day=1, driver="570.1"), outcome(day=3, driver="580.2")]
    rows.append(outcome(day=2, driver="575.3", test="test_a.py::other"))
    (record,) = tables.frame(rows).executions.to_dict("records")
    assert (record["first"], record["last"], record["driver"]) == (
        "2026-11-02T00:00:00Z",
        "2026-11-03T00:00:00Z",
        "575.3, 580.2",
    )


def test_the_summary_begins_with_the_loudest():
    """The first sentence has the worst news first and ends with what was not tested."""
    rows = [outcome(), outcome(verdict="wrong", feature="b", test="test_b.py::t"), metric()]
    rows.append(nothing(NEW, "infra", "x"))
    assert tables.summarize(tables.frame(rows)).sentence == (
        "1 WRONG, 1 pass (2 features in 1 execution); 1 measurement; without results: 1 infra."
    )


def test_the_summary_counts_what_the_tables_show():
    """A feature that only cells with a companion ran is not missing in the others."""
    with_it = {**cell(), "companions": "torchao==0.17.0", "cell": f"{cell()['cell']}-torchao0.17.0"}
    rows = [outcome(), outcome(with_it, feature="int8", test="test_torchao.py::int8")]
    assert tables.summarize(tables.frame(rows)).sentence == "2 pass (2 features in 2 executions)."


def test_the_summary_counts_the_users_own_tests():
    """A run of only the user's suites has results, and a crash there is news too."""
    mine = {"suite": "mine", "feature": ""}
    rows = [outcome(test=f"test_x.py::t{n}", **mine) for n in range(3)]
    rows.append(outcome(NEW, "skip", "test_y.py::t", suite="yours", feature=""))
    made = tables.summarize(tables.frame(rows))
    assert made.sentence == "1 skip, 3 pass (tests of 2 suites of yours in 2 executions)."
    assert (made.tests, made.loudest) == ({"skip": 1, "pass": 3}, "skip")
    crash = outcome(verdict="crash", test="test_x.py::bad", **mine)
    assert tables.summarize(tables.frame([outcome(), crash])).loudest == "crash"


@pytest.mark.parametrize(
    ("places", "said"),
    [
        pytest.param([("a", "2.9.0", "t")], "a feature", id="one"),
        pytest.param([("a", "2.9.0", "t"), ("a", "2.9.0", "u")], "a feature", id="two-tests"),
        pytest.param(
            [("a", "2.9.0", "t"), ("a", "2.11.0", "t")],
            "a feature in 2 executions",
            id="two-columns",
        ),
        pytest.param(
            [("a", "2.9.0", "t"), ("b", "2.10.0", "u"), ("b", "2.11.0", "u")],
            "2 features in 3 executions",
            id="not-three-features",
        ),
    ],
)
def test_the_alarm_counts_features_and_executions(places, said):
    """One feature that is wrong in two columns is one feature."""
    rows = [
        outcome(cell(torch), "wrong", f"test_a.py::{test}", feature=feature)
        for feature, torch, test in places
    ]
    alarm = tables.summarize(tables.frame(rows)).alarm
    assert alarm == f"WRONG NUMBERS from {said}: computed without an error, and not right."


def test_the_summary_says_what_kept_numbers_away():
    """A throughput suite that gave no number has results all the same."""
    oom = outcome(verdict="oom", suite="throughput", feature="", workload="w")
    made = tables.summarize(tables.frame([oom, outcome(suite="throughput", test="t", feature="")]))
    assert made.sentence == "0 measurements, 1 oom."
    assert made.loudest == "oom"


def test_a_waived_problem_is_one_of_its_own():
    """What the user accepts is counted and listed apart from what nobody accepted."""
    rows = [outcome(verdict="wrong", waiver="known", reason="off [waived: known]")]
    rows.append(outcome(NEW, "wrong", reason="off"))
    assert features(*rows) == {
        "torch2.9.0-cu128-py3.12": ["wrong waived"],
        "torch2.11.0-cu128-py3.12": ["wrong"],
    }
    df = tables.frame(rows)
    assert list(tables.problem_table(df)["verdict"]) == ["wrong", "wrong waived"]
    assert tables.summarize(df).sentence == ("1 WRONG, 1 WRONG waived (1 feature in 2 executions).")


def test_a_waived_cell_keeps_its_kind():
    """An accepted failure to install was measured like any other."""
    row = nothing(cell(), "uninstallable", "no solution [waived: old]", waiver="old")
    (line,) = tables.cell_table(tables.frame([row])).to_dict("records")
    assert (line["verdict"], line["kind"]) == ("uninstallable waived", "measured")


def test_no_rows_make_empty_tables():
    """A fresh clone has nothing to show, which is no error."""
    made = tables.build([])
    assert made.summary.sentence == "No results."
    for table in (made.features, made.workloads, made.suites, made.problems, made.cells):
        assert table.empty


def test_cells_with_companions_have_a_table_of_their_own():
    """What a companion brings to life is skipped without it: it stands with the companion alone."""
    with_it = {**cell(), "companions": "torchao==0.17.0", "cell": f"{cell()['cell']}-torchao0.17.0"}
    ao = {"feature": "int8dq", "test": "test_torchao.py::test"}
    made = tables.build([outcome(), outcome(verdict="skip", **ao), outcome(with_it, **ao)])
    parts = tables.by_companions(made.features, made.executions)
    assert {name: [index[1] for index in part.index] for name, part in parts.items()} == {
        "": ["a"],
        "torchao": ["int8dq"],
    }
    assert [len(part.columns) for part in parts.values()] == [1, 1]


def test_versions_of_companions_are_lines_of_cells_without_them():
    """Three releases with two versions each are two lines of three, however columns are told."""
    rows = [
        outcome(
            {
                **cell(torch=torch),
                "companions": f"torchao=={version}",
                "cell": f"{cell(torch=torch)['cell']}-torchao{version}",
            },
            verdict=verdict,
            feature="int8dq",
            test="test_torchao.py::test",
        )
        for torch, version, verdict in [
            ("2.10.0", "0.9.0", "pass"),
            ("2.10.0", "0.17.0", "fail"),
            ("2.9.0", "0.9.0", "unsupported"),
        ]
    ]
    made = tables.build([*rows, outcome(cell(torch="2.9.0"))])
    part = tables.by_companions(made.features, made.executions)["torchao"]
    table, columns = tables.folded(part, made.executions, "not measured")
    assert list(table.columns) == list(columns.index)
    assert list(columns["torch"]) == ["2.9.0", "2.10.0"]
    assert [key[-1] for key in table.index] == ["torchao 0.9.0", "torchao 0.17.0"]
    assert table.to_numpy().tolist() == [["unsupported", "pass"], ["not measured", "fail"]]


def test_what_is_stale_shares_no_column_with_what_is_not():
    rows = [
        outcome({**cell(), "companions": f"x=={n}", "cell": f"{cell()['cell']}-x{n}"}, feature="f")
        for n in (1, 2)
    ]
    made = tables.build(rows, stale={(rows[0].cell, rows[0].execution): "tests"})
    part = tables.by_companions(made.features, made.executions)["x"]
    table, columns = tables.folded(part, made.executions, "not measured")
    assert sorted(columns["stale"]) == ["", "tests"]
    told = {
        key[-1]: dict(zip(columns["stale"], line, strict=True)) for key, line in table.iterrows()
    }
    assert told["x 1"] == {"tests": "pass", "": "not measured"}
    assert told["x 2"] == {"tests": "not measured", "": "pass"}


def test_suites_with_and_without_companions_share_columns():
    """What ran in a cell with a companion stands below the same cell's own line."""
    beside = {"companions": "x==1;y==2", "cell": f"{cell()['cell']}-x1-y2"}
    own = {"suite": "mine", "feature": "", "test": "test_x.py::t"}
    made = tables.build([outcome(**own), outcome({**cell(), **beside}, "fail", **own)])
    table, columns = tables.folded(made.suites, made.executions, {})
    assert list(columns.index) == [cell()["cell"]]
    assert dict(zip(table.index, table[cell()["cell"]], strict=True)) == {
        ("mine", "test_x.py", ""): {"pass": 1},
        ("mine", "test_x.py", "x 1 y 2"): {"fail": 1},
    }
