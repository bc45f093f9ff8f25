"""Commands that put something right, in the words of the machine's own installer."""

import shlex
from collections.abc import Iterator

from packaging.version import Version

from matrix import facts
from matrix.accelerators import accelerator_of
from matrix.check.machine import Machine

INDEX = "https://download.pytorch.org/whl"
# they are released with torch, on its index
_SIBLINGS = ("torchvision", "torchaudio")


def install(
    machine: Machine,
    *requirements: str,
    variant: str = "",
    again: bool = False,
    options: tuple[str, ...] = (),
) -> str:
    """Install into the interpreter that was checked; `variant` names PyTorch's index."""
    options = (*options, *(["--force-reinstall"] if again else []))
    if variant:
        options = (*options, "--index-url", f"{INDEX}/{variant}")
    return shlex.join([*_installer(machine, "install"), *requirements, *options])


def uninstall(machine: Machine, *names: str) -> str:
    """Remove distributions from the interpreter that was checked."""
    command = _installer(machine, "uninstall")
    return shlex.join([*command, *([] if command[0] == "uv" else ["-y"]), *names])


def is_uv(machine: Machine) -> bool:
    """Whether uv made the environment, so that its commands fit."""
    return _installer(machine, "install")[0] == "uv"


def _installer(machine: Machine, verb: str) -> list[str]:
    if machine.recorded or not machine.executable:
        return ["pip", verb]
    if machine.package("pip"):
        return [machine.executable, "-m", "pip", verb]
    return ["uv", "pip", verb, "--python", machine.executable]  # one that uv made


def torch(machine: Machine, release: str, variant: str) -> str:
    """Install one build of torch, and those of its siblings that are there now."""
    build = facts.builds()[release][variant]
    wanted = [f"torch=={release}"]
    for name in _SIBLINGS:
        version: str = getattr(build, name)
        if machine.package(name) and version:
            wanted.append(f"{name}=={version}")
    index = "" if build.is_default else variant
    # without it pip keeps what has the same number and another local part
    again = machine.release == release and machine.variant != variant
    return install(machine, *wanted, variant=index, again=again)


def build_for(machine: Machine, accelerator: str) -> str:
    """Install the build that `fitting` finds; "" where there is none."""
    found = fitting(machine, accelerator)
    return torch(machine, *found) if found else ""


def newest_torch(machine: Machine, releases: tuple[str, ...]) -> str:
    """Install the newest of some releases that runs here, as the accelerator that is here now."""
    for release in sorted(releases, key=facts.natural, reverse=True):
        if variant := next(_variants(machine, release, machine.accelerator or "cpu"), None):
            return torch(machine, release, variant)
    return ""


def fitting(machine: Machine, accelerator: str) -> tuple[str, str] | None:
    """The build of torch for this machine that is nearest to the one it has: (release, variant).

    Published, for this accelerator, with a wheel for this Python and glibc, runnable by its driver,
    with code for its GPUs. The same release, else the newest older one; of several variants the
    one that is here, then the default one, then the newest.
    """
    releases = sorted(facts.builds(), key=facts.natural, reverse=True)
    older = [r for r in releases if not machine.release or _order(r) <= _order(machine.release)]
    for release in [*older, *reversed([r for r in releases if r not in older])]:
        if found := next(_variants(machine, release, accelerator), None):
            return release, found
    return None


def _order(release: str) -> Version:
    return facts.version(release)


def _variants(machine: Machine, release: str, accelerator: str) -> Iterator[str]:
    newest = sorted(facts.published(release), key=facts.natural, reverse=True)
    first = (machine.variant, facts.default_variant(release))
    for variant in sorted(newest, key=lambda v: first.index(v) if v in first else len(first)):
        vendor = accelerator_of(variant)
        if vendor and accelerator == vendor.NAME and admits(machine, release, variant):
            yield variant


def admits(machine: Machine, release: str, variant: str) -> bool:
    """Whether a published build installs and runs here, as far as facts tell."""
    build, vendor = facts.published(release).get(variant), accelerator_of(variant)
    if build is None or vendor is None or not _installable(machine, build):
        return False
    devices = machine.devices.get(vendor.NAME)
    if vendor.driver_gate(variant, devices.driver if devices else None):
        return False
    archs = {gpu.arch for gpu in devices.gpus if gpu.arch} if devices else set()
    return not build.arch_list or all(vendor.covers(build.arch_list, a) == "code" for a in archs)


def _installable(machine: Machine, build: facts.Build) -> bool:
    python = ".".join(machine.python.split(".")[:2]) + "t" * bool(machine.free_threaded)
    if machine.python and not build.has_python(python):
        return False
    return not (
        machine.glibc and build.glibc and facts.natural(machine.glibc) < facts.natural(build.glibc)
    )
