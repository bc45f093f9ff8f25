"""Warming up, with a clock of our own."""

import pytest

from matrix.inside import timer


class Clock:
    """Time that only the measured call moves."""

    def __init__(self, seconds: list[float]) -> None:
        self.now = 0.0
        self.calls = 0
        self._seconds = seconds

    def call(self) -> None:
        self.now += self._seconds[min(self.calls, len(self._seconds) - 1)]
        self.calls += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    def make(*seconds: float) -> Clock:
        clock = Clock(list(seconds))
        monkeypatch.setattr(timer, "synchronised", lambda: clock.now)
        return clock

    return make


def test_a_steady_call_is_warm_at_once(clock) -> None:
    """Three windows that agree are enough."""
    steady = clock(0.01)

    assert timer.warm_up(steady.call, limit=100) == pytest.approx(0.01)
    assert steady.calls == 2 + 3 * 5


def test_a_slow_start_is_left_behind(clock) -> None:
    """The result is that of the steady state."""
    slow = clock(*[1.0] * 5, *[0.5] * 5, *[0.1] * 50)

    assert timer.warm_up(slow.call, limit=1000) == pytest.approx(0.1)


def test_a_call_that_never_settles_ends(clock) -> None:
    restless = clock(*[0.1, 0.2, 0.4, 0.1, 0.3, 0.9] * 1000)

    assert timer.warm_up(restless.call, limit=5) > 0
    assert restless.now < 10


def test_a_tiny_call_is_repeated_per_reading(clock) -> None:
    """A reading lasts a millisecond at least."""
    tiny = clock(1e-5)

    timer.warm_up(tiny.call, limit=1)

    assert tiny.calls >= 2 * 5 * 100
