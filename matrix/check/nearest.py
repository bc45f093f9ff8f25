"""The tested cell most like a machine, what was measured there, and the way to a green one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matrix import facts
from matrix.accelerators import AcceleratorName
from matrix.check import fixes
from matrix.check.machine import Machine
from matrix.query import Database
from matrix.rows import BAD
from matrix.verdicts import FLAKY

_FOUND = """
SELECT cell, torch, variant, python, companions, execution, provision, device_model, driver,
    feature, verdict, reason, time
FROM newest WHERE suite = 'feature' ORDER BY feature
"""
_QUIET = frozenset({"pass", "unsupported", "skip"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Red:
    """A feature that did not work in a cell."""

    feature: str
    verdict: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tested:
    """One execution that was measured; `counts` are of features by verdict, `driver` its GPUs'."""

    cell: str
    execution: str
    torch: str
    variant: str
    python: str
    companions: tuple[str, ...]
    provision: str
    device_model: str
    driver: str
    day: str
    counts: Mapping[str, int]
    red: tuple[Red, ...]

    @property
    def device(self) -> str:
        """Where its tests really ran."""
        return self.execution.rpartition("-")[2]

    @property
    def is_green(self) -> bool:
        """Whether everything passed, or was refused by torch as declared; and something passed."""
        return bool(self.counts.get("pass")) and set(self.counts) <= _QUIET


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """Where a tested cell differs from the machine; None is what the machine does not have."""

    name: str
    here: str
    there: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """A tested cell and its distance, axis by axis; nothing is said where they agree."""

    tested: Tested
    axes: tuple[Axis, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nearest:
    """The nearest tested cell, and the nearest green one that this machine can run.

    `change` is the command that leads to the green one, "" where it is here already; `more` is
    what that command does not do.
    """

    cells: int
    near: Near
    green: Near | None
    change: str
    more: tuple[str, ...]


def find(database: Database, machine: Machine) -> Nearest | None:
    """Look through all evidence; None where no feature was ever tested."""
    tested = _tested(database.select(_FOUND).records())
    if not tested:
        return None
    best = min(tested, key=lambda one: _distance(machine, one))
    fits = [one for one in tested if one.is_green and _can_run(machine, one)]
    green = min(fits, key=lambda one: _distance(machine, one), default=None)
    return Nearest(
        cells=len(tested),
        near=Near(tested=best, axes=axes(machine, best)),
        green=Near(tested=green, axes=axes(machine, green)) if green else None,
        change=_change(machine, green) if green else "",
        more=tuple(_more(machine, green)) if green else (),
    )


def _tested(lines: Iterable[Mapping[str, Any]]) -> list[Tested]:
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for line in lines:
        key = ("cell", "execution", "provision", "device_model")
        groups.setdefault(tuple(str(line[name]) for name in key), []).append(line)
    return [_one(group) for group in groups.values()]


def _one(lines: list[Mapping[str, Any]]) -> Tested:
    first = lines[0]
    counts: dict[str, int] = {}
    for line in lines:
        counts[line["verdict"]] = counts.get(line["verdict"], 0) + 1
    red = tuple(
        Red(feature=line["feature"], verdict=line["verdict"], reason=line["reason"] or "")
        for line in lines
        if line["verdict"] in BAD or line["verdict"] == FLAKY
    )
    return Tested(
        cell=first["cell"],
        execution=first["execution"],
        torch=first["torch"],
        variant=first["variant"],
        python=first["python"],
        companions=tuple(filter(None, (first["companions"] or "").split(";"))),
        provision=first["provision"],
        device_model=first["device_model"] or "",
        driver=max((line["driver"] or "" for line in lines), key=facts.natural),
        day=max(str(line["time"]) for line in lines)[:10],
        counts=counts,
        red=red,
    )


def device_of(machine: Machine) -> AcceleratorName:
    """Where torch is to run here: on the GPUs that there are, else on the CPU."""
    own = machine.accelerator
    if own and (own in machine.gpus or not (machine.gpus or own in machine.absent)):
        return own
    return next(iter(machine.gpus), "cpu")


def _distance(machine: Machine, one: Tested) -> tuple[Any, ...]:
    """Smaller is nearer: the device before its model, that before torch, and so on."""
    releases = sorted(facts.builds(), key=facts.natural)
    minors = list(dict.fromkeys(_minor(release) for release in releases))
    here = machine.release or releases[-1]
    lacking = sum(c not in _installed(machine) for c in one.companions)
    return (
        one.device != device_of(machine),
        not _same_model(machine, one),
        abs(_place(minors, _minor(here)) - _place(minors, _minor(one.torch))),
        abs(_place(releases, here) - _place(releases, one.torch)),
        _place(releases, one.torch) < _place(releases, here),  # of two, the newer one
        machine.variant != one.variant,
        abs(_number(machine.python) - _number(one.python)) if machine.python else 0,
        lacking,
        len(one.companions),
        one.provision == "mounted",
    )


def _installed(machine: Machine) -> set[str]:
    return {f"{name}=={package.release}" for name, package in (machine.packages or {}).items()}


def _minor(release: str) -> str:
    return ".".join(release.split(".")[:2])


def _place(ordered: list[str], item: str) -> int:
    """Where it stands, or would stand, in an ascending list."""
    return sum(facts.natural(other) < facts.natural(item) for other in ordered)


def _number(python: str) -> int:
    parts = python.rstrip("t").split(".")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 0


def _same_model(machine: Machine, one: Tested) -> bool:
    devices = machine.devices.get(device_of(machine))
    return one.device == "cpu" or bool(devices and one.device_model in devices.names)


def axes(machine: Machine, one: Tested) -> tuple[Axis, ...]:
    """Every axis on which a tested cell and the machine differ."""
    short = ".".join(machine.python.split(".")[:2])
    devices = machine.devices.get(device_of(machine))
    models = ", ".join(dict.fromkeys(devices.names)) if devices else ""
    wanted = [
        ("device", device_of(machine), one.device),
        ("torch", machine.release, one.torch),
        ("variant", machine.variant, one.variant),
        ("Python", short, one.python),
    ]
    if one.device != "cpu":
        wanted += [("GPU", models, one.device_model), ("driver", machine.driver, one.driver)]
    wanted += [
        (name, package.release if (package := machine.package(name)) else "", version)
        for name, _, version in (companion.partition("==") for companion in one.companions)
    ]
    found = [Axis(name=n, here=here, there=there) for n, here, there in wanted if here != there]
    if one.provision == "mounted":
        found.append(Axis(name="provision", here="", there="mounted: proves less than built"))
    return tuple(axis for axis in found if axis.there)


def _can_run(machine: Machine, one: Tested) -> bool:
    """Whether it ran on what this machine has, and its build is one that this machine can run."""
    return one.device == device_of(machine) and fixes.admits(machine, one.torch, one.variant)


def _change(machine: Machine, green: Tested) -> str:
    commands = []
    if (machine.release, machine.variant) != (green.torch, green.variant):
        commands.append(fixes.torch(machine, green.torch, green.variant))
    lacking = [c for c in green.companions if c not in _installed(machine)]
    if lacking:
        commands.append(fixes.install(machine, *lacking))
    return " && ".join(commands)


def _more(machine: Machine, green: Tested) -> Iterable[str]:
    """What differs and no installation of torch changes."""
    for axis in axes(machine, green):
        if axis.name == "Python" and axis.here:
            yield f"it was measured with Python {axis.there}, here is {axis.here}"
        elif axis.name in {"GPU", "driver"} and axis.here:
            yield f"it was measured on {axis.name} {axis.there}, here is {axis.here}"
