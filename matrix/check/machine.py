"""A machine and one of its interpreters, as values: whatever is not known says so."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from matrix import facts
from matrix.accelerators import ACCELERATORS, AcceleratorName, HostDevices, Obstacle, accelerator_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """An installed distribution; `requires` is None where its metadata is not known.

    `tags` are those of its wheel, `origin` the file it was installed from where that was no
    index's.
    """

    name: str
    version: str
    requires: tuple[str, ...] | None = None
    python: str = ""
    tags: tuple[str, ...] = ()
    origin: str = ""

    @property
    def release(self) -> str:
        """The version without its local part."""
        return self.version.partition("+")[0]

    @property
    def local(self) -> str:
        """What was built how: the version's local part, else that of the file it came from."""
        match = re.match(r"[^-]+-[^-+]+\+([^-]+)-", self.origin)
        return self.version.partition("+")[2] or (match[1] if match else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """Torch as it was imported. None and "" stand for what is not known.

    `libraries` are the accelerator's shared libraries that the process had then; `warnings` what
    was said while devices were looked for.
    """

    version: str = ""
    cuda: str = ""
    hip: str = ""
    rocm: str = ""
    available: bool | None = None
    arch_list: tuple[str, ...] = ()
    cxx11_abi: bool | None = None
    import_error: str = ""
    libraries: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What is known of a machine and one interpreter on it; None and "" stand for the unknown.

    `devices` has the accelerators that were found: one that was looked for and is absent is in
    `absent`. `obstacles` say why a user cannot reach devices. `packages` are by normalised name,
    `twice` has all versions of what one folder holds twice, `libraries` the files on
    LD_LIBRARY_PATH that hide those of the wheels. Sizes are bytes.
    """

    name: str = "this machine"
    recorded: bool = False
    os: str = ""
    architecture: str = ""
    python: str = ""
    free_threaded: bool | None = None
    executable: str = ""
    glibc: str = ""
    compiler: str | None = None
    cc: str | None = None
    headers: bool | None = None
    nvcc: str | None = None
    devices: Mapping[AcceleratorName, HostDevices] = field(default_factory=dict)
    absent: frozenset[AcceleratorName] = frozenset()
    obstacles: Mapping[AcceleratorName, Obstacle] = field(default_factory=dict)
    packages: Mapping[str, Package] | None = None
    twice: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    loaded: Loaded | None = None
    environment: Mapping[str, str] | None = None
    libraries: tuple[str, ...] | None = None
    shm: int | None = None

    def package(self, name: str) -> Package | None:
        """An installed distribution; None where it is not there, or nobody knows."""
        return (self.packages or {}).get(canonicalize_name(name))

    @functools.cached_property
    def torch(self) -> str:
        """The version of torch as it loads, else by its metadata; "" where there is none.

        The metadata of PyPI's wheels has no local part, the module's version does.
        """
        package = self.package("torch")
        told = self.loaded.version if self.loaded else ""
        return told or (package.version if package else "")

    @property
    def release(self) -> str:
        """Torch's version without its local part; "" where it is none that can be compared."""
        try:
            return Version(self.torch).public
        except InvalidVersion:
            return ""

    @functools.cached_property
    def variant(self) -> str:
        """The build of torch: by its version, by what it says of itself, else as PyPI has it."""
        local = self.torch.partition("+")[2]
        if accelerator_of(local):
            return local
        if self.loaded:
            if self.loaded.cuda:
                return f"cu{self.loaded.cuda.replace('.', '')}"
            if hip := self.loaded.rocm or self.loaded.hip:
                return f"rocm{hip}"
            if self.loaded.version and not self.recorded:
                return "cpu"
        return "" if local else self._default_variant

    @property
    def _default_variant(self) -> str:
        on_pypi = self.architecture in {"", "x86_64"}
        return (facts.default_variant(self.release) or "") if self.release and on_pypi else ""

    @property
    def accelerator(self) -> AcceleratorName | None:
        """What torch is built for; None where that is not known."""
        found = accelerator_of(self.variant) if self.variant else None
        return found.NAME if found else None

    @property
    def cuda(self) -> str:
        """The CUDA version that torch is built with ("13.0"), or ""."""
        if self.loaded and self.loaded.cuda:
            return self.loaded.cuda
        return ACCELERATORS["cuda"].toolkit(self.variant) if self.accelerator == "cuda" else ""

    @property
    def build(self) -> facts.Build | None:
        """What is published about this build of torch."""
        return facts.builds().get(self.release, {}).get(self.variant)

    @property
    def gpus(self) -> tuple[AcceleratorName, ...]:
        """The accelerators that this machine has GPUs of."""
        return tuple(name for name, devices in self.devices.items() if devices.gpus)

    @property
    def archs(self) -> tuple[str, ...]:
        """Architectures of all GPUs, as far as they are known."""
        found = (gpu.arch for devices in self.devices.values() for gpu in devices.gpus)
        return tuple(dict.fromkeys(arch for arch in found if arch))

    @property
    def driver(self) -> str:
        """NVIDIA's driver, or ""."""
        devices = self.devices.get("cuda")
        return (devices.driver or "") if devices else ""

    def variable(self, name: str) -> str | None:
        """An environment variable; None where it is unset, or nobody knows."""
        return (self.environment or {}).get(name)
