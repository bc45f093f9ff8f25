"""What is to be served where: an engine's release, torch, the GPUs and the model. Validated.

Whatever is not known is refused with a suggestion, or left empty; nothing is guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from matrix import facts
from matrix.accelerators import accelerator_of
from matrix.accelerators.models import (
    Architecture,
    arch_of_capability,
    architectures,
    find_model,
    models,
)
from matrix.adapt.checked import flat
from matrix.adapt.flagset import FlagSet, flags_of_release
from matrix.errors import InputError
from matrix.schema import hint

Goal = Literal["latency", "throughput"]
GOALS: tuple[Goal, ...] = ("latency", "throughput")
WEIGHTS = {"auto": 2.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5625}
"""Wishes for the weights → bytes of one parameter; FP4 has a scale of 8 bits for 16 values."""
KV = ("auto", "fp8", "fp4")
ATTENTION = ("auto", "mha", "mla")


MOST_GPUS = 4096
"""Of one launch: more is a typing error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Torch:
    """The torch that the engine will run on; "" where it is not known."""

    version: str = ""
    toolkit: str = ""
    """CUDA or ROCm, such as 13.0."""
    source: str = "not known"


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """The model and what is wished of it; 0 where it is not said."""

    parameters: float = 0
    heads: int = 0
    kv_heads: int = 0
    hidden: int = 0
    weights: str = "auto"
    kv: str = "auto"
    attention: str = "auto"
    goal: Goal = "throughput"
    cache: str = ""
    """Folder for compiled code."""


class Machine(NamedTuple):
    """GPUs of one kind: MiB of one, how many."""

    name: str
    architecture: Architecture
    memory: int
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """All that choices depend on."""

    engine: str
    release: str
    gpu: str
    architecture: Architecture
    memory: int
    """MiB of one GPU."""
    gpus: int
    torch: Torch
    served: Served
    flags: FlagSet = field(repr=False)


def situation(
    *, engine: str, release: str, gpu: str = "", gpus: int | None = None, torch: str = "",
    source: str = "", check: Mapping[str, Any] | None = None, served: Served | None = None,
) -> Situation:  # fmt: skip
    """Resolve names to facts; raises `InputError` with every mistake.

    `source` is a wheel, a source archive or a folder of the release; `check` is what
    `check --json` printed on the machine.
    """
    check = None if check is None else flat(check)
    problems: list[str] = []
    wanted = served or Served()
    _check_served(wanted, problems)
    flags = None
    try:
        flags = flags_of_release(engine, release or _installed(check, engine), source)
    except InputError as error:
        problems += error.problems
    machine = _machine(gpu, gpus, check, problems)
    found = None
    try:
        accelerator = machine.architecture.accelerator if machine else ""
        found = _torch(torch, check, flags, accelerator)
    except InputError as error:
        problems += error.problems
    if problems or flags is None or machine is None or found is None:
        raise InputError("cannot adapt to this:", problems)
    return Situation(
        engine=engine,
        release=flags.release,
        gpu=machine.name,
        architecture=machine.architecture,
        memory=machine.memory,
        gpus=machine.number,
        torch=found,
        served=wanted,
        flags=flags,
    )


def _check_served(served: Served, problems: list[str]) -> None:
    for name, value, known in (
        ("dtype", served.weights, list(WEIGHTS)),
        ("KV dtype", served.kv, list(KV)),
        ("attention", served.attention, list(ATTENTION)),
        ("goal", served.goal, list[str](GOALS)),
    ):
        if value not in known:
            problems.append(f"{name} `{value}`: {hint(value, known)}")
    if not served.cache.isprintable():
        problems.append("the cache folder's name has characters that are not printable")
    for what, number in (("parameters", served.parameters), ("heads", served.heads),
                         ("KV heads", served.kv_heads), ("hidden", served.hidden)):  # fmt: skip
        if number < 0:
            problems.append(f"{what}: at least 1, got {number:g}")
    if served.kv_heads and served.heads % served.kv_heads:
        problems.append(f"{served.heads} heads do not share {served.kv_heads} KV heads evenly")


def _machine(
    gpu: str, gpus: int | None, check: Mapping[str, Any] | None, problems: list[str]
) -> Machine | None:
    """The GPUs: a model by its name, or those of a checked machine; None with a problem added."""
    if gpus is not None and not 1 <= gpus <= MOST_GPUS:
        problems.append(f"GPUs: 1 to {MOST_GPUS}, got {gpus}")
    if not gpu and check is not None:
        return _probed(check, gpus, problems)
    model = find_model(gpu)
    if model is None:
        problems.append(f"GPU `{gpu}` is not known; {_near(gpu)}" if gpu else "no GPU is named")
        return None
    return Machine(model.name, architectures()[model.arch], model.memory, gpus or 1)


def _near(gpu: str) -> str:
    """Which models a name could mean: those that begin with it, else the one most like it."""
    several = [name for name in models() if name.lower().startswith(gpu.lower())]
    return f"name one of {', '.join(several)}" if several else hint(gpu, list(models()))


def _probed(check: Mapping[str, Any], gpus: int | None, problems: list[str]) -> Machine | None:
    """The GPUs that `check` found, if they are of one kind."""
    listed = list(check.get("gpus") or ())
    kinds = {(one.get("name"), one.get("arch"), one.get("capability")) for one in listed}
    if len(kinds) != 1:
        several = "has GPUs of several kinds; name one of them" if kinds else "has no GPU"
        problems.append(f"the checked machine {several}")
        return None
    ((name, arch, capability),) = kinds
    model = find_model(str(name or ""))
    arch = arch or (arch_of_capability(str(capability)) if capability else "")
    arch = arch or (model.arch if model else "")
    memory = min(float(one.get("memory_gib") or 0) for one in listed) * 1024
    memory = memory or (model.memory if model else 0)
    if arch not in architectures():
        problems.append(f"GPU `{name}` of architecture `{arch}` is not known")
    if not memory:
        problems.append(f"the memory of GPU `{name}` is not known")
    if gpus is not None and gpus > len(listed):
        problems.append(f"{gpus} GPUs are asked for, the checked machine has {len(listed)}")
    if arch not in architectures() or not memory:
        return None
    called = model.name if model else str(name or arch)
    return Machine(called, architectures()[arch], round(memory), gpus or len(listed))


def _installed(check: Mapping[str, Any] | None, engine: str) -> str:
    """The release of the engine that a checked machine has, or ""."""
    packages = (check or {}).get("packages") or {}
    return next((str(v) for k, v in packages.items() if k.lower() == engine), "")


def _torch(
    wanted: str, check: Mapping[str, Any] | None, flags: FlagSet | None, accelerator: str
) -> Torch:
    """From the user, else from a checked machine, else what the release's metadata pins."""
    if wanted:
        return _named(wanted, accelerator)
    probed = (check or {}).get("torch") or {}
    if probed.get("version"):
        toolkit = str(probed.get("cuda") or probed.get("hip") or "")
        version = str(probed["version"]).partition("+")[0]
        return Torch(version=version, toolkit=".".join(toolkit.split(".")[:2]), source="checked")
    if flags is None or accelerator != "cuda":  # pins are for the default build, which is CUDA's
        return Torch()
    pin = facts.pins().get((flags.engine, flags.release))
    if pin is None or not pin.exact:
        return Torch()
    version = pin.torch.removeprefix("==")
    variant = facts.default_variant(version) or ""
    source = f"{flags.engine} {flags.release} requires torch=={version} ({pin.source})"
    vendor = accelerator_of(variant)
    return Torch(version=version, toolkit=vendor.toolkit(variant) if vendor else "", source=source)


def _named(wanted: str, accelerator: str) -> Torch:
    """`2.14.1+cu130`, or `2.14.1` with its default build; raises `InputError`."""
    version, _, variant = wanted.partition("+")
    known = facts.builds()
    if version not in known:
        raise InputError(
            "torch:", [f"torch `{version}` is not known; {hint(version, list(known))}"]
        )
    if variant and variant not in known[version]:
        message = f"torch {version} has no build `{variant}`; {hint(variant, list(known[version]))}"
        raise InputError("torch:", [message])
    variant = variant or (facts.default_variant(version) or "") * (accelerator != "rocm")
    vendor = accelerator_of(variant)
    if vendor and accelerator not in {"", vendor.NAME}:
        message = f"torch `{wanted}` is built for {vendor.NAME}, the GPU is of {accelerator}"
        raise InputError("torch:", [message])
    return Torch(version=version, toolkit=vendor.toolkit(variant) if vendor else "", source="given")
