"""The judge on rounds that were recorded on an H200."""

from benchmarks import judge_recording

SPLITS = 40


def test_it_calls_nothing_where_nothing_differs() -> None:
    """One cell against itself, split anew each time."""
    told, count = judge_recording.resampled(SPLITS)

    assert count == 8 * SPLITS
    assert sum(told[call] for call in judge_recording.CALLS) <= 0.01 * count


def test_it_finds_a_small_delay_in_steady_series() -> None:
    """3 % on one side; a series that has two speeds is not called at all."""
    found = judge_recording.injected(SPLITS)
    steady = [told for test, told in found.items() if "test_bfloat16" not in test]

    assert len(steady) == 3
    assert all(told["regressed"] >= 0.95 * SPLITS for told in steady)
    assert found["test_linear.py::test_bfloat16[1]"]["improved"] == 0
