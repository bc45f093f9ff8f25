"""Rules about what is installed beside torch: requirements, pairs, and kernels' builds."""

import re
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from matrix import facts
from matrix.check import fixes, pairs
from matrix.check.finding import Said, no, rule, unknown, yes
from matrix.check.machine import Machine, Package
from matrix.check.requirements import Unmet, Wanted, holds, unmet, wanted
from matrix.facts import knownbad

_METADATA = "metadata of the installed distributions"
_MOST = 4
_ON_PYTORCH_INDEX = ("torchvision", "torchaudio")
ENGINES = ("sglang", "vllm")


@rule("requirements", "does each distribution have what it requires?")
def requirements(machine: Machine) -> Iterator[Said]:
    """Serving engines pin torch exactly, and pip only warns where something else breaks that."""
    if machine.packages is None:
        return
    count = 0
    well = True
    every = list(wanted(machine))
    for one in every:
        count += len(one.requirements)
        if missing := list(unmet(machine, one)):
            well = False
            yield _unmet(machine, one, missing)
    if well and every:
        yield yes(f"{count} requirements of {len(every)} distributions hold", _METADATA)
    elif not every:
        yield unknown("what the distributions require is not known", _METADATA)


def _unmet(machine: Machine, one: Wanted, missing: list[Unmet]) -> Said:
    # torch first, then other versions, then what is missing altogether
    missing = sorted(missing, key=lambda item: (item.requirement.name != "torch", not item.here))
    told = "; ".join(str(item) for item in missing[:_MOST])
    told += f"; and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
    return no(
        f"{one.of.name} {one.of.version}: {told}", one.source, one.basis,
        fix=_fix(machine, one, missing), subject=one.of.name,
        minor=not one.needs_torch or all(map(_is_update, missing)),
    )  # fmt: skip


def _is_update(item: Unmet) -> bool:
    """A newer library of NVIDIA's than torch pins: people override those pins for its fixes."""
    exact = [s.version for s in item.requirement.specifier if s.operator == "=="]
    if not (item.requirement.name.startswith("nvidia-") and item.here and exact):
        return False
    here, pinned = facts.natural(item.here), facts.natural(exact[0])
    return here > pinned and here[0] == pinned[0]


def _fix(machine: Machine, one: Wanted, missing: list[Unmet]) -> str:
    """Bring an engine its own torch; bring torch's companions to the torch that is there."""
    name = canonicalize_name(one.of.name)
    if name == "torch":
        names = [f"{one.requirement.name}{one.requirement.specifier}" for one in missing]
        return fixes.install(machine, *names)
    of_torch = any(one.requirement.name == "torch" and one.here for one in missing)
    if of_torch and name not in ENGINES and (fix := _fitting(machine, name)):
        return fix
    return fixes.install(machine, f"{name}=={one.of.release}")


def _fitting(machine: Machine, name: str) -> str:
    """Install the companion's version for the torch that is there, or ""."""
    version = pairs.companion_for(name, machine.release)
    index = _index(machine) if name in _ON_PYTORCH_INDEX else ""
    return fixes.install(machine, f"{name}=={version}", variant=index) if version else ""


def _index(machine: Machine) -> str:
    default = facts.default_variant(machine.release)
    return "" if machine.variant in {"", default} else machine.variant


@rule("needs", "does torch have what its metadata does not ask for?")
def needs(machine: Machine) -> Iterator[Said]:
    """NumPy and setuptools: no torch wheel says which of them it works with."""
    if not machine.release or machine.packages is None:
        return
    try:
        every = facts.needs_of(machine.release)
    except InvalidVersion:
        return
    for need in every:
        wants = Requirement(need.requirement)
        have = machine.package(wants.name)
        told = f"torch {machine.torch} with {wants.name} {have.version if have else '(none)'}"
        if have and holds(wants, have.version):
            yield yes(f"{told}: {need.requirement}", need.source, "declared")
        elif have or not machine.recorded:
            yield no(
                f"{told}: it needs {need.requirement}; {need.why}", need.source, "declared",
                fix=fixes.install(machine, need.requirement),
                minor=have is None or wants.name != "numpy", subject=wants.name,
            )  # fmt: skip


@rule("pairs", "was each companion made for this torch?")
def paired(machine: Machine) -> Iterator[Said]:
    """Where a companion pins no torch: by its project's table, or by what shipped together."""
    if not machine.release or machine.packages is None:
        return
    for name, package in machine.packages.items():
        known = pairs.torches_of(name, package.release)
        if known is None:
            continue
        told = f"{name} {package.version} is known to go with torch {', '.join(known.torches)}"
        told += f", here is torch {machine.torch}"
        fits = pairs.minor(machine.release) in {pairs.minor(torch) for torch in known.torches}
        if known.between:
            told = told.replace("is known to", "lies between versions that")
        if fits and known.between and len({pairs.minor(t) for t in known.torches}) > 1:
            yield unknown(told, known.source, "declared")
        elif fits:
            yield yes(told, known.source, "declared")
        else:
            why = ": it is built for another torch and not compatible with this one"
            yield no(
                told + (why if known.compiled else ": they do not match"), known.source,
                "declared",
                fix=_fitting(machine, name) or fixes.newest_torch(machine, known.torches),
                minor=not known.compiled and _is_newer(machine.release, known.torches),
                subject=name,
            )  # fmt: skip


def _is_newer(release: str, torches: tuple[str, ...]) -> bool:
    """A torch newer than all that a table lists may be fine: the table is as old as it is."""
    return facts.natural(release) > facts.natural(torches[-1])


_BUILT = re.compile(r"torch(?P<torch>\d+\.\d+)")
_CUDA = re.compile(r"(?:^|[.+_])cu(?P<major>1\d)\d?(?!\d)")
_ABI = re.compile(r"cxx11abi(?P<abi>TRUE|FALSE)", re.IGNORECASE)


@rule("kernel-builds", "are the kernels' wheels built for this torch, CUDA and C++ ABI?")
def kernel_builds(machine: Machine) -> Iterator[Said]:
    """By the local part of a version or file name, such as `+cu12torch2.5cxx11abiFALSE`."""
    if not machine.release or machine.packages is None:
        return
    source = "local version of the wheel"
    for name, package in machine.packages.items():
        if name == "torch" or name.startswith("nvidia-") or not package.local:
            continue
        wrong = list(_mismatches(machine, package))
        told = f"{name} {package.release}+{package.local}"
        if wrong:
            fix = _fitting(machine, name)
            yield no(f"{told}: {'; '.join(wrong)}", source, fix=fix, subject=name)
        else:
            yield yes(told, source)


def _mismatches(machine: Machine, package: Package) -> Iterator[str]:
    local = package.local
    if (built := _BUILT.search(local)) and built["torch"] != pairs.minor(machine.release):
        yield f"built for torch {built['torch']}, here is torch {machine.torch}"
    cuda = _CUDA.search(local)
    if cuda and machine.cuda and cuda["major"] != machine.cuda.split(".")[0]:
        yield f"built for CUDA {cuda['major']}, torch is built for CUDA {machine.cuda}"
    if local == "cpu" and machine.accelerator not in {"cpu", None}:
        yield f"it is a CPU build, torch is built for {machine.variant}"
    abi = pairs.cxx11_abi(machine)
    built_abi = _ABI.search(local)
    if built_abi and abi is not None and (built_abi["abi"].upper() == "TRUE") != abi:
        yield f"built with cxx11abi={built_abi['abi']}, torch has the other C++ ABI ({abi})"


_PARTS = (("flashinfer-python", "flashinfer-cubin", "flashinfer-jit-cache"),)


@rule("one-version", "are the parts of one project of one version?")
def one_version(machine: Machine) -> Iterator[Said]:
    """FlashInfer's three wheels must match exactly, and pin each other loosely or not at all."""
    for names in _PARTS:
        have = {name: found for name in names if (found := machine.package(name))}
        if len(have) < 2:  # noqa: PLR2004  one has nothing to differ from
            continue
        told = ", ".join(f"{name} {package.version}" for name, package in have.items())
        if len({package.release for package in have.values()}) == 1:
            yield yes(told, _METADATA)
        else:
            first = next(iter(have.values())).release
            parts = [f"{name}=={first}" for name in have]
            yield no(f"{told}: they must match exactly", _METADATA,
                     fix=fixes.install(machine, *parts))  # fmt: skip


@rule("held-back", "is each release what a resolver was meant to give?")
def held_back(machine: Machine) -> Iterator[Said]:
    """Resolvers that take no pre-releases stop before a release that requires one, silently."""
    for name, package in (machine.packages or {}).items():
        if found := pairs.held_back(name, package.release):
            told = f"{name} {package.version} is outdated: every newer release requires {found}, "
            told += (
                "of which only pre-releases exist; uv before 0.12 silently falls back to this one"
            )
            preview = "--prerelease=allow" if fixes.is_uv(machine) else "--pre"
            fix = fixes.install(machine, name, options=("--upgrade", preview))
            yield no(told, "PyPI METADATA", "declared", fix=fix, minor=True, subject=name)


@rule("known-bad", "is this no combination that is known to be bad?")
def known_bad(machine: Machine) -> Iterator[Said]:
    """What runs and is wrong or slow all the same: `facts/known_bad.toml`."""
    for bad in knownbad.known_bad():
        if told := pairs.matches(machine, bad):
            yield no(f"{told}: {bad.why}", bad.source, bad.basis, fix=bad.fix, minor=bad.minor,
                     subject=bad.id)  # fmt: skip
