"""Rules about GPUs: torch is built for them, driver, code and permissions suffice."""

from collections.abc import Iterator

from matrix import facts
from matrix.accelerators import ACCELERATORS, rocm
from matrix.check import fixes
from matrix.check.finding import Basis, Said, no, rule, unknown, yes
from matrix.check.machine import Machine

_VENDOR = {"cuda": "NVIDIA GPUs", "rocm": "AMD GPUs", "cpu": "the CPU only"}
_DRIVER_FILES = "the driver's own interfaces (NVML, /proc, /sys)"
_TOOLKIT = "NVIDIA CUDA Toolkit release notes"


@rule("built-for-gpus", "is torch built for the GPUs that are here?")
def built_for_gpus(machine: Machine) -> Iterator[Said]:
    """A resolver may have put a CPU build, or another vendor's, over the right one."""
    if not machine.torch or not machine.gpus:
        return
    source = "torch's version and the devices"
    here = ", ".join(dict.fromkeys(n for g in machine.gpus for n in machine.devices[g].names))
    own = machine.accelerator
    if own is None:
        yield unknown(f"{here}; what torch {machine.torch} is built for is not known", source)
        return
    told = f"torch {machine.torch} ({machine.variant}) is built for {_VENDOR[own]}, here is {here}"
    if own in machine.gpus:
        yield yes(told, source)
    else:
        told += ": a plain `pip install`, or another package's dependency, has put it there"
        yield no(told, source, fix=fixes.build_for(machine, machine.gpus[0]))


@rule("driver", "is the NVIDIA driver new enough for torch's CUDA?")
def driver(machine: Machine) -> Iterator[Said]:
    """The floor is that of the CUDA major version, unless forward compatibility is in use."""
    if machine.accelerator != "cuda" or not (machine.driver or "cuda" in machine.gpus):
        return
    floor = facts.driver_floor(machine.variant)
    if floor is None or not machine.driver:
        least = floor.floor if floor else "not known"
        told = f"driver {machine.driver or 'not known'}; {machine.variant} needs {least}"
        yield unknown(told, _DRIVER_FILES, "gated")
        return
    told = f"{machine.variant} (CUDA {machine.cuda}) needs driver >= {floor.floor}"
    if facts.natural(machine.driver) >= facts.natural(floor.floor):
        yield yes(f"{told}, here is {machine.driver}", floor.source, "gated")
    elif machine.loaded and machine.loaded.available:
        told += f", here is {machine.driver}, and torch reaches the GPUs: by a compat package"
        yield yes(told, "torch.cuda.is_available()")
    else:
        fix = fixes.build_for(machine, "cuda")
        told = f"the driver is too old: {told}, here is {machine.driver}"
        yield no(told, floor.source, "gated", fix=fix)


@rule("covered", "does torch hold code for these GPUs?")
def covered(machine: Machine) -> Iterator[Said]:
    """By the list in the build, else by what was published about it."""
    own = machine.accelerator
    if own is None or own not in machine.gpus:
        return
    read = machine.loaded.arch_list if machine.loaded else ()
    build = machine.build
    archs = read or (build.arch_list if build else ())
    source = "torch.cuda.get_arch_list()" if read else build.source if build else "no facts"
    basis: Basis = "measured" if read else "declared"
    devices = {gpu.arch: gpu.name for gpu in machine.devices[own].gpus if gpu.arch}
    if not archs or not devices:
        what = "the GPUs' architecture is" if archs else "what the build holds code for is"
        yield unknown(f"{what} not known", source, basis)
        return
    for arch, name in devices.items():
        found = ACCELERATORS[own].covers(archs, arch)
        told = f"{name} is {arch}; torch {machine.torch} ({machine.variant}) has {' '.join(archs)}"
        if found == "code":
            yield yes(told, source, basis)
        elif found == "ptx":
            yield _by_ptx(machine, told, source)
        else:
            told += ": no kernel image is available for this device"
            yield no(told, source, basis, fix=fixes.build_for(machine, own))


def _by_ptx(machine: Machine, told: str, source: str) -> Said:
    """PTX is compiled by the driver, which must be as new as the toolkit that made it."""
    floor = facts.driver_floor(machine.variant)
    least = floor.own if floor else ""
    told += f"; only PTX fits, which driver >= {least or 'of the toolkit'} compiles at first use"
    if not least or not machine.driver:
        return unknown(told, source, "gated")
    told += f", here is {machine.driver}"
    if facts.natural(machine.driver) >= facts.natural(least):
        return yes(told, source, "gated")
    return no(told, source, "gated", fix=fixes.build_for(machine, "cuda"))


@rule("reached", "does torch reach the GPUs?")
def reached(machine: Machine) -> Iterator[Said]:
    """What torch says, else what hides the GPUs from it."""
    own = machine.accelerator
    if own is None or own == "cpu" or own not in machine.gpus:
        return
    source = "torch.cuda.is_available()"
    loaded = machine.loaded
    names = ACCELERATORS[own].READS
    hiding = [name for name in names if (machine.variable(name) or "?").strip() == "-1"
              or machine.variable(name) == ""]  # fmt: skip
    if loaded and loaded.available:
        yield yes("it is True", source)
    elif hiding:
        told = f"{hiding[0]} is {machine.variable(hiding[0])!r}, which hides all GPUs"
        yield no(told, "the environment", fix=f"unset {hiding[0]}")
    elif loaded and loaded.available is False:
        yield no(f"it is False. {' '.join(loaded.warnings)[:400]}".strip(), source)
    elif not (loaded and loaded.import_error):
        yield unknown("torch was not asked", source)


@rule("access", "can this user reach the devices?")
def access(machine: Machine) -> Iterator[Said]:
    """No driver, no device nodes, no permission: as the vendor's module sees it."""
    for name, obstacle in machine.obstacles.items():
        yield no(obstacle.why, _DRIVER_FILES, fix=obstacle.fix, subject=name)
    if machine.gpus and not machine.recorded and not machine.obstacles:
        yield yes("device nodes and driver answer", _DRIVER_FILES)


@rule("gfx-override", "does HIP run code of the GPU's own architecture?")
def override(machine: Machine) -> Iterator[Said]:
    """A variable that is set for a card without code harms one that has its own."""
    value = machine.variable("HSA_OVERRIDE_GFX_VERSION")
    if not value or not (machine.accelerator == "rocm" or "rocm" in machine.devices):
        return
    read = machine.loaded.arch_list if machine.loaded else ()
    archs = read or (machine.build.arch_list if machine.build else ())
    own = [arch for arch in machine.archs if arch.startswith("gfx")]
    other = rocm.overridden(value)
    if other and own == [other]:
        yield yes(f"HSA_OVERRIDE_GFX_VERSION={value} is {other}, the GPU's own", "the environment")
        return
    needless = bool(own) and all(ACCELERATORS["rocm"].covers(archs, a) == "code" for a in own)
    told = f"HSA_OVERRIDE_GFX_VERSION={value}: {', '.join(own) or 'the GPU'} is given the code of "
    told += f"{other or 'another one'}; "
    told += "this build has its own" if needless else "AMD does not support that"
    fix = "unset HSA_OVERRIDE_GFX_VERSION"
    yield no(told, "the environment", fix=fix, minor=not needless)


@rule("nvcc", "does nvcc know these GPUs, and fit torch's CUDA?")
def nvcc(machine: Machine) -> Iterator[Said]:
    """FlashInfer, DeepGEMM and extensions call it; torch itself does not."""
    beside_gpus = machine.recorded or "cuda" in machine.gpus
    if not machine.nvcc or machine.accelerator not in {"cuda", None} or not beside_gpus:
        return
    late = [
        (arch, since)
        for arch in machine.archs
        if (since := ACCELERATORS["cuda"].since(arch))
        and facts.natural(machine.nvcc) < facts.natural(since)
    ]
    fix = f"export CUDA_HOME=/usr/local/cuda-{machine.cuda or (late[0][1] if late else '')}"
    if late:
        arch, since = late[0]
        told = f"nvcc {machine.nvcc} cannot compile for {arch} (`Unsupported gpu architecture`), "
        told += f"which needs CUDA >= {since}: JIT kernels and extensions fail"
        yield no(told, _TOOLKIT, "gated", fix=fix, minor=True)
    elif machine.cuda and machine.nvcc.split(".")[0] != machine.cuda.split(".")[0]:
        told = f"nvcc is of CUDA {machine.nvcc}, torch of CUDA {machine.cuda}: extensions and JIT "
        told += "kernels are not built, or are built against the other runtime"
        yield no(told, "torch.utils.cpp_extension", "gated", fix=fix, minor=True)
    else:
        yield yes(f"nvcc {machine.nvcc}", _TOOLKIT, "gated")
