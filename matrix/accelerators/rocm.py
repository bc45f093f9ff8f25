"""AMD: `rocmX.Y` variants, the GPUs of a machine, and containers' way to them."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from matrix.accelerators.devices import (
    UNNAMED,
    AccessSettings,
    Coverage,
    DeviceAccess,
    EngineFacts,
    Gpu,
    GpuAccess,
    HostDevices,
    Obstacle,
    Refusal,
    cdi_access,
    cdi_gpus,
    chosen,
    explain,
    numa_node,
    on_the_bus,
)

NAME: Literal["rocm"] = "rocm"
# HIP reads CUDA's variable too (rocm.docs.amd.com, HIP environment variables)
READS = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
CDI = "amd.com/gpu"
_VARIANT = re.compile(r"rocm(\d+(?:\.\d+)+)")
_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
_DRM = Path("/sys/class/drm")
_MODULE = Path("/sys/module/amdgpu/version")
_NODE = re.compile(r"/dev/dri/renderD(\d+)")
_KFD = "/dev/kfd"
_NO_NODE = (
    "/dev/kfd is not here: no amdgpu driver is loaded, or the container was started without "
    "`--device /dev/kfd --device /dev/dri`"
)
_GENERIC = {
    "gfx9-generic": ("gfx900", "gfx902", "gfx904", "gfx906", "gfx909", "gfx90c"),
    "gfx9-4-generic": ("gfx942", "gfx950"),
    "gfx10-3-generic": tuple(f"gfx103{n}" for n in range(7)),
    "gfx11-generic": tuple(f"gfx11{n}" for n in ("00", "01", "02", "03", "50", "51", "52", "53")),
    "gfx12-generic": ("gfx1200", "gfx1201"),
}

# the texts are those of engines 20.10 to 28
_REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        r'could not select device driver "cdi"',
        "the engine does not know CDI: engines before 28 need `features.cdi` in daemon.json; "
        'or set `gpu = "device-nodes"` for the runner',
    ),
    Refusal(
        r"unresolvable CDI devices (?P<what>amd\.com/[\w=.:/-]+)",
        "the engine's CDI specs do not have {what}: run `amd-ctk cdi generate "
        "--output=/etc/cdi/amd.json` there, again after each change of driver or GPU",
    ),
    Refusal(
        r"(?:Unknown runtime specified|unknown or invalid runtime name:?) \"?(?P<what>amd)",
        "the engine has no runtime `{what}`: install the AMD container toolkit there and run "
        '`amd-ctk runtime configure`, or set `gpu = "device-nodes"` for the runner',
    ),
    Refusal(
        r'custom device "(?P<what>/dev/(?:kfd|dri)[^"]*)"',
        "the engine's machine has no {what}: its amdgpu driver is not loaded (`modprobe amdgpu` "
        "there), or `devices` of the runner names another machine's",
    ),
    Refusal(
        r"(?i:unable to find group) (?P<what>\S+?):",
        "the image has no group `{what}`: write its number on the engine's machine into `groups` "
        "of the runner (`stat -c %g /dev/kfd` there prints it)",
    ),
)


def owns(variant: str) -> bool:
    """Whether the variant is a ROCm build, such as `rocm7.2`."""
    return _VARIANT.fullmatch(variant) is not None


def hidden() -> dict[str, str]:
    """What makes the vendor library report no device."""
    return {"HIP_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": ""}


def toolkit(variant: str) -> str:
    """Return "7.2" for `rocm7.2`."""
    match = _VARIANT.fullmatch(variant)
    return match[1] if match else ""


def _gfx(target_version: int) -> str:
    """Turn the driver's number into LLVM's name: 90402 is gfx942, 90010 is gfx90a."""
    major, minor, step = target_version // 10000, target_version // 100 % 100, target_version % 100
    return f"gfx{major}{minor:x}{step:x}"


def detect(nodes: Path = _NODES, drm: Path = _DRM) -> HostDevices | None:
    """Read GPUs from the kernel driver's topology; CPU nodes have target 0.

    amdsmi is not asked: it gives cards another UUID than the one that ROCm's runtime reads.
    """
    found: list[Gpu] = []
    for path in sorted(nodes.glob("*/properties"), key=lambda p: int(p.parent.name)):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:  # a container's cgroup hides the others' cards
            continue
        known = {key: int(value) for key, _, value in (line.partition(" ") for line in lines)
                 if value.isdecimal()}  # fmt: skip
        if known.get("gfx_target_version"):
            found.append(_gpu(len(found), known, drm))
    if not found:
        return None
    return HostDevices(driver=driver(), names=tuple(g.name for g in found), gpus=tuple(found))


def _gpu(index: int, known: Mapping[str, int], drm: Path) -> Gpu:
    """One card; its render node leads to what the graphics driver knows of it."""
    location, arch = known.get("location_id", 0), _gfx(known["gfx_target_version"])
    bus = f"{known.get('domain', 0):04x}:{location >> 8 & 0xFF:02x}:"
    bus += f"{location >> 3 & 0x1F:02x}.{location & 7}"
    minor = known.get("drm_render_minor") or None
    device = drm / f"renderD{minor}" / "device"
    memory = _read(device / "mem_info_vram_total")
    unique = known.get("unique_id")  # 0 on cards that have none
    return Gpu(
        uuid=f"GPU-{unique:016x}" if unique else bus,
        index=index,
        name=_read(device / "product_name") or arch,
        minor=minor,
        memory=int(memory) if memory.isdecimal() else None,
        arch=arch,
        bus=bus,
        numa=numa_node(bus),
    )


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8").strip()
    return ""


def driver() -> str | None:
    """The version of AMD's own amdgpu module; the kernel's has none."""
    return _read(_MODULE) or None


def obstacle(kfd: Path = Path(_KFD)) -> Obstacle | None:
    """What keeps this user from the GPUs: no driver, or the node belongs to others."""
    if not kfd.exists():
        bus = on_the_bus("0x1002") if not _NODES.exists() else ()
        return Obstacle(f"{bus[0]} on the PCI bus is AMD's, and {_NO_NODE}") if bus else None
    if os.access(kfd, os.R_OK | os.W_OK):
        return None
    why = f"this user may not open {kfd}, which belongs to group {kfd.stat().st_gid}"
    return Obstacle(why, "sudo usermod -aG render,video $USER  # then log in again")


def overridden(value: str) -> str:
    """The architecture that HSA_OVERRIDE_GFX_VERSION names, such as gfx90a for `9.0.10`, or ""."""
    parts = value.split(".")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):  # noqa: PLR2004  x.y.z
        return ""
    major, minor, step = map(int, parts)
    return f"gfx{major}{minor:x}{step:x}"


def since(_arch: str) -> str:
    """Which ROCm knows which GPU is in its build's list; no toolkit is asked."""
    return ""


def covers(archs: tuple[str, ...], arch: str) -> Coverage:
    """Code runs on its own architecture, or on all of a generic one's; there is no PTX.

    https://llvm.org/docs/AMDGPUUsage.html#amdgpu-generic-processor-table
    """
    names = {name.partition(":")[0] for name in archs}
    generic = {name: members for name, members in _GENERIC.items() if name in names}
    covered = arch in names or any(arch in members for members in generic.values())
    return "code" if covered else "none"


def driver_gate(_variant: str, _driver: str | None) -> str:
    """No gate: which amdgpu drivers serve which ROCm release is only partly published."""
    return ""


def allowed(gpus: tuple[Gpu, ...], env: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The GPUs that a scheduler or the user left to us; the topology shows all of them.

    HIP's variable, or CUDA's in its place, counts among those that ROCR's leaves over.
    """
    left = chosen(gpus, env.get("ROCR_VISIBLE_DEVICES"))
    counted = tuple(replace(gpu, index=index) for index, gpu in enumerate(left))
    again = chosen(counted, env.get("HIP_VISIBLE_DEVICES", env.get("CUDA_VISIBLE_DEVICES")))
    return tuple(left[gpu.index] for gpu in again)


def visible(gpus: tuple[Gpu, ...]) -> dict[str, str]:
    """Environment in which a process of this machine sees only these GPUs.

    HIP's own variable takes indices only, and counts among those that ROCR's leaves over.
    """
    ids = (g.uuid if g.uuid.startswith("GPU-") else str(g.index) for g in gpus)
    return {"ROCR_VISIBLE_DEVICES": ",".join(ids)}


def access(gpus: tuple[Gpu, ...], engine: EngineFacts, settings: AccessSettings) -> DeviceAccess:
    """What a container needs for these GPUs, by the way the runner is set to or the engine has."""
    nodes = tuple(f"/dev/dri/renderD{128 + g.index if g.minor is None else g.minor}" for g in gpus)
    # neither CDI nor the runtime lets a user without root in: the nodes belong to groups
    groups = settings.groups or _owners((_KFD, *nodes))
    how = settings.gpu or _how(engine)
    if how == "cdi":
        requests = cdi_access(CDI, gpus, engine).device_requests
        return DeviceAccess(device_requests=requests, groups=groups)
    if how == "toolkit":
        ids = ",".join(str(gpu.index) for gpu in gpus)
        return DeviceAccess(runtime="amd", groups=groups, env={"AMD_VISIBLE_DEVICES": ids})
    shared = tuple(node for node in settings.devices if not _NODE.fullmatch(node)) or (_KFD,)
    return DeviceAccess(devices=shared + nodes, groups=groups, mounts=settings.driver_mounts)


def _how(engine: EngineFacts) -> GpuAccess:
    if "amd" in engine.runtimes:
        return "toolkit"
    return "cdi" if engine.cdi(CDI) else "device-nodes"


def _owners(nodes: tuple[str, ...]) -> tuple[str, ...]:
    """Numbers of the groups that device nodes of this machine belong to."""
    found = []
    for node in nodes:
        with suppress(OSError):
            found.append(Path(node).stat().st_gid)
    return tuple(str(gid) for gid in dict.fromkeys(found) if gid)


def listed(engine: EngineFacts, settings: AccessSettings) -> tuple[Gpu, ...]:
    """The GPUs of another machine: by its engine's CDI specs, else by the nodes in its settings."""
    if gpus := cdi_gpus(CDI, UNNAMED[NAME], engine):
        return gpus
    minors = sorted(int(m[1]) for node in settings.devices if (m := _NODE.fullmatch(node)))
    return tuple(
        Gpu(uuid=f"/dev/dri/renderD{n}", index=i, name=UNNAMED[NAME], minor=n)
        for i, n in enumerate(minors)
    )


def unpinned() -> DeviceAccess:
    """For a Compose file that names no machine: Compose's environment names the card's node."""
    return DeviceAccess(
        devices=(_KFD, "/dev/dri/${RENDER_NODE:?node of the card, such as renderD128}"),
        groups=("${RENDER_GROUP:?number of the node's group, see stat -c %g /dev/dri/renderD128}",),
    )


def reserved(_gpus: int) -> dict[str, object]:
    """For a Compose service: all cards, for their nodes have no count; as both engines' guides."""
    return {
        "devices": [_KFD, "/dev/dri"],
        "group_add": ["video"],
        "cap_add": ["SYS_PTRACE"],
        "security_opt": ["seccomp=unconfined"],
    }


def explain_refusal(text: str) -> str | None:
    """What an engine's refusal of a GPU means and what to do; None for another error."""
    return explain(_REFUSALS, text)
