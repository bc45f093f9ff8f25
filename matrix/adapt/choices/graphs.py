"""CUDA graphs and torch.compile: the engine's own default, cut to what was measured as paying."""

import re
from typing import NamedTuple

from matrix.adapt.evidence import Evidence, Measured
from matrix.adapt.settings import Left, Setting
from matrix.adapt.situation import Situation
from matrix.facts.flags import Flag
from matrix.facts.graphdefaults import largest_batch

_LARGEST = ("--cuda-graph-max-bs-decode", "--cuda-graph-max-bs", "--max-cudagraph-capture-size")
_STEP, _DECODER = "decode-step", "decoder"
PAYS = 1.03
"""By how much a graph must be faster to pay: below it, runs differ by themselves."""
_BATCH = re.compile(r"\bbatch=(\d+)\b")
_MODE = re.compile(r"\bmode=(.+?)(?= \w+=|$)")


class Paying(NamedTuple):
    """Up to which measured batch a graph was faster, the first after it that was not, a source."""

    batch: int
    over: int | None
    where: str


def graphs(situation: Situation, evidence: Evidence, tp: int) -> Setting | Left:
    """The largest decode batch to capture."""
    flag = situation.flags.first(_LARGEST)
    default = largest_batch(situation.flags.graphs, situation.memory, tp)
    measured = _paying(situation, evidence)
    if flag is None or (default is None and (measured is None or measured.over is None)):
        return _default(situation, flag)
    if measured and measured.over and (default is None or measured.batch < default):
        reason = f"a graph of {measured.batch} sequences was faster on {situation.gpu}, one of "
        reason += f"{measured.over} was not"
        reason += f"; the release's default is {default}" if default else ""
        return Setting(choice="cuda graphs", name=flag.name, values=(str(measured.batch),),
                       reason=reason, kind="measured", source=measured.where)  # fmt: skip
    reason = f"the release's own default for {situation.memory / 1024:.0f} GiB and TP {tp}"
    reason += (
        f"; graphs were faster up to {measured.batch} sequences, the largest measured"
        if measured
        else "; which sizes pay is not measured on this GPU with this torch"
    )
    return Setting(choice="cuda graphs", name=flag.name, values=(str(default),), reason=reason,
                   kind="declared", source=situation.flags.source)  # fmt: skip


def _default(situation: Situation, flag: Flag | None) -> Left:
    """Left to the release."""
    if situation.engine == "vllm":
        reason = "left to the release; 0.33.0 takes twice the running sequences, at most 512"
        source = "vllm config/vllm.py, read in 0.33.0"
    else:
        reason = "left to the release, whose default could not be read as one table"
        source = situation.flags.source
    reason += "" if flag else "; it has no flag for the largest size"
    return Left(choice="cuda graphs", reason=f"{reason}; not measured", kind="declared",
                source=source)  # fmt: skip


def _paying(situation: Situation, evidence: Evidence) -> Paying | None:
    """What steps were faster as graphs, with this very torch on this GPU."""
    times: dict[int, dict[str, Measured]] = {}
    for one in evidence.workload(_STEP, situation.gpu, situation.torch.version):
        batch, mode = _BATCH.search(one.params), _MODE.search(one.params)
        if batch and mode:
            times.setdefault(int(batch[1]), {})[mode[1]] = one
    both = {
        batch: modes for batch, modes in sorted(times.items()) if {"eager", "graph"} <= set(modes)
    }
    faster = [b for b, modes in both.items() if _gain(modes["eager"], modes["graph"]) >= PAYS]
    if not faster:
        return None
    over = next((batch for batch in both if batch > faster[-1]), None)
    return Paying(faster[-1], over, both[faster[-1]]["graph"].where)


def _gain(before: Measured, after: Measured) -> float:
    return (before.median or 0) / after.median if after.median else 0


def compiling(situation: Situation, evidence: Evidence) -> Setting | Left:
    """torch.compile: only where it was measured as faster than graphs alone."""
    if situation.engine == "vllm":
        reason = (
            "the release decides; on by default in 0.33.0, where `--enforce-eager` turns it off"
        )
        return Left(choice="torch.compile", kind="declared", reason=reason,
                    source="vllm config/compilation.py, read in 0.33.0")  # fmt: skip
    flag = situation.flags.first(["--enable-torch-compile"])
    times = {
        mode[1]: one
        for one in evidence.workload(_DECODER, situation.gpu, situation.torch.version)
        if (mode := _MODE.search(one.params))
    }
    alone, both = times.get("graph"), times.get("graph, compiled")
    if alone is None or both is None:
        reason = "off, as by default: what it adds to graphs is not measured on this GPU with "
        reason += f"torch {situation.torch.version or 'of the engine'}"
        return Left(choice="torch.compile", reason=reason, kind="unknown",
                    source=f"workload `{_DECODER}` of the published results")  # fmt: skip
    gain = f"a small decoder was {_gain(alone, both):.2f} times as fast as with graphs alone on "
    gain += situation.gpu
    if flag is None or _gain(alone, both) < PAYS:
        return Left(choice="torch.compile", reason=f"off, as by default: {gain}", kind="measured",
                    source=both.where)  # fmt: skip
    return Setting(choice="torch.compile", name=flag.name, reason=gain, kind="measured",
                   source=both.where)  # fmt: skip
