"""Read this machine and one of its interpreters: nothing it has is imported here.

Torch is imported by a process of its own with a deadline: what ends or hangs that process is a
finding about torch, and everything else is known all the same.
"""

import json
import platform
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matrix import resources
from matrix.accelerators import ACCELERATORS, AcceleratorName, HostDevices
from matrix.check.machine import Loaded, Machine, Package
from matrix.errors import InputError
from matrix.process import Completed, run

DEADLINE = 120.0
"""Seconds that importing torch may take: from a cold network disk it takes long."""
_GPUS: tuple[AcceleratorName, ...] = ("cuda", "rocm")
_VARIABLES = (
    "LD_", "CUDA_", "NVIDIA_", "NCCL_", "HIP_", "HSA_", "ROCR_", "ROCM_", "RCCL_", "PYTORCH_",
    "TORCH", "TRITON_", "PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX", "SGLANG_", "SGL_", "VLLM_", "CC",
    "CXX", "FLASHINFER_", "MAX_JOBS",
)  # fmt: skip
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
# its own folder leaves the path before anything of that interpreter is looked for
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from matrix.inside import interpreter; "
    "sys.path.remove(sys.argv[1]); sys.exit(interpreter.main(sys.argv[2:]))"
)


def read(
    python: Path, *, env: Mapping[str, str], stop: threading.Event, deadline: float = DEADLINE
) -> Machine:
    """Read this machine, and `python` on it; raises `InputError` where that is no interpreter."""
    found, done = _ask(python, env, stop, deadline)
    devices = _devices()
    obstacles = {name: ACCELERATORS[name].obstacle() for name in _GPUS}
    return Machine(
        os=_os(),
        architecture=platform.machine(),
        python=str(found.get("python") or ""),
        free_threaded=bool(found.get("free_threaded")),
        executable=str(python),
        glibc=str(found.get("glibc") or ""),
        compiler=str(found.get("compiler") or ""),
        cc=str(found.get("cc") or ""),
        headers=bool(found.get("headers")),
        nvcc=_nvcc(env, stop),
        devices=devices,
        absent=frozenset(name for name in _GPUS if name not in devices),
        obstacles={name: found for name, found in obstacles.items() if found},
        packages={name: _package(one) for name, one in found.get("packages", {}).items()},
        twice={name: tuple(all_) for name, all_ in (found.get("twice") or {}).items()},
        loaded=_loaded(found.get("torch"), done, deadline),
        environment={k: v for k, v in env.items() if _tells(k)},
        libraries=tuple(found.get("libraries") or ()),
        shm=_shm(),
    )


def _ask(
    python: Path, env: Mapping[str, str], stop: threading.Event, deadline: float
) -> tuple[dict[str, Any], Completed]:
    with tempfile.TemporaryDirectory(prefix="torch-matrix-check-") as folder:
        out = Path(folder) / "interpreter.json"
        # `-X faulthandler` says in which module a process crashed
        argv: list[str | Path] = [python, "-X", "faulthandler", "-c", _START]
        argv += [str(resources.PACKAGE.parent), out]
        try:
            done = run(argv, env=env, timeout=deadline, stop=stop, cwd=Path(folder))
        except OSError as error:
            raise InputError(f"`{python}` cannot be started", [str(error.strerror)]) from None
        try:
            found = json.loads(out.read_bytes())
        except FileNotFoundError:
            told = [f"it left no report; it said: {done.last_line}"] if done.last_line else []
            raise InputError(f"`{python}` is no Python that runs", told) from None
        except ValueError as error:
            raise InputError(f"`{python}` cannot be read", [f"its report: {error}"]) from None
    return found, done


def _devices() -> dict[AcceleratorName, HostDevices]:
    """What there is of each vendor: a driver without a GPU is no device, and is something."""
    found: dict[AcceleratorName, HostDevices] = {}
    for name in _GPUS:
        accelerator = ACCELERATORS[name]
        if devices := accelerator.detect():
            found[name] = devices
        elif driver := accelerator.driver():
            found[name] = HostDevices(driver=driver, names=())
    return found


def _package(one: Mapping[str, Any]) -> Package:
    requires = one.get("requires")
    return Package(
        name=str(one["name"]),
        version=str(one["version"]),
        requires=None if requires is None else tuple(map(str, requires)),
        python=str(one.get("python") or ""),
        tags=tuple(map(str, one.get("tags") or ())),
        origin=str(one.get("origin") or ""),
    )


def _loaded(torch: Mapping[str, Any] | None, done: Completed, deadline: float) -> Loaded | None:
    if torch is None:
        return None
    error = str(torch.get("import_error") or "")
    if "version" not in torch and done.timed_out:
        error = f"it did not import within {deadline:.0f} s"
    elif "version" not in torch and done.code < 0:
        error = f"importing it ended the process with signal {-done.code}{_where(done.output)}"
    return Loaded(
        version=str(torch.get("version") or ""),
        cuda=str(torch.get("cuda") or ""),
        hip=str(torch.get("hip") or ""),
        rocm=str(torch.get("rocm") or ""),
        available=torch.get("available"),
        arch_list=tuple(torch.get("arch_list") or ()),
        cxx11_abi=torch.get("cxx11_abi"),
        import_error=error,
        libraries=tuple(torch.get("loaded") or ()),
        warnings=tuple(torch.get("warnings") or ()),
        seconds=torch.get("seconds"),
    )


def _where(output: str) -> str:
    """The innermost line that faulthandler told of."""
    lines = (line.strip() for line in output.splitlines())
    line = next((line for line in lines if line.startswith('File "')), "")
    return f" at {line.removeprefix('File ')}" if line else ""


def _tells(name: str) -> bool:
    return name.startswith(_VARIABLES) and not any(word in name.upper() for word in _SECRET)


def _os() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.system()


def _shm() -> int | None:
    try:
        return shutil.disk_usage("/dev/shm").total  # noqa: S108  its size is the question
    except OSError:
        return None


def _nvcc(env: Mapping[str, str], stop: threading.Event) -> str:
    """The CUDA toolkit's version, by its compiler, or ""."""
    homes = [env[name] for name in ("CUDA_HOME", "CUDA_PATH") if env.get(name)]
    path = ":".join([*(f"{home}/bin" for home in homes), env.get("PATH", "")])
    found = shutil.which("nvcc", path=path) or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if not found:
        return ""
    output = run([found, "--version"], env=env, timeout=20, stop=stop).output
    return output.partition("release ")[2].partition(",")[0].strip()
