"""What installed distributions require of each other: by metadata, else by published facts."""

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from matrix import facts
from matrix.check.finding import Basis
from matrix.check.machine import Machine, Package

# what they call the extra that a server needs; its requirements were no plain ones then
_SERVER_EXTRA = {"sglang": "srt"}
_UNSAID = {"", "*", "(none)", "unconfirmed"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmet:
    """A requirement of an installed distribution, and what is there instead ("" for nothing)."""

    of: Package
    requirement: Requirement
    here: str

    def __str__(self) -> str:
        have = f"{self.requirement.name} {self.here}" if self.here else "it is not installed"
        return f"{self.requirement.name}{self.requirement.specifier} is required, {have}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """All that one distribution requires here, and where that is known from."""

    of: Package
    requirements: tuple[Requirement, ...]
    basis: Basis
    source: str

    @property
    def needs_torch(self) -> bool:
        """Whether it belongs to what runs on torch, or is torch."""
        return self.of.name == "torch" or any(r.name == "torch" for r in self.requirements)


def wanted(machine: Machine) -> Iterator[Wanted]:
    """The requirements of every installed distribution of which they are known."""
    for name, package in (machine.packages or {}).items():
        if package.requires is not None:
            found = tuple(_applying(machine, package, package.requires))
            yield Wanted(of=package, requirements=found, basis="measured",
                         source=f"Requires-Dist of the installed {name}")  # fmt: skip
        elif lines := _published(machine, package):
            found = tuple(_applying(machine, package, lines[1:]))
            yield Wanted(of=package, requirements=found, basis="declared", source=lines[0])


def unmet(machine: Machine, one: Wanted) -> Iterator[Unmet]:
    """The requirements that do not hold; what a record does not list is not known to be absent."""
    for requirement in one.requirements:
        have = machine.package(requirement.name)
        version = machine.torch if requirement.name == "torch" else have.version if have else ""
        if not version:
            if not machine.recorded and not _is_extra(requirement):
                yield Unmet(of=one.of, requirement=requirement, here="")
        elif not holds(requirement, version):
            yield Unmet(of=one.of, requirement=requirement, here=version)


def holds(requirement: Requirement, version: str) -> bool:
    """Whether an installed version satisfies it; one that is no version is not said to fail."""
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _is_extra(requirement: Requirement) -> bool:
    return requirement.marker is not None and "extra" in str(requirement.marker)


def _applying(machine: Machine, package: Package, lines: tuple[str, ...]) -> Iterator[Requirement]:
    extra = _SERVER_EXTRA.get(canonicalize_name(package.name), "")
    environment = _environment(machine)
    for line in lines:
        try:
            one = Requirement(line)
        except InvalidRequirement:
            continue  # old metadata has what today's grammar refuses
        one.name = canonicalize_name(one.name)
        try:
            if one.marker is None or any(
                one.marker.evaluate({**environment, "extra": e}) for e in {"", extra}
            ):
                yield one
        except UndefinedEnvironmentName:
            continue


def _environment(machine: Machine) -> dict[str, str]:
    """What markers ask of an interpreter, for the one that was looked at."""
    told = {
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": machine.architecture or "x86_64",
    }
    if machine.python:
        told["python_full_version"] = machine.python
        told["python_version"] = ".".join(machine.python.split(".")[:2])
    return told


def _published(machine: Machine, package: Package) -> tuple[str, ...]:
    """Source and requirements by the facts, for a distribution whose metadata is not known."""
    name = canonicalize_name(package.name)
    if name == "torch":
        return _of_torch(machine)
    pin = facts.pins().get((name, package.release))
    if pin is None:
        return ()
    torch = () if pin.torch in _UNSAID else (f"torch{pin.torch}",)
    source = f"{pin.package} {pin.version}: {pin.source}"
    return (source, *torch, *pin.requires) if torch or pin.requires else ()


def _of_torch(machine: Machine) -> tuple[str, ...]:
    build = machine.build
    if build is None or machine.accelerator != "cuda":
        return ()
    major = machine.cuda.split(".")[0]
    pins = {"triton": build.triton, f"nvidia-cudnn-cu{major}": build.cudnn,
            f"nvidia-nccl-cu{major}": build.nccl}  # fmt: skip
    lines = [f"{n}{v if v[0] in '~<>' else f'=={v}'}" for n, v in pins.items() if v]
    return (f"torch {build.torch} {build.variant}: {build.source}", *lines) if lines else ()
