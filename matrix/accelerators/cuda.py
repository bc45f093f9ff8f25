"""NVIDIA: `cuXYZ` variants, driver floors, the GPUs of a machine, and containers' way to them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from matrix import facts
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

NAME: Literal["cuda"] = "cuda"
READS = ("CUDA_VISIBLE_DEVICES",)
CDI = "nvidia.com/gpu"
_VARIANT = re.compile(r"cu(\d+)(\d)")
_PROC = Path("/proc/driver/nvidia")
# any of these is there where a driver is; the last one is Windows' (WSL)
_DRIVER = (_PROC / "version", Path("/dev/nvidiactl"), Path("/dev/dxg"))
_NODE = re.compile(r"/dev/nvidia(\d+)")
_ARCH = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")
_WSL = Path("/dev/dxg")
_LIBCUDA = (Path("/usr/lib/x86_64-linux-gnu/libcuda.so.1"), Path("/usr/lib64/libcuda.so.1"))
_SHADOWS = "is a Linux driver's and hides the one of WSL, where the driver is Windows'"
_PURGE = "sudo apt-get purge 'libnvidia-compute-*'"
_SINCE = {
    "sm_80": "11.0", "sm_86": "11.1", "sm_87": "11.4", "sm_89": "11.8", "sm_90": "11.8",
    "sm_100": "12.8", "sm_101": "12.8", "sm_120": "12.8", "sm_103": "12.9", "sm_121": "12.9",
    "sm_110": "13.0",
}  # fmt: skip
_NO_DRIVER = (
    "no driver is loaded: install one, or, in a container, start it with `--gpus all` "
    "(NVIDIA container toolkit) or CDI"
)
_NO_NODE = "start the container with `--gpus all` (NVIDIA container toolkit) or CDI"
_CONTROL = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
_CAPABILITIES = {"NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
_TOOLKIT = "install the NVIDIA container toolkit there and run `nvidia-ctk runtime configure`"
_OTHERWISE = 'or set `gpu = "device-nodes"` and `driver_mounts` for the runner'

# the texts are those of engines 20.10 to 28 and of
# nvidia-container-cli (NVIDIA/nvidia-container-toolkit issues 1269 and 183)
_REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        r'could not select device driver "cdi"',
        "the engine does not know CDI: engines before 28 need `features.cdi` in daemon.json; "
        'or set `gpu = "toolkit"` or `"device-nodes"` for the runner',
    ),
    Refusal(
        r"could not select device driver",
        f"the engine has no NVIDIA container toolkit: {_TOOLKIT}, {_OTHERWISE}",
    ),
    Refusal(
        r"unresolvable CDI devices (?P<what>nvidia\.com/[\w=.:/-]+)",
        "the engine's CDI specs do not have {what}: run `nvidia-ctk cdi generate "
        "--output=/etc/cdi/nvidia.yaml` there, again after each change of driver or GPU",
    ),
    Refusal(
        r"(?:Unknown runtime specified|unknown or invalid runtime name:?) \"?(?P<what>nvidia)",
        f"the engine has no runtime `{{what}}`: {_TOOLKIT}, {_OTHERWISE}",
    ),
    Refusal(
        r'custom device "(?P<what>/dev/nvidia[^"]*)"',
        "the engine's machine has no {what}: its driver is not loaded (`nvidia-smi` there makes "
        "the nodes), or `devices` of the runner names another machine's",
    ),
    Refusal(
        r"nvidia-container-cli:.*(?:driver not loaded|load library failed: libnvidia-ml)",
        "the toolkit finds no NVIDIA driver on the engine's machine: install or load it; "
        "`nvidia-smi` there must work first",
    ),
    Refusal(
        r"nvidia-container-cli:.*unsatisfied condition: (?P<what>[^,:]+)",
        "the driver on the engine's machine is too old for the image ({what}): update the driver, "
        "or choose a variant built with an older CUDA",
    ),
    Refusal(
        r"nvidia-container-cli:.*device error: (?P<what>\S+?): unknown device",
        "the engine's machine has no GPU {what}: compare `nvidia-smi -L` there with "
        "`python -m matrix runners`",
    ),
    Refusal(
        r"(?P<what>nvidia-container-cli: [^\n]{1,200})",
        "the toolkit gives no GPU ({what}); see that `nvidia-smi` works on the engine's machine",
    ),
)


def owns(variant: str) -> bool:
    """Whether the variant is a CUDA build, such as `cu130`."""
    return _VARIANT.fullmatch(variant) is not None


def hidden() -> dict[str, str]:
    """What makes the vendor library report no device."""
    return {"CUDA_VISIBLE_DEVICES": ""}


def toolkit(variant: str) -> str:
    """Return "13.0" for `cu130`: the last digit is the minor version."""
    match = _VARIANT.fullmatch(variant)
    return f"{match[1]}.{match[2]}" if match else ""


def detect() -> HostDevices | None:
    """Read driver and GPUs from NVML, or from the kernel module's own files where it is absent."""
    if not any(path.exists() for path in _DRIVER):
        return None
    return by_nvml() or by_proc()


def by_nvml() -> HostDevices | None:
    """Ask the driver's management library; None where it cannot be loaded or has no GPU."""
    import pynvml  # noqa: PLC0415  0.1 s that a machine without a driver need not spend

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        gpus = [_nvml_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
    return _host(driver, [gpu for gpu in gpus if gpu])


def _nvml_gpu(nvml: Any, index: int) -> Gpu | None:  # noqa: ANN401  a module without types
    """One GPU; None for one that fell off its bus, which is no reason to lose the others."""

    def ask(name: str) -> Any:  # noqa: ANN401
        try:
            return getattr(nvml, f"nvmlDeviceGet{name}")(handle)
        except nvml.NVMLError:
            return None

    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid = _text(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError:
        return None
    pci, memory, capability = ask("PciInfo"), ask("MemoryInfo"), ask("CudaComputeCapability")
    bus = _bus(_text(pci.busId)) if pci else ""
    return Gpu(
        uuid=uuid,
        index=index,
        name=_text(ask("Name") or UNNAMED[NAME]),
        minor=ask("MinorNumber"),
        memory=memory.total if memory else None,
        arch="sm_{}{}".format(*capability) if capability else "",
        bus=bus,
        numa=numa_node(bus),
    )


def by_proc(proc: Path = _PROC) -> HostDevices | None:
    """Read what the kernel module tells everyone: model, UUID, address; memory is not there."""
    gpus = []
    for index, path in enumerate(sorted(proc.glob("gpus/*/information"))):
        lines = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines())
        known = {key.strip(): value.strip() for key, _, value in lines}
        bus = _bus(known.get("Bus Location") or path.parent.name)
        uuid, minor = known.get("GPU UUID", "?"), known.get("Device Minor", "")
        gpus.append(
            Gpu(
                uuid=bus if "?" in uuid else uuid,  # the driver has not woken this GPU yet
                index=index,
                name=known.get("Model", UNNAMED[NAME]),
                minor=int(minor) if minor.isdecimal() else None,
                bus=bus,
                numa=numa_node(bus),
            )
        )
    return _host(driver(proc), gpus)


def driver(proc: Path = _PROC) -> str | None:
    """The kernel module's version, by its own file: it needs no toolkit and no `nvidia-smi`."""
    try:
        text = (proc / "version").read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(r"Kernel Module[^\n]*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return match[1] if match else None


def obstacle() -> Obstacle | None:
    """What keeps this user from the GPUs: no driver, no nodes, no rights, a driver half updated."""
    if _WSL.exists():
        found = [path for path in _LIBCUDA if path.exists() and "wsl" not in str(path.resolve())]
        return Obstacle(f"{found[0]} {_SHADOWS}", _PURGE) if found else None
    control = _DRIVER[1]
    if not _DRIVER[0].exists():
        bus = on_the_bus("0x10de")
        return Obstacle(f"{bus[0]} on the PCI bus is NVIDIA's, and {_NO_DRIVER}") if bus else None
    if not control.exists():
        return Obstacle(f"a driver is loaded, and {control} is not here: {_NO_NODE}")
    if not os.access(control, os.R_OK | os.W_OK):
        return Obstacle(f"this user may not open {control}", f"sudo chmod 666 {control}")
    return _half_updated()


def _half_updated() -> Obstacle | None:
    import pynvml  # noqa: PLC0415  as in `by_nvml`

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if getattr(error, "value", 0) == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            return Obstacle("the driver was updated, and its old kernel module still runs",
                            "sudo reboot")  # fmt: skip
        return None  # slim containers lack the library, which torch does not need
    pynvml.nvmlShutdown()
    return None


def since(arch: str) -> str:
    """The first CUDA whose compiler knows an architecture (release notes of the toolkits)."""
    return _SINCE.get(arch, "")


def covers(archs: tuple[str, ...], arch: str) -> Coverage:
    """Code runs on later minor versions of its major version, PTX is compiled for all later GPUs.

    An `a` behind a number is of that GPU alone, an `f` of its family
    (https://docs.nvidia.com/cuda/cuda-c-programming-guide/#compute-capability).
    """
    if not (device := _ARCH.fullmatch(arch)):
        return "none"
    here = int(device[2]), int(device[3])
    for match in filter(None, map(_ARCH.fullmatch, archs)):
        there = int(match[2]), int(match[3])
        exact = match[4] == "a"
        if match[1] == "sm" and (there == here if exact else there[0] == here[0] and there <= here):
            return "code"
    ptx = (m for m in map(_ARCH.fullmatch, archs) if m and m[1] == "compute" and not m[4])
    return "ptx" if any((int(m[2]), int(m[3])) <= here for m in ptx) else "none"


def _host(driver: str | None, gpus: list[Gpu]) -> HostDevices | None:
    names = tuple(gpu.name for gpu in gpus)
    return HostDevices(driver=driver, names=names, gpus=tuple(gpus)) if gpus else None


def _text(value: str | bytes) -> str:
    """Old releases of the binding return bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _bus(address: str) -> str:
    """`00000000:01:00.0` of NVML is `0000:01:00.0` in sysfs."""
    domain, _, rest = address.lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}"


def driver_gate(variant: str, driver: str | None) -> str:
    """Compare the driver with the variant's floor; an unknown driver is not gated."""
    floor = facts.driver_floors().get(variant)
    if driver is None or floor is None or facts.natural(driver) >= facts.natural(floor.floor):
        return ""
    return (
        f"{variant} needs an NVIDIA driver >= {floor.floor}, this machine has {driver} "
        f"(gated; source: {floor.source})"
    )


def allowed(gpus: tuple[Gpu, ...], env: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The GPUs that a scheduler or the user left to us; NVML shows all of them."""
    return chosen(gpus, env.get("CUDA_VISIBLE_DEVICES"))


def visible(gpus: tuple[Gpu, ...]) -> dict[str, str]:
    """Environment in which a process of this machine sees only these GPUs."""
    # indices mean the same as ours only in the order of the bus
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(_id, gpus)), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _id(gpu: Gpu) -> str:
    return gpu.uuid if gpu.uuid.startswith("GPU-") else str(gpu.index)


def access(gpus: tuple[Gpu, ...], engine: EngineFacts, settings: AccessSettings) -> DeviceAccess:
    """What a container needs for these GPUs, by the way the runner is set to or the engine has."""
    how = settings.gpu or _how(engine, settings)
    if how == "cdi":
        return cdi_access(CDI, gpus, engine)
    if how == "toolkit":
        ids = [_id(gpu) for gpu in gpus]
        request = {"Driver": "nvidia", "DeviceIDs": ids, "Capabilities": [["gpu"]]}
        # a cell's image says `void`, and the toolkit's hook reads this variable
        return DeviceAccess(
            device_requests=(request,),
            env={"NVIDIA_VISIBLE_DEVICES": ",".join(ids), **_CAPABILITIES},
        )
    own = tuple(f"/dev/nvidia{g.index if g.minor is None else g.minor}" for g in gpus)
    shared = tuple(node for node in settings.devices if not _NODE.fullmatch(node)) or _CONTROL
    folders = [m.target for m in settings.driver_mounts if ".so" not in m.target]
    paths = ":".join(path for folder in folders for path in (f"{folder}/lib64", folder))
    return DeviceAccess(
        devices=shared + own,
        groups=settings.groups,
        mounts=settings.driver_mounts,
        env={"LD_LIBRARY_PATH": paths} if paths else {},
    )


def _how(engine: EngineFacts, settings: AccessSettings) -> GpuAccess:
    if "nvidia" in engine.runtimes:
        return "toolkit"
    if engine.cdi(CDI):
        return "cdi"
    # an engine does not tell whether it has the toolkit's hook; it is the usual way
    return "device-nodes" if settings.driver_mounts else "toolkit"


def listed(engine: EngineFacts, settings: AccessSettings) -> tuple[Gpu, ...]:
    """The GPUs of another machine: by its engine's CDI specs, else by the nodes in its settings."""
    if gpus := cdi_gpus(CDI, UNNAMED[NAME], engine):
        return gpus
    numbers = sorted(int(m[1]) for node in settings.devices if (m := _NODE.fullmatch(node)))
    return tuple(Gpu(uuid=f"/dev/nvidia{n}", index=n, name=UNNAMED[NAME], minor=n) for n in numbers)


def unpinned() -> DeviceAccess:
    """For a Compose file that names no machine: Compose's environment names the card."""
    card = "${GPU:?UUID of the card, see nvidia-smi -L}"
    request = {"Driver": "nvidia", "DeviceIDs": [card], "Capabilities": [["gpu"]]}
    env = {"NVIDIA_VISIBLE_DEVICES": card, **_CAPABILITIES}
    return DeviceAccess(device_requests=(request,), env=env)


def reserved(gpus: int) -> dict[str, object]:
    """For a Compose service: any GPUs of the machine, by the container toolkit."""
    device = {"driver": "nvidia", "count": gpus, "capabilities": ["gpu"]}
    return {"deploy": {"resources": {"reservations": {"devices": [device]}}}}


def explain_refusal(text: str) -> str | None:
    """What an engine's refusal of a GPU means and what to do; None for another error."""
    return explain(_REFUSALS, text)
