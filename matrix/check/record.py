"""A machine from a TOML file, such as a support thread tells of one: what it lacks is unknown.

[machine] os, python, glibc, compiler, nvcc, driver, amdgpu, gpus, …; [packages] name = version;
[torch] as it loads; [environment]; [error] text. `[expected]` is never read.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from matrix.accelerators import AcceleratorName, Gpu, HostDevices
from matrix.check.machine import Loaded, Machine, Package
from matrix.errors import InputError
from matrix.schema import hint

Check = Callable[[object], bool]
MOST_GIB = 1 << 20


def _text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _table(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _gib(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < MOST_GIB  # type: ignore[operator]  # also not for nan


def _capability(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{1,2}\.\d", value) is not None


_GPU: Mapping[str, Check] = {
    "name": _text,
    "capability": _capability,
    "arch": _text,
    "memory_gib": _gib,
}
_MACHINE: Mapping[str, Check] = {
    **dict.fromkeys(
        ("os", "architecture", "python", "glibc", "compiler", "nvcc", "driver", "amdgpu"), _text
    ),
    "shm_gib": _gib,
    "headers": lambda value: isinstance(value, bool),
    "gpus": lambda value: isinstance(value, list) and all(isinstance(v, dict) for v in value),
}
_TORCH: Mapping[str, Check] = {
    **dict.fromkeys(("version", "cuda", "hip", "rocm", "import_error"), _text),
    **dict.fromkeys(("available", "cxx11_abi"), lambda value: isinstance(value, bool)),
    **dict.fromkeys(("arch_list", "libraries", "warnings"), _texts),
}
_TOP: Mapping[str, Mapping[str, Check] | Check] = {
    "id": _text,
    "source": _text,
    "title": _text,
    "machine": _MACHINE,
    "packages": _table,
    "torch": _TORCH,
    "environment": _table,
    "error": {"text": _text},
    "expected": lambda _value: True,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A machine as somebody told of it, and the error that they saw, or ""."""

    machine: Machine
    error: str


def read(path: Path) -> Record:
    """Read a recorded machine; raises `InputError` with every mistake in the file."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"`{path}` cannot be read", [str(error)]) from None
    data.pop("expected", None)  # what a thread found out is no input
    if not {"machine", "packages", "torch", "environment", "error"} & data.keys():
        raise InputError(f"`{path}` tells of no machine", ["it needs `[machine]`, `[packages]` …"])
    if problems := _problems(data, _TOP, ""):
        raise InputError(f"`{path}` has {len(problems)} mistake(s):", problems)
    machine = _machine(data.get("machine", {}), str(data.get("id") or path.stem))
    torch = data.get("torch")
    machine = replace(
        machine,
        packages=_packages(data["packages"]) if "packages" in data else None,
        loaded=None if torch is None else _loaded(torch),
        environment=data.get("environment"),
    )
    return Record(machine=machine, error=data.get("error", {}).get("text", ""))


def _problems(table: Mapping[str, Any], keys: Mapping[str, Any], path: str) -> list[str]:
    problems = []
    for name, value in table.items():
        where = f"{path}{name}"
        check = keys.get(name)
        if check is None:
            problems.append(f"{where}: unknown key; {hint(name, list(keys))}")
        elif isinstance(check, Mapping):
            if isinstance(value, dict):
                problems += _problems(value, check, f"{where}.")
            else:
                problems.append(f"{where}: expected a table, got {type(value).__name__}")
        elif not check(value):
            problems.append(f"{where}: not a fitting value: {value!r}")
        elif name == "gpus":
            for place, gpu in enumerate(value):
                problems += _problems(gpu, _GPU, f"{where}[{place}].")
    return problems


def _machine(told: Mapping[str, Any], name: str) -> Machine:
    gpus = [_gpu(index, gpu) for index, gpu in enumerate(told.get("gpus", ()))]
    devices: dict[AcceleratorName, HostDevices] = {}
    drivers: tuple[tuple[AcceleratorName, str], ...] = (("cuda", "driver"), ("rocm", "amdgpu"))
    for vendor, key in drivers:
        own = tuple(gpu for kind, gpu in gpus if kind == vendor)
        if own or told.get(key):
            names = tuple(gpu.name for gpu in own)
            devices[vendor] = HostDevices(driver=told.get(key), names=names, gpus=own)
    empty = "gpus" in told and not gpus
    return Machine(
        name=name,
        recorded=True,
        os=told.get("os", ""),
        architecture=told.get("architecture") or _architecture([gpu for _, gpu in gpus]),
        python=told.get("python", ""),
        glibc=told.get("glibc", ""),
        compiler=told.get("compiler"),
        headers=told.get("headers"),
        nvcc=told.get("nvcc"),
        devices=devices,
        absent=frozenset(("cuda", "rocm") if empty else ()),
        shm=int(told["shm_gib"] * 2**30) if "shm_gib" in told else None,
    )


def _architecture(gpus: list[Gpu]) -> str:
    """Some GPUs come with their processor."""
    arm = any(re.search(r"\b(GB10|GH200|GB[23]00|Orin|Thor)\b", gpu.name) for gpu in gpus)
    return "aarch64" if arm else ""


def _gpu(index: int, told: Mapping[str, Any]) -> tuple[AcceleratorName, Gpu]:
    """Whose it is, by what only one vendor's have, else by its name."""
    name, arch = told.get("name", ""), told.get("arch", "")
    if "capability" in told:
        arch = f"sm_{told['capability'].replace('.', '')}"
    amd = arch.startswith("gfx") or any(word in name for word in ("AMD", "Radeon", "MI2", "MI3"))
    memory = int(told["memory_gib"] * 2**30) if "memory_gib" in told else None
    gpu = Gpu(uuid="", index=index, name=name or arch, memory=memory, arch=arch)
    return ("rocm" if amd else "cuda"), gpu


def _packages(told: Mapping[str, str]) -> dict[str, Package]:
    return {canonicalize_name(n): Package(name=n, version=v.strip()) for n, v in told.items()}


def _loaded(told: Mapping[str, Any]) -> Loaded:
    return Loaded(
        version=told.get("version", ""),
        cuda=told.get("cuda", ""),
        hip=told.get("hip", ""),
        rocm=told.get("rocm", ""),
        available=told.get("available"),
        arch_list=tuple(told.get("arch_list", ())),
        cxx11_abi=told.get("cxx11_abi"),
        import_error=told.get("import_error", ""),
        libraries=tuple(told.get("libraries", ())),
        warnings=tuple(told.get("warnings", ())),
    )
