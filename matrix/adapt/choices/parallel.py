"""Tensor and data parallel sizes: by memory, heads and the goal."""

from matrix.adapt.settings import Decision, Left, Setting
from matrix.adapt.situation import WEIGHTS, Situation
from matrix.errors import InputError

SHARE = 0.7
"""Of a GPU's memory that weights may take: the rest holds the KV cache, activations and graphs."""
_TENSOR = ("--tp-size", "--tensor-parallel-size")
_DATA = ("--dp-size", "--data-parallel-size")
_MIB = 2**20


def tensor_size(situation: Situation) -> tuple[int, str]:
    """(ranks that share a model, why); raises `InputError` where the weights do not fit."""
    served, gpus = situation.served, situation.gpus
    sizes = [tp for tp in range(1, gpus + 1) if gpus % tp == 0 and _divides(situation, tp)]
    divided = _division(situation)
    if not served.parameters:
        size = sizes[-1]
        return size, f"all GPUs that can share it, for its size is not given; {divided}"
    need = served.parameters * WEIGHTS[served.weights] / _MIB
    room = situation.memory * SHARE
    fitting = [tp for tp in sizes if need / tp <= room]
    bytes_ = f"{served.parameters / 1e9:g} billion parameters of {WEIGHTS[served.weights]:g} bytes"
    if not fitting:
        best = sizes[-1]
        kind = f" in {served.weights}" if served.weights != "auto" else ""
        problem = (
            f"{bytes_}{kind} are {need / 1024:.0f} GiB: {need / best / 1024:.0f} GiB on each of "
            f"{best} GPU(s), where {room / 1024:.0f} of {situation.memory / 1024:.0f} can hold "
            f"weights; use more GPUs or a smaller `--dtype`"
        )
        raise InputError("the model does not fit:", [problem])
    size = fitting[-1] if served.goal == "latency" else fitting[0]
    why = "the most ranks, for latency" if served.goal == "latency" else "the fewest ranks that fit"
    return size, (
        f"{why}: {bytes_} are {need / size / 1024:.0f} GiB on each, at most {SHARE:.0%} of "
        f"{situation.memory / 1024:.0f} GiB; {divided}"
    )


def _divides(situation: Situation, tp: int) -> bool:
    served = situation.served
    if not served.heads:
        return tp & (tp - 1) == 0  # what model does not have a power of two
    kv = served.kv_heads or served.heads
    shared = kv % tp == 0 or tp % kv == 0
    return served.heads % tp == 0 and shared and (served.hidden or tp) % tp == 0


def _division(situation: Situation) -> str:
    served = situation.served
    if not served.heads:
        return "heads not given, so a power of two"
    return f"{served.heads} heads and {served.kv_heads or served.heads} KV heads divide by it"


def parallel(situation: Situation, size: tuple[int, str]) -> list[Decision]:
    """Settings of both sizes; what is 1 is not written."""
    tp, why = size
    source = "arithmetic: matrix/adapt/choices/parallel.py"
    found: list[Decision] = []
    if tp > 1:
        found.append(_sized(situation, "tensor parallel", _TENSOR, tp, why, source))
    else:
        found.append(
            Left(choice="tensor parallel", reason=f"1, {why}", kind="gated", source=source)
        )
    replicas = situation.gpus // tp
    if replicas > 1:
        why = f"{situation.gpus} GPUs in groups of {tp}"
        found.append(_sized(situation, "data parallel", _DATA, replicas, why, source))
    return found


def _sized(
    situation: Situation, choice: str, names: tuple[str, ...], size: int, why: str, source: str
) -> Decision:
    flag = situation.flags.first(names)
    if flag is None:
        reason = f"{why}; {situation.release} has no {names[-1]}: start {size} servers instead"
        return Left(choice=choice, reason=reason, kind="declared", source=situation.flags.source)
    return Setting(choice=choice, name=flag.name, values=(str(size),), reason=why, kind="gated",
                   source=source)  # fmt: skip
