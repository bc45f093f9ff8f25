"""What a GPU does while it is measured: clock, power, temperature, what holds the clock back.

Read through the driver's management library, which is there wherever the driver is. A steady
software power cap is a state to measure in; a slowdown by heat or hardware is not.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import sys
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Sequence

# nvml.h: nvmlClocksEventReason*; those that say nothing about load (idle, set clocks) are left out
LIMITS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
SLOWDOWNS = frozenset(LIMITS.values()) - {"power cap"}
DRIFT = 0.03  # of the time, from the first third of the samples to the last
LITTLE = 0.4  # of the power cap: too little to be held back by it
SETTLED = 0.02
SM_CLOCK, GPU_SENSOR, UNCORRECTED, SINCE_START = 1, 0, 1, 0
TOO_SMALL = 7


class State(NamedTuple):
    """One reading: MHz, watts, degrees Celsius; None where the driver does not say.

    ``cap`` is the power limit in force, ``limits`` hold the clock back, ``errors`` are uncorrected
    ones of the memory since the driver was loaded, ``processes`` is how many compute on this GPU.
    """

    clock: Optional[float] = None
    power: Optional[float] = None
    cap: Optional[float] = None
    temperature: Optional[float] = None
    limits: FrozenSet[str] = frozenset()
    errors: Optional[int] = None
    processes: Optional[int] = None


class Gate:
    """Readings around the samples of one series."""

    def __init__(self) -> None:
        self.states: List[State] = []
        self._device = _NVML.device() if _uses_cuda() else None

    def read(self) -> None:
        """Take a reading, some 0.1 ms; nothing where the device has no such library."""
        if self._device is not None:
            self.states.append(self._device.state())

    def capped(self) -> bool:
        """Take a reading: whether the power cap holds the clock back now."""
        self.read()
        return bool(self.states) and "power cap" in self.states[-1].limits

    def summary(self) -> Dict[str, object]:
        """Medians of what was read, and all that held the clock back; {} without readings."""
        found: Dict[str, object] = {}
        for field, name in (
            ("clock", "clock_mhz"),
            ("power", "power_w"),
            ("temperature", "temperature_c"),
        ):
            values = [getattr(state, field) for state in self.states]
            known = [value for value in values if value is not None]
            if known:
                found[name] = statistics.median(known)
        limits = frozenset().union(*(state.limits for state in self.states))
        return {**found, "limited_by": ", ".join(sorted(limits))} if self.states else {}

    def disturbance(self, samples: Sequence[float]) -> str:
        """Why ``samples`` taken between the readings are no number to act on, or ""."""
        return disturbance(self.states, samples)


class Settling:
    """Whether the power that a GPU draws still changes; it reports the mean of a second.

    A device that will soon be held back by its power cap is still fast at first.
    """

    def __init__(self) -> None:
        self._gate = Gate()

    def over(self) -> bool:
        """Take a reading: little power, or as much as three readings ago."""
        self._gate.read()
        states = self._gate.states
        if not states:
            return True
        now, cap = states[-1].power, states[-1].cap
        if now is None or cap is None or now < LITTLE * cap:
            return True
        before = states[-4].power if len(states) > 3 else None  # noqa: PLR2004
        return before is not None and abs(now - before) <= SETTLED * now


def disturbance(states: Sequence[State], samples: Sequence[float]) -> str:
    """Why ``samples`` measured between the readings are no number to act on, or ""."""
    if not states:
        return ""
    slow = sorted(frozenset().union(*(state.limits for state in states)) & SLOWDOWNS)
    if slow:
        return f"unstable: {' and '.join(slow)} of the GPU"
    errors = [state.errors for state in states if state.errors is not None]
    if errors and errors[-1] > errors[0]:
        return f"unstable: {errors[-1] - errors[0]} uncorrected memory errors meanwhile"
    most = max((state.processes or 0 for state in states), default=0)
    if most > 1:
        return f"unstable: {most - 1} other processes on the GPU"
    return drift(samples)


def drift(samples: Sequence[float]) -> str:
    """Whether it was not warmed up: the first third of the samples against the last.

    A clock that moves under a power cap is no such sign: it does so all the time.
    """
    third = len(samples) // 3
    if not third:
        return ""
    first, last = statistics.median(samples[:third]), statistics.median(samples[-third:])
    if abs(first - last) <= DRIFT * max(first, last):
        return ""
    return f"unstable: it took {first:.3g} s at first and {last:.3g} s at last"


class _Device:
    """One GPU of the management library."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    def state(self) -> State:
        """One reading."""
        power = self._number("nvmlDeviceGetPowerUsage")
        cap = self._number("nvmlDeviceGetEnforcedPowerLimit")
        # the newer of two names of the same thing first
        reasons = self._wide("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:
            reasons = self._wide("nvmlDeviceGetCurrentClocksThrottleReasons")
        return State(
            clock=self._number("nvmlDeviceGetClockInfo", SM_CLOCK),
            power=None if power is None else power / 1000,
            cap=None if cap is None else cap / 1000,
            temperature=self._number("nvmlDeviceGetTemperature", GPU_SENSOR),
            limits=frozenset(name for bit, name in LIMITS.items() if (reasons or 0) & bit),
            errors=self._wide("nvmlDeviceGetTotalEccErrors", UNCORRECTED, SINCE_START),
            processes=self._processes(),
        )

    def _number(self, name: str, *which: int) -> Optional[float]:
        value = ctypes.c_uint()
        return float(value.value) if self._call(name, *which, ctypes.byref(value)) == 0 else None

    def _wide(self, name: str, *which: int) -> Optional[int]:
        value = ctypes.c_ulonglong()
        return value.value if self._call(name, *which, ctypes.byref(value)) == 0 else None

    def _processes(self) -> Optional[int]:
        """Asked with room for none, the library says how much room there ought to be."""
        count = ctypes.c_uint(0)
        name = "nvmlDeviceGetComputeRunningProcesses_v3"
        code = self._call(name, ctypes.byref(count), None)
        return count.value if code in {0, TOO_SMALL} else None

    def _call(self, name: str, *arguments: object) -> int:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            return -1
        return int(function(self._handle, *arguments))


class _Library:
    """The management library, loaded when it is first asked for."""

    def __init__(self) -> None:
        self._tried = False
        self._library: Optional[ctypes.CDLL] = None

    def device(self) -> Optional[_Device]:
        """The GPU that torch uses; None without the library or where it is not found there."""
        if not self._tried:
            self._tried = True
            self._library = self._load()
        if self._library is None:
            return None
        handle = ctypes.c_void_p()
        uuid = current_uuid()
        if uuid:
            code = self._library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle))
        else:
            code = self._library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle))
        return None if code else _Device(self._library, handle)

    @staticmethod
    def _load() -> Optional[ctypes.CDLL]:
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
            return library if library.nvmlInit_v2() == 0 else None
        except (OSError, AttributeError):
            return None


_NVML = _Library()


def current_uuid() -> str:
    """`GPU-…` of torch's current device: as torch says, else as it was made visible; else ""."""
    torch = sys.modules["torch"]
    uuid = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
    if uuid is not None:
        return f"GPU-{uuid}"
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0]
    return first if first.startswith("GPU-") else ""


def _uses_cuda() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and not torch.version.hip and bool(torch.cuda.is_initialized())
