"""CUDA graphs and torch.compile: the engine's own default, cut to what was measured as paying."""

import re

from matrix.adapt.evidence import Evidence, Measured
from matrix.adapt.settings import Left, Setting
from matrix.adapt.situation import Situation
from matrix.facts.graphdefaults import largest_batch

_LARGEST = ("--cuda-graph-max-bs-decode", "--cuda-graph-max-bs", "--max-cudagraph-capture-size")
_WORKLOADS = ("decode-graph", "decoder")
PAYS = 1.03
"""By how much a graph must be faster to pay: below it, runs differ by themselves."""
_BATCH = re.compile(r"\bbatch=(\d+)\b")
_MODE = re.compile(r"\bmode=([\w-]+)")


def graphs(situation: Situation, evidence: Evidence, tp: int) -> Setting | Left:
    """The largest decode batch to capture."""
    flag = situation.flags.first(_LARGEST)
    default = largest_batch(situation.flags.graphs, situation.memory, tp)
    measured = _paying(situation, evidence)
    if flag is None or (default is None and measured is None):
        own = "its default table could not be read" if situation.engine == "sglang" else (
            "it takes twice the running sequences, at most 512")  # fmt: skip
        return Left(choice="cuda graphs", reason=f"left to the release: {own}; not measured",
                    kind="unknown", source=situation.flags.source)  # fmt: skip
    if measured is not None and (default is None or measured[0] < default):
        batch, one = measured
        reason = f"graphs paid up to batch {batch} on {situation.gpu}"
        reason += f"; the release's default is {default}" if default else ""
        return Setting(choice="cuda graphs", name=flag.name, values=(str(batch),), reason=reason,
                       kind="measured", source=one.where)  # fmt: skip
    said = "graphs paid up to there" if measured else "which sizes pay is not measured here"
    reason = f"the release's own default for {situation.memory / 1024:.0f} GiB and TP {tp}; {said}"
    return Setting(choice="cuda graphs", name=flag.name, values=(str(default),), reason=reason,
                   kind="measured" if measured else "declared",
                   source=measured[1].where if measured else situation.flags.source)  # fmt: skip


def _paying(situation: Situation, evidence: Evidence) -> tuple[int, Measured] | None:
    """The largest batch whose step was faster as a graph, in this very cell's torch and GPU."""
    times: dict[int, dict[str, Measured]] = {}
    for name in _WORKLOADS:
        for one in evidence.workload(name, situation.gpu, situation.torch.version):
            batch, mode = _BATCH.search(one.params), _MODE.search(one.params)
            if batch and mode:
                times.setdefault(int(batch[1]), {})[mode[1]] = one
    paying = [
        (batch, modes["graph"])
        for batch, modes in times.items()
        if "eager" in modes and "graph" in modes and _gain(modes["eager"], modes["graph"]) >= PAYS
    ]
    return max(paying, key=lambda pair: pair[0], default=None)


def _gain(before: Measured, after: Measured) -> float:
    return (before.median or 0) / after.median if after.median else 0


def compiling(situation: Situation, evidence: Evidence) -> Setting | Left:
    """torch.compile: only where it was measured as faster than graphs alone."""
    if situation.engine == "vllm":
        return Left(choice="torch.compile", kind="declared",
                    reason="on by default; `--enforce-eager` turns it and graphs off",
                    source="vllm config/compilation.py, read in 0.33.0")  # fmt: skip
    flag = situation.flags.first(["--enable-torch-compile"])
    times: dict[str, Measured] = {}
    for name in _WORKLOADS:
        for one in evidence.workload(name, situation.gpu, situation.torch.version):
            if mode := _MODE.search(one.params):
                times[mode[1]] = one
    alone, both = times.get("graph"), times.get("reduce-overhead")
    if flag and alone and both and _gain(alone, both) >= PAYS:
        reason = f"{_gain(alone, both):.2f} times as fast as graphs alone on {situation.gpu}"
        return Setting(choice="torch.compile", name=flag.name, reason=reason, kind="measured",
                       source=both.where)  # fmt: skip
    said = "not faster than graphs alone" if alone and both else (
        "what it adds to graphs is not measured on this GPU with this torch")  # fmt: skip
    return Left(choice="torch.compile", reason=f"off, as by default: {said}",
                kind="measured" if alone and both else "unknown",
                source="workloads.csv of the results")  # fmt: skip
