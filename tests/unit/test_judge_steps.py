"""What is new in a history, and since when each level holds."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.judge.effects import Effect
from matrix.judge.steps import Tonight, levels, suspicious, tonight


def nights(count, seed=1, noise=0.01, level=1.0):
    rng = random.Random(seed)
    return [level * math.exp(rng.gauss(0, noise)) for _ in range(count)]


def p_of(values):
    return tonight(values, "lower").effect.p


def test_a_short_history_says_so_and_gives_no_number():
    for count in range(11):
        found = tonight(nights(count), "lower")
        assert found.effect is None
        assert found.why.endswith("nights at this level; 8 make a baseline")
    assert tonight(nights(11), "lower").effect.rounds == 8


def test_a_step_is_seen_in_the_first_night():
    history = [*nights(34), 1.05]
    slower, more = tonight(history, "lower").effect, tonight(history, "higher").effect
    assert slower.p < 0.001
    assert slower.low < 1 / 1.05 < slower.high < 1
    assert slower.ratio * more.ratio == pytest.approx(1)


def test_a_step_does_not_hide_itself_within_three_nights():
    for count in (1, 2, 3):
        assert p_of([*nights(34), *nights(count, seed=2, level=1.05)]) < 0.001


def test_one_wild_night_in_the_past_does_not_hide_a_step():
    history = nights(34)
    history[20] *= 1.5
    assert p_of([*history, 1.05]) < 0.01


def test_the_baseline_is_the_level_that_holds_now():
    """Forty nights at 1.0, then twenty at 1.1: 1.1 is nothing new."""
    history = [*nights(40), *nights(20, seed=2, level=1.1)]
    assert p_of([*history, 1.1]) > 0.01
    assert p_of([*history, 1.0]) < 0.001


def test_where_levels_begin():
    logs = [math.log(v) for v in [*nights(20), *nights(10, 2, level=1.05), *nights(10, 3)]]
    assert levels(logs) == [0, 20, 30]
    assert levels([math.log(v) for v in nights(40)]) == [0]
    assert levels([]) == [0]


def test_a_clean_step_is_found_where_it_is():
    assert levels([0.0] * 10 + [0.05] * 10) == [0, 10]


def test_a_step_smaller_than_what_counts_is_none():
    assert levels([0.0] * 10 + [0.005] * 10) == [0]


@given(st.lists(st.floats(-2, 2), max_size=40))
def test_levels_are_parts_of_the_history(logs):
    starts = levels(logs)
    assert starts[0] == 0
    assert all(b - a >= 4 for a, b in itertools.pairwise(starts))
    assert all(start < max(len(logs), 1) for start in starts)


def test_many_series_are_suspected_together():
    """One small p-value among many is nothing; nor is a certain effect that is too small."""

    def night(ratio, p):
        return Tonight(effect=Effect(ratio=ratio, low=0.9, high=1.1, p=p, spread=0.0, rounds=30))

    quiet = [night(1.02, 0.9)] * 99
    assert suspicious([*quiet, Tonight(why="short"), night(1.02, 0.02)])[-2:] == [False, False]
    assert suspicious([*quiet, Tonight(why="short"), night(1.02, 0.001)])[-2:] == [False, True]
    assert suspicious([*quiet, night(1.002, 0.001)])[-1] is False
    assert suspicious([]) == []
