"""What vendors' modules speak of: GPUs, what a machine has, what a container must be given."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

UNNAMED = {"cuda": "NVIDIA GPU", "rocm": "AMD GPU"}
"""Names of GPUs whose model nobody tells."""
GpuAccess = Literal["toolkit", "cdi", "device-nodes"]
Coverage = Literal["code", "ptx", "none"]
"""What a build has for a GPU: code for it, PTX that its driver can compile, or neither."""
GPU_ACCESS: tuple[GpuAccess, ...] = ("toolkit", "cdi", "device-nodes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU; None and "" stand for what the machine does not tell."""

    uuid: str
    """What the vendor's runtime knows it by; where that is unknown its PCI address or CDI name."""
    index: int
    name: str
    minor: int | None = None
    """Number of its device node: N of /dev/nvidiaN or /dev/dri/renderDN."""
    memory: int | None = None
    """Bytes."""
    arch: str = ""
    """`sm_90`, `gfx942`."""
    bus: str = ""
    """PCI address as in sysfs: `0000:01:00.0`."""
    numa: int | None = None

    @property
    def model(self) -> str:
        """What it is one of; "" where its machine does not tell."""
        return "" if self.name in UNNAMED.values() else self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class HostDevices:
    """What this machine has of one accelerator, read without importing torch."""

    driver: str | None
    names: tuple[str, ...]
    gpus: tuple[Gpu, ...] = ()


class Obstacle(NamedTuple):
    """What keeps a user from a machine's devices, and one command that helps, or ""."""

    why: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A file or folder of the engine's machine in a container."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineFacts:
    """What an engine says of itself that decides how its containers get GPUs."""

    version: str = ""
    cores: int = 0
    runtimes: tuple[str, ...] = ()
    cdi_devices: tuple[str, ...] = ()
    """`nvidia.com/gpu=0`; engines before 28.2 do not list them."""

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        """Read them from the engine's answer to `GET /info` (`docker info`)."""
        found = info.get("DiscoveredDevices") or ()
        return cls(
            version=info.get("ServerVersion", ""),
            cores=info.get("NCPU", 0),
            runtimes=tuple(info.get("Runtimes") or ()),
            cdi_devices=tuple(d["ID"] for d in found if d.get("Source") == "cdi"),
        )

    def cdi(self, kind: str) -> tuple[str, ...]:
        """Names of the devices of one kind: `0`, `GPU-…`, `all` of `nvidia.com/gpu`."""
        return tuple(d.partition("=")[2] for d in self.cdi_devices if d.startswith(f"{kind}="))


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessSettings:
    """How containers get GPUs on one runner, as matrix.toml has it."""

    gpu: GpuAccess | None = None
    """None: by what the engine says."""
    devices: tuple[str, ...] = ()
    driver_mounts: tuple[Mount, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceAccess:
    """What a container is started with to reach its GPUs; all of it goes to the engine as it is."""

    device_requests: tuple[Mapping[str, Any], ...] = ()
    """As in the engine's API: Driver, DeviceIDs, Capabilities."""
    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Numeric: an engine looks names up in the image, which lacks them."""
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    runtime: str = ""


def chosen(gpus: tuple[Gpu, ...], value: str | None) -> tuple[Gpu, ...]:
    """The GPUs that a vendor's variable leaves over: indices or beginnings of UUIDs, with commas.

    As the vendors' runtimes read it: None leaves all, and nothing counts after a word that names
    no GPU, such as -1 or Slurm's `NoDevFiles`.
    """
    if value is None:
        return gpus
    found: list[Gpu] = []
    for word in value.split(","):
        name = word.strip()
        named = [g for g in gpus if name == str(g.index) or (
            name.startswith("GPU-") and g.uuid.lower().startswith(name.lower()))]  # fmt: skip
        if not named:
            break
        found += named
    return tuple(dict.fromkeys(found))


def numa_node(bus: str, devices: Path = Path("/sys/bus/pci/devices")) -> int | None:
    """NUMA node of a PCI device; None on a machine with one node, where the kernel says -1."""
    try:
        node = int((devices / bus / "numa_node").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None


def cdi_access(kind: str, gpus: tuple[Gpu, ...], engine: EngineFacts) -> DeviceAccess:
    """Ask for GPUs by their CDI names: the UUID where a spec has it, else the index."""
    names = engine.cdi(kind)
    ids = [f"{kind}={gpu.uuid if gpu.uuid in names else gpu.index}" for gpu in gpus]
    return DeviceAccess(device_requests=({"Driver": "cdi", "DeviceIDs": ids},))


def cdi_gpus(kind: str, name: str, engine: EngineFacts) -> tuple[Gpu, ...]:
    """The GPUs whose specs an engine lists; UUIDs are preferred, and `all` is none of them."""
    names = [n for n in engine.cdi(kind) if n != "all"]
    uuids = [n for n in names if n.startswith("GPU-")]
    if uuids:
        return tuple(Gpu(uuid=u, index=i, name=name) for i, u in enumerate(uuids))
    return tuple(
        Gpu(uuid=f"{kind}={n}", index=int(n), name=name)
        for n in sorted((n for n in names if n.isdecimal()), key=int)
    )


class Refusal(NamedTuple):
    """An engine's refusal of a GPU, by its text, and one sentence: what it means, what to do."""

    pattern: str
    sentence: str
    """`{what}` is the group of that name in the pattern."""


def explain(refusals: tuple[Refusal, ...], text: str) -> str | None:
    """The first sentence whose pattern is in an engine's message."""
    for pattern, sentence in refusals:
        if match := re.search(pattern, text, re.DOTALL):
            return sentence.format(**match.groupdict())
    return None


def on_the_bus(vendor: str, pci: Path = Path("/sys/bus/pci/devices")) -> tuple[str, ...]:
    """PCI addresses of a vendor's display and accelerator devices, with a driver or without.

    `vendor` is its PCI number, such as `0x10de`.
    """
    found = []
    for path in sorted(pci.glob("*")):
        with suppress(OSError):
            kind = (path / "class").read_text(encoding="ascii").strip()
            same = (path / "vendor").read_text(encoding="ascii").strip() == vendor
            # 03: display, 12: processing accelerator
            if same and kind.startswith(("0x03", "0x12")):
                found.append(path.name)
    return tuple(found)
