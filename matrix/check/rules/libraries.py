"""Rules about CUDA's libraries: of one major version, as torch pins them, and not hidden."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from matrix.check import fixes
from matrix.check.finding import Said, no, rule, unknown, yes
from matrix.check.machine import Machine

_METADATA = "metadata of the installed distributions"
_PARTS = (
    "cublas|cuda-runtime|cuda-nvrtc|cuda-cupti|cudnn|cufft|curand|cusolver|cusparse|cusparselt|"
    "nccl|nvjitlink|nvtx|nvshmem|cufile"
)
_WHEEL = re.compile(rf"nvidia-(?P<part>{_PARTS})-cu(?P<major>\d+)")
# since CUDA 13 only some wheels carry the major version in their names
_PLAIN = re.compile(rf"nvidia-({_PARTS})")


_FEW = 4


@rule("one-cuda", "are CUDA's libraries of one major version?")
def one_cuda(machine: Machine) -> Iterator[Said]:
    """Wheels of two major versions write some of the same files: the last one installed wins."""
    wheels = _wheels(machine)
    majors = sorted({major for major, _ in wheels.values()})
    if not majors:
        return
    if len(majors) == 1:
        yield yes(f"{len(wheels)} wheels of CUDA {majors[0]}", _METADATA)
        return
    own = machine.cuda.split(".")[0] or majors[-1]
    stray = [name for name, (major, _) in wheels.items() if major != own]
    parts = {wheels[name][1] for name in stray}
    again = [name for name, (major, part) in wheels.items() if major == own and part in parts
             and _WHEEL.fullmatch(name)]  # fmt: skip
    packages = machine.packages or {}
    files = [
        f"{one} {packages[one].version} and {two} {packages[two].version}"
        for one in again
        for two in stray
        if wheels[one][1] == wheels[two][1]
    ]
    told = f"; of the same files are {', '.join(files)}" if files else ""
    told += f"; of CUDA {' and '.join(m for m in majors if m != own)} are {_few(stray)}"
    if double := _loaded_twice(machine):
        told += f"; both are loaded: {', '.join(double)}"
    fix = fixes.uninstall(machine, *stray)
    if again:  # removing one has taken files of the other with it
        kept = [f"{name}=={packages[name].version}" for name in again]
        fix += f" && {fixes.install(machine, *kept, again=True, options=('--no-deps',))}"
    torch = f", torch is built for CUDA {own}" if machine.cuda else ""
    yield no(
        f"wheels of CUDA {' and '.join(majors)} are mixed{torch}{told}",
        _METADATA, fix=fix, minor=not again,
    )  # fmt: skip


def _loaded_twice(machine: Machine) -> list[str]:
    """Libraries of which one process has loaded two major versions."""
    names = [PurePosixPath(p).name for p in (machine.loaded.libraries if machine.loaded else ())]
    stems = [name.partition(".so")[0] for name in names]
    return [name for name, stem in zip(names, stems, strict=True) if stems.count(stem) > 1]


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


def _wheels(machine: Machine) -> dict[str, tuple[str, str]]:
    """NVIDIA's wheels: name → (CUDA major version, what it brings)."""
    found: dict[str, tuple[str, str]] = {}
    for name, package in (machine.packages or {}).items():
        if match := _WHEEL.fullmatch(name):
            found[name] = (match["major"], match["part"])
        elif _PLAIN.fullmatch(name):
            # cuFFT, cuRAND and others count on their own: all unnumbered wheels are of CUDA 13 on
            found[name] = ("13", name.removeprefix("nvidia-"))
            if name in {"nvidia-cuda-runtime", "nvidia-cublas"}:
                found[name] = (package.version.split(".")[0], found[name][1])
    return found


_OWN = ("/site-packages/", "/dist-packages/")


@rule("own-libraries", "does torch load the CUDA libraries that it was installed with?")
def own_libraries(machine: Machine) -> Iterator[Said]:
    """A toolkit or cuDNN on LD_LIBRARY_PATH comes before the wheels' own."""
    wheels = _wheels(machine)
    fix = "unset LD_LIBRARY_PATH"
    if machine.loaded and machine.loaded.libraries:
        source = "files that the process of `import torch` has loaded"
        brought = {part for _, part in wheels.values()}
        strange = [path for path in machine.loaded.libraries if _is_strange(path, brought)]
        if strange:
            told = f"loaded from elsewhere, though wheels bring them: {', '.join(strange[:6])}"
            yield no(told, source, fix=fix)
        elif brought:
            yield yes(f"{len(machine.loaded.libraries)} libraries, each from its wheel", source)
        return
    value = machine.variable("LD_LIBRARY_PATH") or ""
    folders = [part for part in value.split(":") if re.search(r"cuda|cudnn|nccl", part)]
    if machine.libraries:
        told = f"LD_LIBRARY_PATH holds {', '.join(machine.libraries[:6])}"
        yield unknown(f"{told}, which may come before the wheels' own", "the environment")
    elif folders and machine.recorded:
        yield _by_names(machine, folders, fix)


def _by_names(machine: Machine, folders: list[str], fix: str) -> Said:
    """What a record's path tells: another version in a name, or cuDNN."""
    told = f"LD_LIBRARY_PATH names {', '.join(folders)}, where another CUDA or cuDNN may lie than "
    told += f"torch brings{f' (CUDA {machine.cuda})' if machine.cuda else ''}"
    versions = [m[1] for f in folders for m in re.finditer(r"cuda[-/.](\d+\.\d+)", f)]
    other = [v for v in versions if machine.cuda and v != machine.cuda]
    if other or any("cudnn" in folder for folder in folders):
        return no(told, "the environment", fix=fix, minor=True)
    return unknown(told, "the environment")


def _is_strange(path: str, brought: set[str]) -> bool:
    """Whether it lies outside of the environment, and a wheel there brings the same library."""
    name = PurePosixPath(path).name
    if name.startswith("libcuda.so") or any(place in path for place in _OWN):
        return False
    stem = re.sub(r"^lib|\.so.*$", "", name).lower()
    stems = {"cudart": "cuda-runtime", "nvrtc": "cuda-nvrtc", "cublaslt": "cublas"}
    wanted = stems.get(stem, stem)
    return any(wanted.startswith(part) or part.startswith(wanted) for part in brought)
