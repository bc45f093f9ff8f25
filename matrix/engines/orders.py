"""What a container is to be: its options, always hardened, as the engine is told them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from docker.types import DeviceRequest, LogConfig, Mount

from matrix.accelerators import DeviceAccess
from matrix.engines.refusals import StartRefused
from matrix.render import UID

SOCKETS = ("docker.sock", "containerd.sock", "podman.sock")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much a container may take: bytes, processes, and the processors it may use."""

    memory: int
    tmp: int
    shm: int
    pids: int = 4096
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One container: what runs in it, within which limits, and what it finds there.

    `files` are tar archives by the folder they are unpacked in, each a volume that goes with the
    container; `binds` are folders of the engine's machine, read-only at the same place.
    """

    image: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    labels: Mapping[str, str]
    limits: Limits
    access: DeviceAccess = field(default_factory=DeviceAccess)
    files: Mapping[str, bytes] = field(default_factory=dict)
    binds: tuple[str, ...] = ()


def settings(order: Order) -> dict[str, Any]:
    """Everything that the SDK is told about a container; without network, rights or a way out."""
    access, limits = order.access, order.limits
    folders = list(order.files)
    if any(bind.startswith("/root/") for bind in order.binds):
        folders.append("/root")  # every image keeps its own shut, and what is mounted in it
    own = {"type": "volume", "no_copy": True, "labels": dict(order.labels)}
    mounts = [Mount(folder, None, **own) for folder in folders]
    mounts += [Mount(bind, bind, type="bind", read_only=True) for bind in order.binds]
    for mount in access.mounts:
        if mount.source.endswith(SOCKETS):
            reason = f"`{mount.source}` is an engine's socket, which no cell may have"
            raise StartRefused("infra", reason)
        mounts.append(Mount(mount.target, mount.source, type="bind", read_only=mount.read_only))
    return {
        "image": order.image,
        "command": list(order.command),
        "entrypoint": [],
        "environment": {**order.env, **access.env},
        "labels": dict(order.labels),
        "working_dir": "/tmp",  # noqa: S108  a tmpfs of its own
        "user": f"{UID}:{UID}",
        "group_add": list(access.groups),
        "network_mode": "none",
        # without a network an engine tells nobody its own name, which torchrun asks for
        "hostname": "cell",
        "extra_hosts": {"cell": "127.0.0.1"},
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        # exec: compiled kernels; the owner, because an engine gives it the mode of the image's /tmp
        "tmpfs": {"/tmp": f"size={limits.tmp},exec,mode=1777,uid={UID},gid={UID}"},  # noqa: S108
        "mounts": mounts,
        "mem_limit": limits.memory,
        "memswap_limit": limits.memory,
        "pids_limit": limits.pids,
        "shm_size": limits.shm,
        "cpuset_cpus": ",".join(map(str, limits.cpus)) or None,
        "device_requests": [DeviceRequest(**request) for request in access.device_requests],
        "devices": list(access.devices),
        "runtime": access.runtime or None,
        # what a cell says to its standard output must not fill the engine's disk either
        "log_config": LogConfig(type="json-file", config={"max-size": "16m", "max-file": "1"}),
    }
