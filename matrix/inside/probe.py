"""Say what a cell really is: `python -m matrix.inside.probe OUT.json [COMPANION ...]`.

Every cell pays for what is imported here, so it is little.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, List

from matrix.inside import companions
from matrix.inside.machine import device_kind, usable_cores
from matrix.inside.process import end_with_parent

if TYPE_CHECKING:
    from types import ModuleType

SCHEMA = 1
COMMAND_SECONDS = 20.0
TRITON = ("triton", "pytorch-triton", "triton-rocm", "pytorch-triton-rocm")
# Instruction sets that decide which kernels torch picks on a CPU.
FLAGS = re.compile(
    r"^(avx2|avx512(f|bw|vl|_vnni|_bf16|_fp16)|avx_vnni|amx_\w+|sve2?|bf16|i8mm|asimd)$"
)

Identity = Dict[str, Any]


def main(argv: List[str] | None = None) -> int:
    """Write the identity; 1 if torch does not import (the file is written all the same)."""
    out, *names = sys.argv[1:] if argv is None else argv
    end_with_parent(signal.SIGKILL)
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    identity = of_python()
    identity.update(of_torch_nothing())
    # Written before torch is imported: importing it may end this process.
    write(out, {**identity, "errors": ["importing torch ended the process"]})
    identity["errors"] = []
    try:
        import torch  # noqa: PLC0415 - see above
    except BaseException as error:  # noqa: BLE001 - a library's initialiser may raise anything
        identity["errors"].append(f"import torch: {type(error).__name__}: {error}")
    else:
        identity.update(of_torch(torch, identity["packages"], identity["errors"]))
    identity["companions"] = {name: _companion(name) for name in names}
    write(out, identity)
    return 0 if identity["torch"] else 1


def write(path: str, identity: Identity) -> None:
    """Replace ``path`` at once, so that no reader ever sees half a file."""
    part = f"{path}.part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(identity, file, indent=1, sort_keys=True)
        file.write("\n")
    os.replace(part, path)


def of_python() -> Identity:
    """What is known without torch."""
    return {
        "schema": SCHEMA,
        "python": sys.version.split()[0].rstrip("+"),
        "implementation": sys.implementation.name,
        "free_threaded": "t" in getattr(sys, "abiflags", ""),
        "executable": sys.executable,
        "platform": " ".join(os.uname()[:3:2]),
        "machine": os.uname().machine,
        "glibc": _glibc(),
        "cpu": _cpu(),
        "compiler": _compiler(),
        "packages": _packages(),
        "companions": {},
        "errors": [],
    }


def of_torch_nothing() -> Identity:
    """Every key that :func:`of_torch` fills, for a cell whose torch says nothing."""
    names = (
        "torch torch_file cuda hip rocm git_version debug cxx11_abi driver power_limit_w cudnn nccl"
        " triton numpy threads"
    )
    nothing: Identity = dict.fromkeys(names.split())
    return {**nothing, "accelerator": "cpu", "device": "cpu", "devices": [], "arch_list": []}


def of_torch(torch: ModuleType, packages: Dict[str, str], errors: List[str]) -> Identity:
    """What torch says of its build and its devices; what it cannot say is null and an error."""

    def ask(what: str, question: Callable[[], object], default: object = None) -> object:
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - one odd answer must not cost the others
            errors.append(f"{what}: {type(error).__name__}: {error}")
            return default

    version = torch.version
    hip = getattr(version, "hip", None)
    driver = _driver(hip) if hip or version.cuda else {}
    return {
        "torch": str(torch.__version__),
        "torch_file": torch.__file__,
        "cuda": version.cuda,
        "hip": hip,
        "rocm": getattr(version, "rocm", None),
        "git_version": getattr(version, "git_version", None),
        "debug": bool(getattr(version, "debug", False)),
        "cxx11_abi": ask("cxx11_abi", lambda: bool(torch.compiled_with_cxx11_abi())),
        "accelerator": "rocm" if hip else "cuda" if version.cuda else "cpu",
        "device": ask("device", device_kind, "cpu"),
        "devices": ask("devices", lambda: _devices(torch), []),
        "driver": driver.get("driver"),
        "power_limit_w": driver.get("power_limit_w"),
        "arch_list": ask("arch_list", lambda: _arch_list(torch), []),
        "cudnn": ask("cudnn", lambda: torch.backends.cudnn.version()),  # noqa: PLW0108 - may not be there
        "nccl": ask("nccl", lambda: _nccl(torch)),
        "triton": next((packages[name] for name in TRITON if name in packages), None),
        "numpy": packages.get("numpy"),
        "threads": ask("threads", lambda: torch.get_num_threads()),  # noqa: PLW0108 - as cudnn
    }


def _arch_list(torch: ModuleType) -> List[str]:
    """The architectures this build has code for; older releases say so only beside a device."""
    listed = list(torch.cuda.get_arch_list())
    flags = getattr(torch._C, "_cuda_getArchFlags", None)  # noqa: SLF001 - the public one hides it
    return listed or (flags() or "").split() if flags else listed


def _devices(torch: ModuleType) -> List[Identity]:
    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        gfx = str(getattr(about, "gcnArchName", "")).partition(":")[0]
        uuid = getattr(about, "uuid", None)
        found.append(
            {
                "index": index,
                "name": about.name,
                "capability": [about.major, about.minor],
                "arch": gfx if torch.version.hip else f"sm_{about.major}{about.minor}",
                "memory_bytes": about.total_memory,
                "uuid": str(uuid) if uuid else None,
            }
        )
    return found


def _nccl(torch: ModuleType) -> str | None:
    if not torch.distributed.is_available() or not torch.distributed.is_nccl_available():
        return None
    return ".".join(str(part) for part in torch.cuda.nccl.version())


def _driver(hip: str | None) -> Identity:
    """The kernel driver's version and the power cap of the first device, where a tool says."""
    if hip:
        text = _first(_read("/sys/module/amdgpu/version"))
        return {"driver": text or None, "power_limit_w": None}
    query = [
        "nvidia-smi",
        "--query-gpu=driver_version,power.limit",
        "--format=csv,noheader,nounits",
    ]
    words = [word.strip() for word in _first(_run(query)).split(",")]
    try:
        return {"driver": words[0] or None, "power_limit_w": float(words[1])}
    except (IndexError, ValueError):
        return {"driver": words[0] or None, "power_limit_w": None}


def _cpu() -> Identity:
    text = _read("/proc/cpuinfo")
    model = re.search(r"^(?:model name|CPU implementer)\s*:\s*(.*)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    return {
        "model": model.group(1).strip() if model else os.uname().machine,
        "flags": sorted(filter(FLAGS.match, flags.group(1).split())) if flags else [],
        "cores": os.cpu_count(),
        "affinity": usable_cores(),
    }


def _glibc() -> str | None:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2] or None
    except (AttributeError, OSError, ValueError):
        return None


def _compiler() -> str | None:
    for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++"):
        version = _first(_run([name, "-dumpfullversion", "-dumpversion"])) if name else ""
        if version:
            return f"{os.path.basename(name)} {version}"
    return None


def _packages() -> Dict[str, str]:
    """Installed distributions by the names of their folders: reading each METADATA costs more."""
    found: Dict[str, str] = {}
    for folder in filter(os.path.isdir, sys.path):
        for entry in os.listdir(folder):
            stem, dot, kind = entry.rpartition(".")
            name, dash, version = stem.partition("-")
            if dot and dash and kind in ("dist-info", "egg-info"):
                # The first one on the path is the one that is imported.
                found.setdefault(name.replace("_", "-").lower(), version.partition("-")[0])
    return dict(sorted(found.items()))


def _companion(name: str) -> Identity:
    found = companions.check(name)
    if found["ok"]:
        return {"version": found.get("version"), "ok": True}
    return {"version": found.get("version"), "ok": False, "error": found["error"]}


def _run(command: List[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed tools of the machine, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _first(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else ""


if __name__ == "__main__":
    sys.exit(main())
