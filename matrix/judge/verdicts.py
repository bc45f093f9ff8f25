"""What a difference between two sides is called. Nothing is called that was seen only once.

First all series of a comparison are screened together; what stands out is measured again, and only
what the second pass shows as well is `regressed` or `improved`, with the second pass's number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from matrix.judge.effects import (
    DEFAULT,
    FEWEST,
    Better,
    Effect,
    Limits,
    apart,
    confirms,
    discoveries,
    gain,
    paired,
)
from matrix.judge.series import Contrast, Side, differences

NumberVerdict = Literal[
    "regressed", "improved", "known", "unstable", "missing", "new", "gone", "first-seen"
]
NUMBER_VERDICTS: tuple[NumberVerdict, ...] = (
    "regressed", "improved", "unstable", "missing", "gone", "new", "first-seen", "known",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A series, what its difference is called and why; `effect` is None where there is no number.

    `suspect` is what stood out among all and was not measured again.
    """

    contrast: Contrast
    verdict: NumberVerdict | Literal[""]
    why: str = ""
    effect: Effect | None = None
    suspect: bool = False


def judge(contrasts: Iterable[Contrast], limits: Limits = DEFAULT) -> list[Judgement]:
    """Judge all series of a comparison together, in their order."""
    judgements = [_without_number(contrast) for contrast in contrasts]
    effects = {
        place: _effect(judgement.contrast, again=False)
        for place, judgement in enumerate(judgements)
        if not judgement.verdict
    }
    found = discoveries((effect.p for effect in effects.values()), limits.false_share)
    for (place, effect), stands_out in zip(effects.items(), found, strict=True):
        contrast = judgements[place].contrast
        judgements[place] = _with_number(contrast, effect, limits, stands_out=stands_out)
    return judgements


def suspects(judgements: Iterable[Judgement]) -> list[Judgement]:
    """What is to be measured again before it is called."""
    return [judgement for judgement in judgements if judgement.suspect]


def _without_number(contrast: Contrast) -> Judgement:
    """The verdict of a series of which there can be no ratio; "" where there can be one."""
    verdict, why = absent(contrast) or _incomparable(contrast) or ("", "")
    return Judgement(contrast=contrast, verdict=verdict, why=why)


def absent(contrast: Contrast) -> tuple[NumberVerdict, str] | None:
    """What a series is called that one side has not measured; a disturbed one was measured."""
    before, after = contrast.before, contrast.after
    if after is None:
        what = "series" if contrast.measured[1] else "execution"
        return "gone", f"the {what} is not there any more"
    if not after.unit:
        return "missing", after.why
    if before is None:
        if contrast.measured[0]:
            return "new", "only the second side has it"
        return "first-seen", "nothing was measured before"
    return None if before.unit else ("new", f"before: {before.why}")


def _incomparable(contrast: Contrast) -> tuple[NumberVerdict, str] | None:
    """Why two measured sides give no ratio."""
    before, after = _both(contrast)
    if differ := differences(before, after):
        return "first-seen", f"not comparable: {differ}"
    if after.better not in {"higher", "lower"}:
        return "unstable", "which direction is better is not known"
    if why := before.why or after.why:
        return "unstable", why
    rounds = _fewest(before, after)
    if rounds >= FEWEST:
        return None
    what = "process" if rounds == 1 else "processes"
    return "unstable", f"{rounds} {what} of a side; their spread takes {FEWEST}"


def _both(contrast: Contrast) -> tuple[Side, Side]:
    before, after = contrast.before, contrast.after
    assert before is not None  # `absent` said so
    assert after is not None
    return before, after


def interleaved(before: Side, after: Side) -> bool:
    """Whether rounds of both ran in turn: pairs by their numbers."""
    return before.in_turn and after.in_turn and before.run == after.run


def values(before: Side, after: Side, *, again: bool) -> tuple[dict[int, float], dict[int, float]]:
    """Values of both sides by round; where they are interleaved only of rounds that both have."""
    old, new = (dict(side.again if again else side.first) for side in (before, after))
    if interleaved(before, after):
        both = sorted(old.keys() & new.keys())
        return {number: old[number] for number in both}, {number: new[number] for number in both}
    return old, new


def _fewest(before: Side, after: Side, *, again: bool = False) -> int:
    """Rounds of the side that has fewer."""
    return min(map(len, values(before, after, again=again)))


def _effect(contrast: Contrast, *, again: bool) -> Effect:
    before, after = _both(contrast)
    compare = paired if interleaved(before, after) else apart
    old, new = values(before, after, again=again)
    return compare([*old.values()], [*new.values()], cast("Better", after.better))


def gains(contrast: Contrast) -> dict[int, float]:
    """Of each first round that both sides took in turn, the logarithm of how much better it is."""
    before, after = _both(contrast)
    if not interleaved(before, after):
        return {}
    old, new = values(before, after, again=False)
    better = cast("Better", after.better)
    return {number: gain(old[number], new[number], better) for number in old}


def _with_number(
    contrast: Contrast, effect: Effect, limits: Limits, *, stands_out: bool
) -> Judgement:
    if not stands_out or effect.size < limits.smallest:
        return quiet(contrast, effect, limits)
    if effect.size <= effect.spread:
        why = f"processes of one side differ by {effect.spread:.1%}, which covers the effect"
        return Judgement(contrast=contrast, verdict="unstable", why=why, effect=effect)
    before, after = _both(contrast)
    if not interleaved(before, after):
        why = "measured at two times; rounds taken in turn (`run --compare`) tell"
        return Judgement(contrast=contrast, verdict="unstable", why=why, effect=effect)
    if _fewest(before, after, again=True) < FEWEST:
        why = "seen once; not measured again"
        return Judgement(
            contrast=contrast, verdict="unstable", why=why, effect=effect, suspect=True
        )
    repeated = _effect(contrast, again=True)
    if confirms(repeated, better=effect.ratio > 1, limits=limits):
        verdict: NumberVerdict = "improved" if repeated.ratio > 1 else "regressed"
        return Judgement(contrast=contrast, verdict=verdict, effect=repeated)
    first = f"{effect.ratio:.3f} at first and {repeated.ratio:.3f} when measured again"
    return quiet(contrast, repeated, limits, first)


def quiet(contrast: Contrast, effect: Effect, limits: Limits, first: str = "") -> Judgement:
    """`known` where a visible change would have been seen, else `unstable`."""
    if effect.low > 1 / (1 + limits.visible) and effect.high < 1 + limits.visible:
        return Judgement(contrast=contrast, verdict="known", why=first, effect=effect)
    wide = f"a change of {limits.visible:.0%} could hide in {effect.low:.3f} to {effect.high:.3f}"
    why = f"{first}; {wide}" if first else wide
    return Judgement(contrast=contrast, verdict="unstable", why=why, effect=effect)


def worst(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Those that say something first, and among them the largest effects."""

    def order(judgement: Judgement) -> tuple[int, float]:
        size = judgement.effect.size if judgement.effect else 0.0
        return [*NUMBER_VERDICTS, ""].index(judgement.verdict), -size

    return sorted(judgements, key=order)
