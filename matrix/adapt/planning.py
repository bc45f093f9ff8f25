"""The plan: choices in order, the user's own flags over them, all checked against the release."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matrix.adapt.choices.graphs import compiling, graphs
from matrix.adapt.choices.parallel import parallel, tensor_size
from matrix.adapt.choices.rest import attention, memory_fraction, variables
from matrix.adapt.choices.weights import kv_cache, quantization
from matrix.adapt.evidence import Evidence
from matrix.adapt.flagset import FlagSet
from matrix.adapt.gates import chosen
from matrix.adapt.given import decides, over, parse, ranks
from matrix.adapt.settings import Decision, Left, Plan, Setting
from matrix.adapt.situation import Served, Situation, situation
from matrix.errors import InputError


def plan(
    *, engine: str, release: str = "", gpu: str = "", gpus: int | None = None, torch: str = "",
    served: Served | None = None, source: str = "", check: Mapping[str, Any] | None = None,
    results: Path | None = None, given: Sequence[str] = (),
) -> Plan:  # fmt: skip
    """Flags and variables to launch an engine's release with, each with its reason.

    Without `release` the installed one. `torch` is such as `2.14.1+cu130`; without it what
    `check` (the parsed output of `check --json`) found, else what the release's metadata pins.
    `source`: a wheel, source archive or folder of the release, to read flags from. `results`: a
    folder of published tables. `given`: words of a command line that are added, and win.

    Raises `InputError` with every mistake: unknown names, flags or values that the release does not
    take, and wishes that hardware, toolkit, torch or a measurement forbid.
    """
    here = situation(engine=engine, release=release, gpu=gpu, gpus=gpus, torch=torch,
                     source=source, check=check, served=served)  # fmt: skip
    evidence = Evidence(folder=results)
    own, problems = parse(here.flags, given)
    tp = ranks(here.flags, own)
    if any(decides(one, "quantization") for one in own):
        # how many bytes those weights have is not known
        here = replace(here, served=replace(here.served, parameters=0))
    decisions: list[Decision] = []
    try:
        fitting = _fitting(here, evidence, tp)
        decisions = list(_decided(fitting, evidence, tp))
        if fitting is not here:
            decisions[0] = _because(decisions[0])
        here = fitting
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError("cannot adapt to this:", problems)
    decisions = list(over(decisions, own))
    wrong = [problem for one in decisions if (problem := refusal(here.flags, one))]
    if wrong:
        raise InputError(f"{engine} {here.release} would not start:", wrong)
    return Plan(situation=here, decisions=tuple(decisions))


def _fitting(here: Situation, evidence: Evidence, tp: int) -> Situation:
    """The situation, with FP8 weights where nothing else is asked for, fits and is allowed."""
    try:
        tensor_size(here, tp)
    except InputError:
        smaller = replace(here, served=replace(here.served, weights="fp8"))
        allowed = chosen(smaller, "quantization", "fp8")
        if here.served.weights != "auto" or isinstance(allowed, Left):
            raise
        tensor_size(smaller, tp)
        quantization(smaller, evidence)
        return smaller
    return here


def _because(first: Decision) -> Decision:
    reason = f"two bytes for a parameter do not fit; {first.reason}"
    return replace(first, reason=reason)


def _decided(here: Situation, evidence: Evidence, tp: int) -> Iterator[Decision]:
    size = tensor_size(here, tp)
    yield quantization(here, evidence)
    yield kv_cache(here)
    yield attention(here)
    yield from parallel(here, size)
    yield graphs(here, evidence, size[0])
    yield compiling(here, evidence)
    yield memory_fraction(here)
    yield from variables(here)


def refusal(flags: FlagSet, one: Decision) -> str:
    """Why the release does not take a setting, or ""; variables of others are not its business."""
    if not isinstance(one, Setting):
        return ""
    if one.is_flag:
        flag = flags.first([one.name])
        return flag.refusal(one.values) if flag else f"`{one.name}` is no flag of {flags.release}"
    mine = one.name.startswith(f"{flags.engine.upper()}_")
    known = not mine or one.name in flags.variables
    return "" if known else f"`{one.name}` is no variable of {flags.release}"
