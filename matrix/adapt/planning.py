"""The plan: choices in order, the user's own flags over them, all checked against the release."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    own, problems = _given(here.flags, given)
    decisions: list[Decision] = []
    try:
        fitting = _fitting(here, evidence)
        decisions = list(_decided(fitting, evidence))
        if fitting is not here:
            decisions[0] = _because(decisions[0])
        here = fitting
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError("cannot adapt to this:", problems)
    decisions = list(_over(decisions, own, here.flags))
    wrong = [problem for one in decisions if (problem := refusal(here.flags, one))]
    if wrong:
        raise InputError(f"{engine} {here.release} would not start:", wrong)
    return Plan(situation=here, decisions=tuple(decisions))


def _fitting(here: Situation, evidence: Evidence) -> Situation:
    """The situation, with FP8 weights where nothing else is asked for, fits and is allowed."""
    try:
        tensor_size(here)
    except InputError:
        smaller = replace(here, served=replace(here.served, weights="fp8"))
        if here.served.weights != "auto" or isinstance(
            chosen(smaller, "quantization", "fp8"), Left
        ):
            raise
        tensor_size(smaller)
        quantization(smaller, evidence)
        return smaller
    return here


def _because(first: Decision) -> Decision:
    reason = f"two bytes for a parameter do not fit; {first.reason}"
    return replace(first, reason=reason)


def _decided(here: Situation, evidence: Evidence) -> Iterator[Decision]:
    size = tensor_size(here)
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


def _given(flags: FlagSet, words: Sequence[str]) -> tuple[list[Setting], list[str]]:
    """The user's own flags as settings, with every mistake in them."""
    found: list[Setting] = []
    problems: list[str] = []
    for name, values in _grouped(words):
        if not name:
            problems.append(f"`{' '.join(values)}` belongs to no flag")
            continue
        try:
            flag = flags.find(name)
        except InputError as error:
            problems += error.problems
            continue
        if why := flag.refusal(values):
            problems.append(why)
            continue
        reason = "given with the command"
        if flag.status:
            reason += f"; the release calls it {flag.status}"
            reason += f", in favour of `{flag.instead}`" if flag.instead else ""
        if name not in {flag.name, *flag.aliases}:
            reason += f" as `{name}`"
        found.append(Setting(choice="given", name=flag.name, values=tuple(values), reason=reason,
                             kind="given", source=flags.source))  # fmt: skip
    return found, problems


def _grouped(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """`--a 1 2 --b=3` → (--a, [1, 2]), (--b, [3]); a leading value has no flag."""
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("-") and not word[1:2].isdigit():
            name, equals, value = word.partition("=")
            groups.append((name, [value] if equals else []))
        elif groups:
            groups[-1][1].append(word)
        else:
            groups.append(("", [word]))
    return iter(groups)


def _over(
    decisions: Iterable[Decision], own: Sequence[Setting], flags: FlagSet
) -> Iterator[Decision]:
    """The user's flags in the places of ours, the others after them."""
    left = {_key(one, flags): one for one in own}
    for one in decisions:
        given = left.pop(_key(one, flags), None) if isinstance(one, Setting) else None
        if given and isinstance(one, Setting):
            instead = f"{given.reason}, instead of `{one.text}`"
            yield replace(given, choice=one.choice, reason=instead)
        else:
            yield one
    yield from left.values()


def _key(one: Setting | Decision, flags: FlagSet) -> str:
    """A flag by the name its definition has, so that aliases are one."""
    name = one.name if isinstance(one, Setting) else ""
    return next((flag.name for flag in flags.flags.values()
                 if name in {flag.name, *flag.aliases}), name)  # fmt: skip
