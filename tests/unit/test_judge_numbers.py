"""Rows of two sides → verdicts: what may be compared, and what a difference is called."""

import dataclasses
import random

import pytest

from matrix.judge.aggregates import aggregates
from matrix.judge.history import judge_night
from matrix.judge.series import contrasts as of_sides
from matrix.judge.series import sides
from matrix.judge.verdicts import judge, suspects, worst
from matrix.rows import Row

ROW = {
    "run": "r", "cell": "c", "torch": "2.11.0", "variant": "cu130", "accelerator": "cuda",
    "python": "3.12", "execution": "docker-cuda", "backend": "docker", "runner": "local",
    "device": "cuda", "device_model": "NVIDIA H200", "driver": "580.1", "power_limit": 700.0,
    "provision": "built", "suite": "throughput", "test": "test_gemm.py::test_gemm",
    "workload": "gemm",
}  # fmt: skip
METRIC = {"metric": "time", "unit": "s", "better": "lower", "params": '{"n": 1, "work.flop": 2}'}


def contrasts(before, after, place):
    return of_sides(sides(before), sides(after), place)


def outcome(**more):
    return Row(**{**ROW, "verdict": "pass", "source": "abc", **more})


def metric(median, **more):
    return Row(**{**ROW, **METRIC, "median": median, "samples": (median,), **more})


def rounds(level, count=6, *, phase="first", seed=1, noise=0.005, **more):
    more.setdefault("side", "before" if phase else "")
    rng = random.Random(seed)
    values = [level * (1 + rng.gauss(0, noise)) for _ in range(count)]
    return [metric(v, round=n + 1, phase=phase, **more) for n, v in enumerate(values)]


def judged(before, after):
    found = judge(contrasts(before, after, "c docker-cuda"))
    assert len(found) == 1
    return found[0]


BEFORE = [outcome(), *rounds(1.0), *rounds(1.0, 12, phase="again", seed=2)]


def after(level, again=None, **more):
    again = level if again is None else again
    second = rounds(again, 12, phase="again", seed=4, **more)
    return [outcome(), *rounds(level, seed=3, **more), *second]


@pytest.mark.parametrize(
    ("level", "verdict"),
    [
        pytest.param(1.06, "regressed", id="slower"),
        pytest.param(0.94, "improved", id="faster"),
        pytest.param(1.0, "known", id="the-same"),
    ],
)
def test_what_was_seen_twice_has_a_name(level, verdict):
    found = judged(BEFORE, after(level))
    assert found.verdict == verdict
    assert found.effect.low <= 1 / level <= found.effect.high
    assert suspects([found]) == []


def test_direction_is_data():
    """The same numbers of a metric of which more is better are the opposite."""
    before = [dataclasses.replace(row, better="higher" if row.metric else "") for row in BEFORE]
    assert judged(before, after(1.06, better="higher")).verdict == "improved"


def test_what_was_seen_once_is_a_suspect():
    only_first = [row for row in after(1.06) if row.phase != "again"]
    found = judged(BEFORE, only_first)
    assert (found.verdict, found.why) == ("unstable", "seen once; not measured again")
    assert suspects([found]) == [found]


def test_what_the_second_pass_does_not_show_is_not_called():
    found = judged(BEFORE, after(1.06, again=1.0))
    assert found.verdict == "known"
    assert "at first and" in found.why


def test_two_times_are_never_called():
    """Rounds of two runs, each on a lease of its own, may differ by the day."""
    before = rounds(1.0, phase="")
    found = judged([outcome(), *before], [outcome(), *rounds(1.06, phase="", run="later")])
    assert (found.verdict, found.suspect) == ("unstable", False)
    assert "measured at two times" in found.why
    assert found.effect.high < 1


def test_processes_that_differ_more_than_the_effect_are_not_called():
    """Launch-bound: 1.14 to 1.97 ms from process to process."""
    rng = random.Random(5)

    def bimodal(level, phase, count):
        return [
            metric(level * rng.choice([1.14, 1.97]), round=n + 1, phase=phase, side="after")
            for n in range(count)
        ]

    for _ in range(100):
        sides = [
            [outcome(), *bimodal(level, "first", 6), *bimodal(level, "again", 12)]
            for level in (1.0, 1.06)
        ]
        found = judged(*sides)
        assert found.verdict == "unstable"
        assert "could hide" in found.why or "covers the effect" in found.why


def test_a_wide_interval_is_not_called_unchanged():
    """Unknown is never green."""
    found = judged(
        [outcome(), *rounds(1.0, 3, noise=0.1)], [outcome(), *rounds(1, 3, seed=9, noise=0.1)]
    )
    assert found.verdict == "unstable"
    assert "a change of 5% could hide in" in found.why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"device_model": "NVIDIA H100"}, "device: cuda NVIDIA H200, then cuda NVIDIA H100"),
        ({"driver": "590.2"}, "driver: 580.1, then 590.2"),
        ({"power_limit": 500.0}, "power limit: 700 W, then 500 W"),
        ({"backend": "host"}, "backend: docker, then host"),
        ({"provision": "mounted"}, "provision: built, then mounted"),
        ({"source": "xyz"}, "test source changed"),
        ({"unit": "ms"}, "unit: s, then ms"),
        ({"better": "higher"}, "direction: lower, then higher"),
        ({"params": '{"n": 1, "work.flop": 4}'}, "work of a call: flop=2, then flop=4"),
    ],
)
def test_other_conditions_give_no_number(change, why):
    found = judged(BEFORE, after(1.06, **change))
    assert (found.verdict, found.why, found.effect) == (
        "first-seen",
        f"not comparable: {why}",
        None,
    )


def test_all_conditions_that_differ_are_named():
    found = judged(BEFORE, after(1.06, driver="590.2", power_limit=None))
    assert found.why == "not comparable: driver: 580.1, then 590.2; power limit: 700 W, then ?"


@pytest.mark.parametrize(
    ("count", "what"), [(1, "1 process"), (2, "2 processes")]
)  # fmt: skip
def test_too_few_processes_give_no_number(count, what):
    found = judged(rounds(1.0, count), rounds(1.1, count))
    assert (found.verdict, found.effect) == ("unstable", None)
    assert found.why == f"{what} of a side; their spread takes 3"


def test_an_empty_history_is_first_seen():
    found = judged([], after(1.0))
    assert (found.verdict, found.why) == ("first-seen", "nothing was measured before")


def test_new_gone_and_missing_series_are_listed():
    other = {"test": "test_copy.py::test_copy", "workload": "copy"}
    found = judge(contrasts(BEFORE, [*BEFORE, outcome(**other), *rounds(1.0, **other)], "p"))
    assert [j.verdict for j in found] == ["known", "new"]
    found = judge(contrasts([*BEFORE, outcome(**other), *rounds(1.0, **other)], BEFORE, "p"))
    assert [j.verdict for j in found] == ["known", "gone"]
    failed = [outcome(verdict="oom", reason="out of memory")]
    found = judged(BEFORE, failed)
    assert (found.verdict, found.why) == ("missing", "oom: out of memory")
    found = judged(failed, BEFORE)
    assert (found.verdict, found.why) == ("new", "before: oom: out of memory")


def test_disturbed_rounds_are_no_numbers():
    """What the clock or a neighbour spoilt is left out; where nothing is left, that is said."""
    spoilt = [dataclasses.replace(row, reason="another process was busy") for row in rounds(9.0)]
    found = judged(BEFORE, [outcome(), *spoilt])
    assert (found.verdict, found.why) == ("unstable", "another process was busy")
    found = judged(
        BEFORE, [*after(1.06), *(dataclasses.replace(r, round=r.round + 90) for r in spoilt)]
    )
    assert found.verdict == "regressed"


def test_only_rounds_that_both_sides_have_are_pairs():
    """A crash in one round of one side costs that pair."""
    found = judged(BEFORE, [row for row in after(1.0) if row.round != 4])
    assert found.effect.rounds == 5


def many(level, count=20, **more):
    return [
        row
        for n in range(count)
        for row in [
            outcome(test=f"test_w.py::t[{n}]", workload=f"w{n}"),
            *rounds(level, test=f"test_w.py::t[{n}]", workload=f"w{n}", **{"seed": n, **more}),
        ]
    ]


def test_many_series_without_a_difference_are_rarely_suspected():
    """40 comparisons of 20 series that do not differ: one in five asks for a second pass."""
    asked = sum(
        bool(suspects(judge(contrasts(many(1.0, seed=n), many(1.0, seed=n + 500), "p"))))
        for n in range(0, 4000, 100)
    )
    assert asked <= 14


def test_aggregates_are_of_what_both_sides_have():
    before = [
        *many(1.0, 4),
        outcome(test="x", workload="old"),
        *rounds(1, test="x", workload="old"),
    ]
    found = judge(contrasts(before, many(1.05, 5, seed=7), "p"))
    [whole] = aggregates(found)
    assert whole.series == 4
    assert whole.ratio == pytest.approx(1 / 1.05, abs=0.005)
    assert whole.effect.low < whole.ratio < whole.effect.high
    assert dict(whole.excluded) == {
        "old n=1": "gone: the series is not there any more",
        "w4 n=1": "new: only the second side has it",
    }


def test_an_aggregate_of_nothing_has_no_ratio():
    [whole] = aggregates(judge(contrasts([], many(1.0, 1), "p")))
    assert (whole.ratio, whole.effect, whole.series) == (None, None, 0)


def test_compile_times_are_no_part_of_steady_state():
    first_call = [*many(1.0, 2), *rounds(30.0, test="test_w.py::t[0]", metric="first-call")]
    assert [a.metric for a in aggregates(judge(contrasts(first_call, first_call, "p")))] == [
        "time", "first-call",
    ]  # fmt: skip


def test_the_worst_comes_first():
    found = judge(contrasts([*BEFORE], after(1.06), "p")) + judge(contrasts([], after(1), "p"))
    assert [j.verdict for j in worst(reversed(found))] == ["regressed", "first-seen"]


def nights(count, level=1.0, **more):
    return [
        [outcome(**more), *rounds(level, 3, phase="", seed=n, run=f"r{n}", **more)]
        for n in range(count)
    ]


def by_night(earlier, level, **more):
    now = [outcome(**more), *rounds(level, 3, phase="", seed=999, run="now", **more)]
    [found] = judge_night(earlier, now, "c docker-cuda")
    return found


def test_a_night_like_those_before_is_known():
    found = by_night(nights(20), 1.0)
    assert (found.verdict, found.suspect, found.effect.rounds) == ("known", False, 18)


def test_a_night_unlike_those_before_is_a_suspect_and_not_called():
    found = by_night(nights(20), 1.05)
    assert (found.verdict, found.suspect) == ("unstable", True)
    assert found.why == "unlike the 18 nights before; rounds taken in turn tell"
    assert found.effect.low < 1 / 1.05 < found.effect.high < 1


@pytest.mark.parametrize(
    ("earlier", "why"),
    [
        ([], "nothing was measured before"),
        (nights(5), "3 nights at this level; 8 make a baseline"),
        (nights(20, driver="570.0"), "not comparable: driver: 570.0, then 580.1"),
    ],
)
def test_without_enough_nights_a_series_is_first_seen(earlier, why):
    found = by_night(earlier, 1.05)
    assert (found.verdict, found.why, found.effect) == ("first-seen", why, None)


def test_nights_under_other_conditions_are_no_part_of_a_history():
    """Twenty nights at half the power, then twenty like tonight."""
    found = by_night([*nights(20, 1.4, power_limit=350.0), *nights(20)], 1.0)
    assert (found.verdict, found.effect.rounds) == ("known", 18)


def test_a_series_that_fails_tonight_is_missing():
    [found] = judge_night(nights(20), [outcome(verdict="fail", reason="boom")], "p")
    assert (found.verdict, found.why) == ("missing", "fail: boom")
