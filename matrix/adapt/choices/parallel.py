"""Tensor and data parallel sizes: by memory, heads and the goal."""

from matrix.adapt.settings import Decision, Left, Setting
from matrix.adapt.situation import WEIGHTS, Situation
from matrix.errors import InputError

SHARE = 0.7
"""Of a GPU's memory that weights may take: the rest holds the KV cache, activations and graphs."""
TENSOR = ("--tp-size", "--tensor-parallel-size")
_DATA = ("--dp-size", "--data-parallel-size")
_MIB = 2**20


def tensor_size(situation: Situation, given: int = 0) -> tuple[int, str]:
    """(ranks that share a model, why); raises `InputError` where the weights do not fit.

    `given`: the size that the user wants, which is taken if they fit.
    """
    served, gpus = situation.served, situation.gpus
    sizes = [tp for tp in range(1, gpus + 1) if gpus % tp == 0 and _divides(situation, tp)]
    sizes = [given] if given else sizes
    divided = _division(situation)
    if not served.parameters:
        size = sizes[-1]
        return size, f"all GPUs that can share it, for its size is not known; {divided}"
    need = served.parameters * WEIGHTS[served.weights] / _MIB
    fitting = [tp for tp in sizes if need / tp <= situation.memory * SHARE]
    if not fitting:
        raise InputError("the model does not fit:", [_too_large(situation, need, sizes[-1])])
    size = fitting[-1] if served.goal == "latency" else fitting[0]
    why = "the most ranks, for latency" if served.goal == "latency" else "the fewest ranks that fit"
    return size, (
        f"{why}: {_weights(situation)} are {need / size / 1024:.0f} GiB on each, at most "
        f"{SHARE:.0%} of {situation.memory / 1024:.0f} GiB; {divided}"
    )


def _weights(situation: Situation) -> str:
    served = situation.served
    each = WEIGHTS[served.weights]
    unit = "byte" if each == 1 else "bytes"
    return f"{served.parameters / 1e9:g} billion parameters of {each:g} {unit}"


def _too_large(situation: Situation, need: float, ranks: int) -> str:
    room, memory = situation.memory * SHARE / 1024, situation.memory / 1024
    where = f"{ranks} x {situation.gpu}" if ranks > 1 else f"one {situation.gpu}"
    smaller = ", or `--dtype` with fewer bytes" if WEIGHTS[situation.served.weights] > 1 else ""
    return (
        f"{_weights(situation)} are {need / 1024:.0f} GiB: {need / ranks / 1024:.0f} GiB on each "
        f"of {where}, whose {memory:.0f} GiB can hold {room:.0f} of weights; more GPUs{smaller}"
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
        found.append(_sized(situation, "tensor parallel", TENSOR, tp, why, source))
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
