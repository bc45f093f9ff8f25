"""What a GPU says around samples, and when it makes them no numbers."""

import ctypes

import pytest

from matrix.inside import gates
from matrix.inside.gates import State

STEADY = [1.0] * 9


def test_a_power_cap_is_a_state_to_measure_in() -> None:
    states = [State(clock=clock, limits=frozenset({"power cap"})) for clock in (1500, 1400, 1480)]

    assert gates.disturbance(states, STEADY) == ""


@pytest.mark.parametrize("limit", sorted(gates.SLOWDOWNS))
def test_a_slowdown_by_heat_or_hardware_is_not(limit) -> None:
    """Also if it was seen once only."""
    states = [State(), State(limits=frozenset({limit, "power cap"})), State()]

    assert gates.disturbance(states, STEADY) == f"unstable: {limit} of the GPU"


def test_new_memory_errors_and_other_processes_disturb() -> None:
    assert "2 uncorrected" in gates.disturbance([State(errors=5), State(errors=7)], STEADY)
    assert "3 other processes" in gates.disturbance([State(processes=4)], STEADY)
    assert gates.disturbance([State(errors=5, processes=1)] * 2, STEADY) == ""


def test_a_time_that_moves_was_not_warmed_up() -> None:
    assert "1 s at first and 1.1 s" in gates.disturbance([State()], [1.0] * 6 + [1.1] * 3)
    assert gates.disturbance([State()], [1.0] * 6 + [1.02] * 3) == ""


def test_without_readings_nothing_is_said() -> None:
    """On a CPU, and where the driver's library is absent."""
    assert gates.disturbance([], [1.0, 2.0, 3.0]) == ""


class Library:
    """The driver's library, as far as it is asked."""

    def __init__(self, **numbers: int) -> None:
        self.numbers = numbers

    def __getattr__(self, name: str):
        if name not in self.numbers:
            raise AttributeError(name)

        def ask(*arguments: object) -> int:
            target = next(a for a in reversed(arguments) if a is not None)
            target._obj.value = self.numbers[name]
            return gates.TOO_SMALL if name.endswith("Processes_v3") else 0

        return ask


def test_a_reading_has_units_and_takes_older_names() -> None:
    """Milliwatts become watts; a library without a function says nothing of that."""
    library = Library(
        nvmlDeviceGetClockInfo=1980,
        nvmlDeviceGetPowerUsage=691_247,
        nvmlDeviceGetEnforcedPowerLimit=700_000,
        nvmlDeviceGetCurrentClocksThrottleReasons=0x04 | 0x40 | 0x01,
        nvmlDeviceGetComputeRunningProcesses_v3=2,
    )
    state = gates._Device(library, ctypes.c_void_p()).state()

    assert (state.clock, state.power, state.cap, state.processes) == (1980, 691.247, 700, 2)
    assert state.limits == {"power cap", "hardware thermal slowdown"}
    assert state.temperature is None
    assert state.errors is None


@pytest.mark.parametrize(
    ("watts", "readings"),
    [
        ([200, 200], 1),  # far from the cap
        ([500, 560, 600, 630, 650, 660, 668, 671, 672, 672, 672], 9),
    ],
)
def test_power_settles_where_it_is_near_the_cap(monkeypatch, watts, readings) -> None:
    """It is a mean over a second, so it lags behind."""
    left = iter(watts)
    monkeypatch.setattr(
        gates.Gate, "read", lambda gate: gate.states.append(State(power=next(left), cap=700.0))
    )
    settling = gates.Settling()
    count = 1
    while not settling.over():
        count += 1

    assert count == readings


def test_a_summary_has_medians_and_all_limits() -> None:
    gate = gates.Gate()
    gate.states = [
        State(clock=1400, power=600, limits=frozenset({"power cap"})),
        State(clock=1500, power=700),
    ]

    assert gate.summary() == {"clock_mhz": 1450, "power_w": 650, "limited_by": "power cap"}
