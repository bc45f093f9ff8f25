"""How large a difference is, and how sure that is."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.judge import student
from matrix.judge.effects import apart, confirms, discoveries, of_gains, paired

SECONDS = st.floats(1e-6, 1e3)


@pytest.mark.parametrize(
    ("confidence", "freedom", "distance"),
    [  # Table of Student's t in any textbook
        (0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 5, 2.571), (0.95, 30, 2.042),
        (0.99, 4, 4.604), (0.99, 11, 3.106), (0.999, 5, 6.869), (0.999, 8, 5.041),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_the_tables(confidence, freedom, distance):
    assert student.quantile(confidence, freedom) == pytest.approx(distance, abs=5e-4)


@given(st.floats(0, 50), st.integers(1, 60))
def test_a_p_value_is_a_probability_and_falls_with_distance(t, freedom):
    p = student.two_sided(t, freedom)
    assert 0 <= p <= 1
    assert student.two_sided(t + 0.1, freedom) <= p + 1e-12
    assert student.two_sided(-t, freedom) == p


def test_no_degrees_of_freedom_are_an_error():
    with pytest.raises(ValueError, match="0 degrees of freedom"):
        student.two_sided(1.0, 0)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=3, max_size=12))
def test_the_other_way_round_is_the_inverse(pairs):
    """Swapping the sides and swapping the direction are the same thing, whatever the numbers."""
    before, after = zip(*pairs, strict=True)
    slower, faster = paired(before, after, "lower"), paired(after, before, "lower")
    assert slower.ratio * faster.ratio == pytest.approx(1)
    assert slower.low * faster.high == pytest.approx(1, rel=1e-6)
    assert slower.p == pytest.approx(faster.p)
    assert paired(before, after, "higher").ratio == pytest.approx(faster.ratio)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=3, max_size=12), st.floats(1e-3, 1e3))
def test_units_do_not_matter(pairs, factor):
    before, after = zip(*pairs, strict=True)
    scaled = paired([factor * x for x in before], [factor * x for x in after], "lower")
    assert scaled.ratio == pytest.approx(paired(before, after, "lower").ratio, rel=1e-6)


def test_more_than_one_is_better_whatever_the_metric():
    before, after = [1.0, 1.01, 0.99], [1.1, 1.12, 1.08]
    assert paired(before, after, "lower").ratio < 1 < paired(before, after, "higher").ratio


def test_drift_that_hits_both_of_a_pair_is_no_noise():
    """A device that warms up by 20 % during the rounds, and one side that is 3 % slower."""
    drift = [1 + 0.2 * n / 8 for n in range(8)]
    together = paired(drift, [1.03 * value for value in drift], "lower")
    assert together.ratio == pytest.approx(1 / 1.03)
    assert together.high - together.low < 1e-9
    assert apart(drift, [1.03 * value for value in drift], "lower").p > 0.05


def test_one_slow_process_of_eight_does_not_hide_a_step():
    rng = random.Random(1)
    noise = [rng.gauss(0, 0.005) for _ in range(8)]
    noise[3] += 0.3
    effect = of_gains([value - 0.05 for value in noise])
    assert effect.p < 0.005
    assert effect.ratio == pytest.approx(math.exp(-0.05), abs=0.006)


def test_too_few_rounds_have_no_interval():
    with pytest.raises(ValueError, match="2 pairs, needs 3"):
        paired([1, 1], [1, 1], "lower")
    with pytest.raises(ValueError, match="2 rounds, needs 3"):
        apart([1, 1, 1], [1, 1], "lower")


def test_the_same_numbers_are_no_effect():
    effect = paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "lower")
    assert (effect.ratio, effect.low, effect.high, effect.p, effect.size) == (1, 1, 1, 1, 0)


def test_intervals_hold_what_is_true_as_often_as_they_say():
    """95 % intervals of 600 comparisons with heavy tails: 92 to 100 % hold the true ratio."""
    rng = random.Random(2)

    def value():  # t with 3 degrees of freedom
        return rng.gauss(0, 0.01) / math.sqrt(sum(rng.gauss(0, 1) ** 2 for _ in range(3)) / 3)

    for rounds in (6, 8, 12):
        effects = [of_gains([value() + 0.02 for _ in range(rounds)]) for _ in range(600)]
        held = sum(math.log(e.low) <= 0.02 <= math.log(e.high) for e in effects)
        assert 552 <= held <= 600, rounds


def test_discoveries_are_those_of_benjamini_and_hochberg():
    """The example of their paper of 1995: four of fifteen at 5 %."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
         0.4262, 0.5719, 0.6528, 0.7590, 1.0]  # fmt: skip
    assert discoveries(p, 0.05) == [True] * 4 + [False] * 11
    assert discoveries(p[::-1], 0.05) == [False] * 11 + [True] * 4
    assert discoveries([], 0.05) == []
    assert discoveries([0.04], 0.05) == [True]


def test_a_second_pass_confirms_only_the_same_direction():
    rng = random.Random(3)
    slower = of_gains([rng.gauss(-0.05, 0.005) for _ in range(12)])
    assert confirms(slower, better=False)
    assert not confirms(slower, better=True)


def test_an_effect_within_the_spread_of_processes_is_not_confirmed():
    """Launch-bound: 1.14 to 1.97 ms from process to process, though the mean is known well."""
    rng = random.Random(4)
    gains = [rng.choice([-0.5, 0.0, 0.0, 0.5]) - 0.2 for _ in range(200)]
    effect = of_gains(gains)
    assert effect.p < 0.001
    assert effect.size < effect.spread
    assert not confirms(effect, better=False)
