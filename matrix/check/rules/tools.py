"""Rules about what compiling kernels and starting several processes need."""

from collections.abc import Iterator

from matrix.check import fixes
from matrix.check.finding import Said, no, rule, yes
from matrix.check.machine import Machine

_SHM = 1 << 30
_TRITON = ("triton", "pytorch-triton", "pytorch-triton-rocm", "triton-rocm")
_MACHINE = "the machine"


@rule("compilers", "are there the compilers that torch.compile and Triton call?")
def compilers(machine: Machine) -> Iterator[Said]:
    """Triton compiles a launcher with a C compiler, Inductor CPU kernels with a C++ one."""
    if not machine.torch or (machine.cc is None and machine.compiler is None):
        return
    apt = "sudo apt-get install -y "
    if machine.cc == "" and machine.gpus and any(map(machine.package, _TRITON)):
        told = "no C compiler on PATH: Triton's kernels do not start (`Failed to find C compiler`)"
        yield no(told, _MACHINE, fix=f"{apt}gcc libc6-dev", minor=True)
    elif machine.compiler == "":
        told = "no C++ compiler on PATH: torch.compile has no kernels for the CPU"
        yield no(told, _MACHINE, fix=f"{apt}g++", minor=True)
    else:
        yield yes(machine.compiler or machine.cc or "", _MACHINE)


@rule("headers", "are Python's headers there?")
def headers(machine: Machine) -> Iterator[Said]:
    """Triton's launcher and Inductor's wrapper include Python.h."""
    if not machine.torch or machine.headers is None:
        return
    if machine.headers:
        yield yes("Python.h is there", _MACHINE)
    else:
        told = "no Python.h: Triton and torch.compile fail at their first kernel"
        short = ".".join(machine.python.split(".")[:2])
        fix = f"sudo apt-get install -y python{short}-dev"
        yield no(told, _MACHINE, fix=fix, minor=True)


@rule("shared-memory", "is there shared memory for several processes?")
def shared_memory(machine: Machine) -> Iterator[Said]:
    """Containers get 64 MiB; NCCL and data loaders share gigabytes."""
    if machine.shm is None or not machine.torch:
        return
    told = f"shared memory of {machine.shm / 2**30:.2g} GiB"
    if machine.shm >= _SHM:
        yield yes(told, _MACHINE)
    else:
        told += ": tensor parallelism and data loaders fail with `insufficient shared memory`"
        yield no(told, _MACHINE, fix="docker run --shm-size=16g …", minor=True)


@rule("jit", "can FlashInfer compile the kernels that it does not bring?")
def jit(machine: Machine) -> Iterator[Said]:
    """It calls nvcc and ninja at the first use of a kernel, unless a cache of them is installed."""
    if machine.nvcc is None or not machine.package("flashinfer-python") or not machine.gpus:
        return
    brought = [n for n in ("flashinfer-jit-cache", "flashinfer-cubin") if machine.package(n)]
    if machine.nvcc or "flashinfer-jit-cache" in brought:
        yield yes(f"nvcc {machine.nvcc}" if machine.nvcc else brought[0], _MACHINE)
        return
    version = machine.package("flashinfer-python")
    release = version.release if version else ""
    index = f"https://flashinfer.ai/whl/{machine.variant or 'cu130'}"
    fix = fixes.install(machine, f"flashinfer-jit-cache=={release}",
                        options=("--index-url", index))  # fmt: skip
    yield no("no nvcc, and no flashinfer-jit-cache", _MACHINE, fix=fix, minor=True)


@rule("preload", "is no CUDA library put before torch's own?")
def preload(machine: Machine) -> Iterator[Said]:
    """A preloaded NCCL takes the place of the one that torch was built with."""
    value = machine.variable("LD_PRELOAD") or ""
    if any(name in value for name in ("nccl", "cudart", "cublas", "cudnn")):
        told = f"LD_PRELOAD={value} takes the place of what torch was built with"
        yield no(told, "the environment", fix="unset LD_PRELOAD", minor=True)
