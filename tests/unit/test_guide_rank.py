"""The order of candidates: what fails or is unknown never helps, and limits are kept."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from matrix.guide.candidates import Candidate, Finding
from matrix.guide.rank import rank, throughput
from matrix.scenarios import CRITERIA, Scenario

TODAY = "2026-11-23"
FEATURES = ("a", "b", "c", "d", "e")
WORKLOADS = ("gemm", "decoder")
BAD = ("wrong", "fail", "crash", "timeout", "oom", "flaky", "wrong waived", "unsupported")


def candidate(torch="2.13.0", passes="abcde", **more):
    fields = {
        "cell": f"torch{torch}-cpu-py3.11", "torch": torch, "variant": "cpu", "accelerator": "cpu",
        "python": "3.11", "execution": "venv-cpu", "device_model": "Test CPU",
        "released": "2026-07-08",
        "findings": {f: Finding(verdict="pass", runs=2, nights=2) for f in passes},
    }  # fmt: skip
    return Candidate(**(fields | more))


def ranked(scenario, *candidates):
    return rank(scenario, candidates, today=TODAY, known=10)


def standings(scenario, *candidates):
    return [(line.candidate.torch, line.standing) for line in ranked(scenario, *candidates)]


FINDINGS = st.builds(
    Finding,
    verdict=st.sampled_from(["pass", "pass", "pass", *BAD]),
    runs=st.integers(0, 9),
    nights=st.integers(0, 9),
)
POSITIVE = st.floats(0.001, 1000)
MAYBE = st.none() | POSITIVE
CANDIDATES = st.builds(
    candidate,
    torch=st.sampled_from(["2.2.2", "2.9.1", "2.10.0", "2.15.0"]),
    execution=st.sampled_from(["venv-cpu", "host-cpu", "docker-cpu"]),
    provision=st.sampled_from(["built", "mounted"]),
    findings=st.dictionaries(st.sampled_from(FEATURES), FINDINGS),
    times=st.dictionaries(st.tuples(st.sampled_from(WORKLOADS), st.sampled_from("xy")), POSITIVE),
    install_bytes=MAYBE,
    memory_bytes=MAYBE,
    import_seconds=MAYBE,
    released=st.sampled_from(["", "2024-03-27", "2026-10-28"]),
)
# one of each name, so that the tie between equals is told by their names
GROUPS = st.lists(
    CANDIDATES, min_size=1, max_size=6, unique_by=lambda c: (c.cell, c.execution, c.provision)
)
SCENARIOS = st.builds(
    Scenario,
    name=st.just("s"),
    required=st.lists(st.sampled_from(FEATURES), min_size=1, unique=True).map(tuple),
    workloads=st.sampled_from([(), WORKLOADS[:1]]),
    weights=st.dictionaries(st.sampled_from(list(CRITERIA)), st.floats(0.1, 5), min_size=1),
    limits=st.dictionaries(
        st.sampled_from(["install_gb", "memory_gb", "import_s", "nights", "age_days"]),
        st.sampled_from([0.0, 3e-8, 3.0, 100.0]),
        max_size=2,
    ),
)


def places(scenario, group):
    order = [line.candidate for line in ranked(scenario, *group)]
    return {(c.cell, c.execution, c.provision): n for n, c in enumerate(order)}


def never_rises(scenario, group, number, changed):
    name = (group[number].cell, group[number].execution, group[number].provision)
    others = [changed if n == number else c for n, c in enumerate(group)]
    assert places(scenario, others)[name] >= places(scenario, group)[name]


@given(SCENARIOS, GROUPS, st.data(), st.sampled_from(FEATURES), st.sampled_from(BAD))
def test_a_feature_that_fails_never_raises_a_cell(scenario, group, data, feature, verdict):
    number = data.draw(st.integers(0, len(group) - 1))
    before = group[number]
    assume(verdict != "unsupported" or before.finding(feature).passes)
    findings = {**before.findings, feature: Finding(verdict=verdict, nights=9, runs=9)}
    never_rises(scenario, group, number, replace(before, findings=findings))


@given(SCENARIOS, GROUPS, st.data())
def test_what_is_not_measured_never_raises_a_cell(scenario, group, data):
    number = data.draw(st.integers(0, len(group) - 1))
    before = group[number]
    feature = data.draw(st.sampled_from(FEATURES))
    workload = data.draw(st.sampled_from([*before.times, ("", "")]))
    lost = data.draw(
        st.sampled_from(["install_bytes", "memory_bytes", "import_seconds", "released", "torch"])
    )
    changes = {
        "findings": {k: v for k, v in before.findings.items() if k != feature},
        "times": {k: v for k, v in before.times.items() if k != workload},
    }
    if lost != "torch":
        changes[lost] = "" if lost == "released" else None
    never_rises(scenario, group, number, replace(before, **changes))


@given(SCENARIOS, GROUPS)
def test_green_is_only_what_passes_everything_and_keeps_all_limits(scenario, group):
    lines = ranked(scenario, *group)
    for line in lines:
        seen = line.candidate
        if line.standing == "green":
            assert all(seen.finding(name).verdict == "pass" for name in scenario.required)
            for name, value in (
                ("install_gb", seen.install_bytes), ("memory_gb", seen.memory_bytes),
            ):  # fmt: skip
                if name in scenario.limits:
                    assert value is not None
                    assert value <= scenario.limits[name] * 1e9
            if "import_s" in scenario.limits:
                assert seen.import_seconds <= scenario.limits["import_s"]
            if "age_days" in scenario.limits:
                assert seen.age(TODAY) >= scenario.limits["age_days"]
            if "nights" in scenario.limits:
                nights = [seen.finding(name).nights for name in scenario.required]
                assert min(nights) >= scenario.limits["nights"]
    green = [line.standing == "green" for line in lines]
    assert green == sorted(green, reverse=True)


@given(SCENARIOS, GROUPS, st.randoms())
def test_the_order_does_not_hang_on_the_order_of_the_evidence(scenario, group, random):
    shuffled = random.sample(group, len(group))
    assert ranked(scenario, *group) == ranked(scenario, *shuffled)


WANTS_A = Scenario(name="s", required=("a",), weights={"features": 1})


@pytest.mark.parametrize(
    ("findings", "standing"),
    [
        pytest.param({"a": Finding(verdict="pass")}, "green", id="pass"),
        pytest.param({"a": Finding(verdict="unsupported")}, "ruled out", id="refused"),
        pytest.param({"a": Finding(verdict="flaky")}, "ruled out", id="flaky"),
        pytest.param({"a": Finding(verdict="fail waived")}, "ruled out", id="waived"),
        pytest.param({"b": Finding(verdict="pass")}, "not measured", id="not-measured"),
    ],
)
def test_only_a_pass_is_green(findings, standing):
    assert standings(WANTS_A, candidate(findings=findings)) == [("2.13.0", standing)]


def test_a_cell_that_can_no_longer_be_made_is_ruled_out():
    line = candidate(broken="uninstallable: no wheel")
    assert standings(WANTS_A, line) == [("2.13.0", "ruled out")]


@pytest.mark.parametrize(
    ("limits", "fields", "standing"),
    [
        pytest.param({"install_gb": 2}, {"install_bytes": 2e9}, "green", id="within"),
        pytest.param({"install_gb": 2}, {"install_bytes": 2.1e9}, "ruled out", id="over"),
        pytest.param({"install_gb": 2}, {}, "not measured", id="unknown"),
        pytest.param({"nights": 3}, {}, "ruled out", id="too-few-nights"),
        pytest.param({"age_days": 138}, {}, "green", id="old-enough"),
        pytest.param({"age_days": 139}, {}, "ruled out", id="too-new"),
        pytest.param({"age_days": 1}, {"released": ""}, "not measured", id="age-unknown"),
    ],
)
def test_limits(limits, fields, standing):
    assert standings(replace(WANTS_A, limits=limits), candidate(**fields)) == [("2.13.0", standing)]


def test_wrong_numbers_may_be_limited_and_must_then_have_been_looked_for():
    """Of two cells one ran a test that the other did not: nobody knows what that would show."""
    scenario = replace(WANTS_A, limits={"wrong": 0})
    wrong = candidate("2.11.0", findings={
        "a": Finding(verdict="pass"), "b": Finding(verdict="wrong"),
    })  # fmt: skip
    unaware = candidate("2.12.0", passes="a")
    sound = candidate("2.13.0", passes="ab")
    assert standings(scenario, wrong, unaware, sound) == [
        ("2.13.0", "green"),
        ("2.12.0", "not measured"),
        ("2.11.0", "ruled out"),
    ]


def test_what_may_be_recommended_stands_before_what_scores_more():
    scenario = replace(WANTS_A, limits={"install_gb": 2}, weights={"features": 1, "throughput": 3})
    best = candidate("2.15.0", install_bytes=5e9, times={("gemm", ""): 1.0})
    small = candidate("2.13.0", passes="a", install_bytes=1e9)
    assert standings(scenario, best, small) == [("2.13.0", "green"), ("2.15.0", "ruled out")]


def test_what_is_not_recommended_stands_by_how_much_of_the_required_passes():
    scenario = replace(WANTS_A, required=("a", "b", "c"), weights={"recent": 1})
    nearly, hardly = candidate("2.2.2", "ab", released="2024-03-27"), candidate("2.15.0", "c")
    assert [torch for torch, _ in standings(scenario, nearly, hardly)] == ["2.2.2", "2.15.0"]


def test_what_is_unknown_counts_as_nothing():
    """Leaving it out of the mean would rank the cell that nobody weighed first."""
    scenario = replace(WANTS_A, weights={"settled": 1, "size": 1})
    small, large = candidate(install_bytes=1e9), candidate("2.12.1", install_bytes=2e9)
    blind = candidate("2.15.0")
    lines = ranked(scenario, small, large, blind)
    assert [(x.candidate.torch, x.score) for x in lines] == [
        ("2.13.0", 1.0), ("2.12.1", 0.75), ("2.15.0", 0.5),
    ]  # fmt: skip
    assert lines[-1].shares["size"] is None


def test_features_are_counted_against_all_that_there_are():
    """One pass of one test is not more than nine of ten."""
    few, many = candidate("2.15.0", "a"), candidate("2.13.0", "abcde")
    assert [torch for torch, _ in standings(WANTS_A, few, many)] == ["2.13.0", "2.15.0"]
    refused = candidate("2.13.0", findings={
        **many.findings, "z": Finding(verdict="fail"), "y": Finding(verdict="unsupported"),
    })  # fmt: skip
    (line,) = ranked(WANTS_A, refused)
    assert (line.shares["features"], line.shares["sound"]) == (0.5, 0.6)


def test_equals_stand_with_the_newest_release_first():
    lines = [candidate("2.9.1"), candidate("2.10.0"), candidate("2.2.2")]
    assert [torch for torch, _ in standings(WANTS_A, *lines)] == ["2.10.0", "2.9.1", "2.2.2"]


def test_a_scenario_chooses_devices_and_cells():
    scenario = replace(WANTS_A, devices=("cpu",), select=("torch>=2.9",))
    lines = [candidate("2.9.1"), candidate("2.2.2"), candidate(execution="host-cuda")]
    assert [torch for torch, _ in standings(scenario, *lines)] == ["2.9.1"]


def test_required_on_one_kind_of_device():
    scenario = replace(WANTS_A, required_on={"cuda": ("z",)})
    gpu = candidate(execution="host-cuda")
    assert ranked(scenario, candidate())[0].standing == "green"
    assert ranked(scenario, gpu)[0].missing == ("z",)


def test_throughput_is_the_geometric_mean_against_the_best():
    best = {("gemm", ""): 1.0, ("decoder", ""): 2.0}
    assert throughput(candidate(times={("gemm", ""): 2.0, ("decoder", ""): 4.0}), best) == 0.5
    assert throughput(candidate(times={("gemm", ""): 1.0}), best) == pytest.approx(0.1**0.5)
    assert throughput(candidate(), best) is None
