"""Attention backend, memory fraction and environment variables."""

from collections.abc import Iterator

from matrix.adapt.gates import Gate, chosen, of
from matrix.adapt.settings import Decision, Left, Setting
from matrix.adapt.situation import Situation

_FRACTION = ("--mem-fraction-static", "--gpu-memory-utilization")
_CACHES = {
    "TORCHINDUCTOR_CACHE_DIR": (
        "inductor",
        "https://docs.pytorch.org/docs/stable/torch.compiler.html",
    ),
    "TRITON_CACHE_DIR": ("triton", "triton/runtime/cache.py"),
    "FLASHINFER_WORKSPACE_BASE": ("", "https://github.com/flashinfer-ai/flashinfer/issues/5145"),
}


def attention(situation: Situation) -> Setting | Left:
    """The backend that the release would choose itself, written down; else left to it."""
    if situation.engine != "sglang":
        return Left(choice="attention", reason="the release chooses by GPU and model",
                    kind="declared", source=situation.flags.source)  # fmt: skip
    found = chosen(situation, "attention", "default")
    if isinstance(found, Gate):
        return found.setting(situation)
    reason = f"the release chooses by GPU and model; {found.reason}"
    return Left(choice="attention", reason=reason, kind=found.kind, source=found.source)


def memory_fraction(situation: Situation) -> Left:
    """Never a number of ours: the engines compute theirs from more than is known here."""
    flag = situation.flags.first(_FRACTION)
    if situation.engine == "vllm":
        reason, source = f"{_FRACTION[1]} keeps the release's default", "vllm config/cache.py"
    else:
        reason = "computed by the release from memory, chunk size and graph sizes"
        source = "sglang srt/arg_groups/memory_hook.py"
    reason += "; set it where others use the GPU too" if flag else ""
    return Left(choice="memory fraction", reason=reason, kind="declared",
                source=source)  # fmt: skip


def variables(situation: Situation) -> Iterator[Decision]:
    """Variables that rules ask for and the release declares; caches, where a folder is given."""
    own = f"{situation.engine.upper()}_"
    for gate in of(situation, "variables"):
        name = gate.names[0]
        if gate.answer(situation)[0] != "yes":
            continue
        if name.startswith(own) and name not in situation.flags.variables:
            yield Left(choice="variables", reason=f"{name} is not declared by this release",
                       kind="declared", source=situation.flags.source)  # fmt: skip
            continue
        yield gate.setting(situation)
    if situation.served.cache:
        yield from _caches(situation)


def _caches(situation: Situation) -> Iterator[Decision]:
    """One folder for each torch, toolkit and architecture: not every cache has them in its key."""
    torch = situation.torch
    if not (torch.version and torch.toolkit):
        yield Left(choice="caches", reason="torch is not known, and compiled code is of one torch",
                   kind="unknown", source="--torch")  # fmt: skip
        return
    where = situation.architecture
    key = f"torch{torch.version}-{where.accelerator}{torch.toolkit}-{where.arch}"
    base = f"{situation.served.cache.rstrip('/')}/{situation.engine}{situation.release}-{key}"
    for name, (folder, source) in _CACHES.items():
        if name.startswith("FLASHINFER") and where.accelerator != "cuda":
            continue
        reason = "compiled code of this torch, toolkit and architecture only"
        yield Setting(choice="caches", name=name, values=(f"{base}/{folder}".rstrip("/"),),
                      reason=reason, kind="declared", source=source)  # fmt: skip
