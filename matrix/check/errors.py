"""The text of an error, annotated: what is known of it, and what this machine has to do with it.

Text never decides a verdict: the rules do.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from matrix import facts
from matrix.accelerators import ACCELERATORS
from matrix.check.machine import Machine, Package
from matrix.signatures import known

LIMIT = 200_000
_LINE = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """What is known about a line of an error; `here` is what the machine adds to it."""

    id: str
    line: str
    cause: str
    fix: str
    source: str
    here: tuple[str, ...]


def annotate(text: str, machine: Machine) -> tuple[Annotation, ...]:
    """Everything in the text whose cause is known, in the table's order."""
    text = text[-LIMIT:]
    found = []
    for item in known():
        if match := item.pattern.search(text):
            line = _line(text, match.start())
            found.append(
                Annotation(
                    id=item.id,
                    line=line,
                    cause=item.cause,
                    fix=item.fix,
                    source=item.source,
                    here=(*_named(text, machine), *_here(line or match[0], machine)),
                )
            )
    return tuple(found)


def _line(text: str, place: int) -> str:
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    return text[start : end if end >= 0 else len(text)].strip()[:_LINE]


def _here(line: str, machine: Machine) -> Iterator[str]:
    """What the machine says about what a line names."""
    for look in _LOOKS:
        yield from look(line, machine)


# modules whose distribution has another name, and words that name no package in a traceback
_NAMES = {"sgl_kernel": ("sgl-kernel", "sglang-kernel"), "flashinfer": ("flashinfer-python",),
          "flash_attn_2_cuda": ("flash-attn",), "cv2": ("opencv-python",)}  # fmt: skip
_MOST = 4


def _named(text: str, machine: Machine) -> Iterator[str]:
    """The installed distributions that a text names, beside the torch that is here."""
    found: dict[str, Package] = {}
    for word in re.findall(r"[A-Za-z][\w-]+", text):
        for name in _NAMES.get(word, (canonicalize_name(word),)):
            if name != "torch" and (package := machine.package(name)):
                found[name] = package
    told = [f"{package.name} {package.version}" for package in list(found.values())[-_MOST:]]
    torch = [f"torch {machine.torch}"] if machine.torch else []
    if told or torch:
        yield f"installed: {', '.join([*told, *torch])}"


_CUDA_LIBRARY = re.compile(
    r"lib(?:cudart|nvrtc|cublas|cublasLt|nvJitLink|cusparse|cusolver|cupti)\.so\.(\d+)"
)


def _of_cuda_library(line: str, machine: Machine) -> Iterator[str]:
    """Their number is CUDA's major version."""
    majors = dict.fromkeys(_CUDA_LIBRARY.findall(line))
    for major in majors:
        have = [f"torch is built for CUDA {machine.cuda}"] if machine.cuda else []
        have += [f"the toolkit is CUDA {machine.nvcc}"] if machine.nvcc else []
        told = f"a library of CUDA {major} is wanted"
        yield f"{told}; here {' and '.join(have)}" if have else told


def _of_glibc(line: str, machine: Machine) -> Iterator[str]:
    for wanted in dict.fromkeys(re.findall(r"GLIBC_(\d+\.\d+)", line)):
        here = f", here is {machine.glibc}" if machine.glibc else ""
        yield f"glibc {wanted} is wanted{here}"


def _of_driver(line: str, machine: Machine) -> Iterator[str]:
    """`found version 12080` is the CUDA that the driver knows."""
    for number in re.findall(r"found version (\d{5})", line):
        yield f"the driver knows CUDA {int(number) // 1000}.{int(number) % 1000 // 10}"
    if re.search(r"driver|PTX|toolchain", line, re.IGNORECASE) and machine.driver:
        yield f"the driver here is {machine.driver}"


_ARCH = re.compile(r"\b(?:sm_?|compute_)(\d{2,3})[af]?\b|\b(gfx[0-9a-f]{3,4})\b")


def _of_arch(line: str, machine: Machine) -> Iterator[str]:
    for number, gfx in dict.fromkeys(_ARCH.findall(line)):
        arch = gfx or f"sm_{number}"
        since = ACCELERATORS["cuda"].since(arch)
        if since and machine.nvcc and facts.natural(machine.nvcc) < facts.natural(since):
            yield f"{arch} needs CUDA {since}, nvcc here is {machine.nvcc}"
        elif since and machine.cuda and facts.natural(machine.cuda) < facts.natural(since):
            yield f"{arch} needs CUDA {since}, torch here is built for CUDA {machine.cuda}"


def _of_gpu(line: str, machine: Machine) -> Iterator[str]:
    """The GPUs that are here, where a line is about what they can run."""
    words = r"kernel image|capabilit|device function|[Aa]rch\b|Arch |fp8e4|ptxas|toolchain|Ampere"
    if not re.search(words, line):
        return
    gpus = [gpu for devices in machine.devices.values() for gpu in devices.gpus]
    for name, arch in dict.fromkeys((gpu.name, gpu.arch) for gpu in gpus):
        archs = (machine.loaded.arch_list if machine.loaded else ()) or (
            machine.build.arch_list if machine.build else ()
        )
        has = f"; torch {machine.torch} has code for {' '.join(archs)}" if archs else ""
        yield f"the GPU is {name}{f' ({arch})' if arch else ''}{has}"


def _of_symbol(line: str, _machine: Machine) -> Iterator[str]:
    """What a mangled name tells of the C++ ABI that the extension was compiled with."""
    for symbol in re.findall(r"undefined symbol: (_ZN?\w+)", line):
        if "__cxx11" in symbol:
            yield "the extension wants std::__cxx11::string: it is built with the C++11 ABI"
        elif re.search(r"Ss|RKSs", symbol):
            yield "the extension wants the old std::string: it is built without the C++11 ABI"


def _of_libraries(line: str, machine: Machine) -> Iterator[str]:
    """What may have put another library before the right one."""
    if re.search(r"cudnn|nccl|cublas|nvjitlink|\.so\b", line, re.IGNORECASE):
        if path := machine.variable("LD_LIBRARY_PATH"):
            yield f"LD_LIBRARY_PATH is {path}"
        for word in ("cudnn", "nccl"):
            have = [f"{n} {p.version}" for n, p in (machine.packages or {}).items() if word in n]
            if word in line.lower() and have:
                yield f"installed: {', '.join(have)}"


_LOOKS: tuple[Callable[[str, Machine], Iterator[str]], ...] = (
    _of_cuda_library,
    _of_glibc,
    _of_driver,
    _of_arch,
    _of_gpu,
    _of_symbol,
    _of_libraries,
)
