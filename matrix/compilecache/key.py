"""What compiled code is for: the key of an archive, made from the identity of an interpreter."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from packaging.version import InvalidVersion, Version

MOVABLE = Version("2.4")
"""Since this torch a cache folder can be moved: `compile-cache-moved` fails in 2.2 and 2.3."""
NONE = "none"
_TEXT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheKey:
    """All that decides whether compiled code can be used; `NONE` where there is no such thing.

    Inductor's own key has torch's sources, Triton, CUDA or HIP and the GPU's name
    (torch/_inductor/codecache.py, `torch_key` and `CacheBase.get_system`). It lacks what C++
    kernels depend on besides: the processor (`-march=native`), its C library and the compiler.
    `source` names what was compiled, so that different models do not push each other's code out.
    """

    torch: str
    triton: str
    runtime: str
    arch: str
    gpu: str
    python: str
    cpu: str
    glibc: str
    compiler: str
    source: str

    @property
    def digest(self) -> str:
        """Hash of all fields."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """The archive's name on a remote: what people look for, then the hash."""
        shown = f"torch{self.torch}-{self.runtime}-{self.arch}-py{self.python}".lower()
        return f"{re.sub(r'[^a-z0-9._-]+', '_', shown)[:100]}-{self.digest}.tar.gz"

    def differences(self, other: "CacheKey") -> tuple[str, ...]:
        """Say of each field that differs what this key has and what the other one has."""
        mine, theirs = asdict(self), asdict(other)
        return tuple(
            f"{name} is {mine[name]} here and {theirs[name]} there"
            for name in mine
            if mine[name] != theirs[name]
        )


def key_of(probe: Mapping[str, Any], source: str) -> CacheKey:
    """The key of an interpreter that the identity probe has looked at."""
    cpu = probe.get("cpu") or {}
    devices = [device for device in probe.get("devices") or () if device.get("arch")]
    runtime = next((f"{n}{probe[n]}" for n in ("cuda", "hip") if probe.get(n)), "cpu")
    python = ".".join(str(probe.get("python") or NONE).split(".")[:2])
    return CacheKey(
        torch=str(probe.get("torch") or NONE),
        triton=str(probe.get("triton") or NONE),
        runtime=runtime,
        arch=_together(device["arch"] for device in devices) or str(probe.get("machine") or NONE),
        gpu=_together(device.get("name") for device in devices) or NONE,
        python=python + ("t" if probe.get("free_threaded") else ""),
        cpu=f"{cpu.get('model') or NONE}, {_hash(cpu.get('flags'))}",
        glibc=str(probe.get("glibc") or NONE),
        compiler=str(probe.get("compiler") or NONE),
        source=source or NONE,
    )


def place_of(probe: Mapping[str, Any]) -> str:
    """Where torch lies, as a hash: only there its C++ kernels and headers are found again."""
    return _hash(probe.get("torch_file"))


def refusal(key: CacheKey) -> str:
    """Why the compiled code of this torch cannot travel, or ""."""
    try:
        release = Version(key.torch)
    except InvalidVersion:
        return f"`{key.torch}` is no version of torch"
    if release.release < MOVABLE.release:
        why = "its cache has absolute paths and fails where it was moved (compile-cache-moved)"
        return f"the compiled code of torch {key.torch} stays where it is: {why}"
    return ""


def read_key(data: object) -> CacheKey | None:
    """Make a key of parsed JSON; None where it is none."""
    names = {field.name for field in fields(CacheKey)}
    if not isinstance(data, dict) or set(data) != names:
        return None
    if not all(isinstance(v, str) and len(v) <= _TEXT and v.isprintable() for v in data.values()):
        return None
    return CacheKey(**data)


def _together(values: Any) -> str:  # noqa: ANN401  of a probe
    return ", ".join(sorted({str(value) for value in values if value}))[:_TEXT]


def _hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:8]
