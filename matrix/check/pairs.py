"""Which companions go with which torch, by the facts: pins, tables, and what shipped together."""

import functools
from dataclasses import dataclass
from fnmatch import fnmatch

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from matrix import facts
from matrix.check.machine import Machine
from matrix.facts.knownbad import KnownBad

# compiled against torch, and without a pin on it in most releases: paired by the engines' pins
_COMPILED = ("sgl-kernel", "sglang-kernel", "torchcodec", "sgl-deep-gemm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Torches:
    """Releases of torch that a companion's version goes with, oldest first.

    `compiled`: it holds code that was compiled against torch. `between`: nothing is said of this
    very version, and these are of the listed ones before and after it.
    """

    torches: tuple[str, ...]
    source: str
    compiled: bool
    between: bool


def minor(release: str) -> str:
    """Leave the patch out, as in 2.9 of 2.9.1: within a minor version the C++ interface stays."""
    return ".".join(release.split(".")[:2])


@functools.cache
def torches_of(name: str, version: str) -> Torches | None:
    """What is known of a companion that pins no torch itself; None where nothing is."""
    own = facts.pins().get((name, version))
    if own and own.exact:
        return None  # its own requirement says it
    table = _tables().get(name, {})
    if version in table:
        around = [version]
    elif own:
        below = [v for v in table if facts.natural(v) < facts.natural(version)]
        above = [v for v in table if facts.natural(v) > facts.natural(version)]
        around = [below[-1], above[0]] if below and above else []
    else:
        around = []
    if not around:
        return None
    torches = sorted({torch for v in around for torch, _ in table[v]}, key=facts.natural)
    sources = sorted({source for v in around for _, source in table[v]}, key=facts.natural)
    return Torches(
        torches=tuple(torches),
        source=sources[0] + (f" to {sources[-1]}" if len(sources) > 1 else ""),
        compiled=name in _COMPILED,
        between=len(around) > 1,
    )


@functools.cache
def _tables() -> dict[str, dict[str, list[tuple[str, str]]]]:
    """Companion → version → (torch, source), versions in ascending order."""
    found: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for (name, version), shipped in _shipped().items():
        found.setdefault(name, {})[version] = [(t, f"pinned together by {e}") for t, e in shipped]
    for pair in facts.torchao_pairs().values():
        listed = found.setdefault("torchao", {}).setdefault(pair.torchao, [])
        listed.append((pair.torch, pair.source))
    return {
        name: {version: table[version] for version in sorted(table, key=facts.natural)}
        for name, table in found.items()
    }


@functools.cache
def _shipped() -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(companion, version) → (torch, engine) for what engines pin exactly beside torch."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for pin in facts.pins().values():
        if not pin.exact or not pin.torch.startswith("=="):
            continue
        for line in pin.requires:
            try:
                one = Requirement(line)
            except InvalidRequirement:
                continue
            exact = [s.version for s in one.specifier if s.operator == "=="]
            if canonicalize_name(one.name) in _COMPILED and exact:
                key = canonicalize_name(one.name), exact[0]
                found.setdefault(key, []).append((pin.torch[2:], f"{pin.package} {pin.version}"))
    return found


@functools.cache
def companion_for(name: str, torch: str) -> str:
    """The newest version of a companion that is known to go with a release of torch, or ""."""
    fits = [
        pin.version
        for pin in facts.pins().values()
        if pin.package == name and pin.exact and _admits(pin.torch, torch)
    ]
    if name == "torchao":
        fits = [p.torchao for p in facts.torchao_pairs().values() if minor(p.torch) == minor(torch)]
    fits += [
        version
        for (package, version), shipped in _shipped().items()
        if package == name and minor(torch) in {minor(release) for release, _ in shipped}
    ]
    return max(fits, key=facts.version, default="")


def _admits(specifier: str, torch: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(torch, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False


def cxx11_abi(machine: Machine) -> bool | None:
    """Whether torch has the C++11 ABI: as it says, else by release and build.

    PyTorch's notes of 2.6 (cu126 and ROCm wheels) and 2.7 (all Linux wheels).
    """
    if machine.loaded and machine.loaded.cxx11_abi is not None:
        return machine.loaded.cxx11_abi
    try:
        release = Version(machine.release).release[:2]
    except InvalidVersion:
        return None
    if release == (2, 6):
        return machine.variant == "cu126" or machine.variant.startswith("rocm")
    return release > (2, 6)


@functools.cache
def held_back(name: str, version: str) -> str:
    """What every newer release requires and only pre-releases exist of, where this one does not."""
    own = facts.pins().get((name, version))
    if own is None:
        return ""
    newer = [p for p in facts.pins().values() if p.package == name and _newer(p.version, version)]
    if not newer:
        return ""
    every = set.intersection(*(_names(pin) for pin in newer)) - _names(own)
    return next((package for package in sorted(every) if _only_previews(package)), "")


def _newer(version: str, than: str) -> bool:
    """Newer, and itself no pre-release."""
    found = facts.version(version)
    return found > facts.version(than) and not found.is_prerelease


def _names(pin: facts.Pin) -> set[str]:
    names: set[str] = set()
    for line in pin.requires:
        try:
            names.add(canonicalize_name(Requirement(line).name))
        except InvalidRequirement:
            continue
    return names


def _only_previews(package: str) -> bool:
    versions = [pin.version for pin in facts.pins().values() if pin.package == package]
    return bool(versions) and all(facts.version(v).is_prerelease for v in versions)


def matches(machine: Machine, bad: KnownBad) -> str:
    """What of this machine makes it a known bad combination, in words; "" where it is none."""
    told: list[str] = []
    wanted = bad.accelerator
    if wanted and (wanted in machine.absent or (machine.gpus and wanted not in machine.gpus)):
        return ""
    for name, specifier in bad.packages.items():
        here = _here(machine, name)
        if not here or not _admits(specifier, here[1]):
            return ""
        told.append(" ".join(here))
    if bad.rocm:
        hip = (machine.loaded.rocm or machine.loaded.hip) if machine.loaded else ""
        hip = hip or (machine.variant[4:] if machine.accelerator == "rocm" else "")
        if not hip or not _admits(bad.rocm, hip.partition("-")[0]):
            return ""
        told.append(f"ROCm {hip}")
    if bad.arch:
        archs = [arch for arch in machine.archs if fnmatch(arch, bad.arch)]
        if not archs:
            return ""
        told.append(f"on {archs[0]}")
    return ", ".join(told)


def _here(machine: Machine, pattern: str) -> tuple[str, str] | None:
    """Name and version of what fits a name or pattern; a record's libraries are those of torch."""
    if pattern == "torch":
        return ("torch", machine.release) if machine.release else None
    packages = machine.packages or {}
    for name, package in packages.items():
        if fnmatch(name, pattern):
            return name, package.release
    if machine.recorded and machine.build and pattern.startswith("nvidia-cudnn"):
        return ("its cuDNN", machine.build.cudnn) if machine.build.cudnn else None
    return None
