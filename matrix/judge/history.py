"""A run against the nights before it: what is worth an interleaved run, which alone can call it."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from matrix.judge.effects import DEFAULT, Better, Limits
from matrix.judge.series import Contrast, Key, Side, contrasts, differences, sides
from matrix.judge.steps import Tonight, suspicious, tonight
from matrix.judge.verdicts import Judgement, NumberVerdict, absent, quiet
from matrix.rows import Row

Night = dict[Key, Side]
Known = tuple[NumberVerdict, str]


def judge_night(
    earlier: Iterable[Sequence[Row]], now: Sequence[Row], place: str, limits: Limits = DEFAULT
) -> list[Judgement]:
    """Judge one execution's run against earlier ones of it, each given by its rows, oldest first.

    Only nights under the conditions of `now` make a history.
    """
    nights = [sides(rows) for rows in earlier]
    last = {key: side for night in nights for key, side in night.items()}
    found = contrasts(last, sides(now), place)
    looked = [_look(contrast, nights) for contrast in found]
    stands_out = suspicious(night for _, _, night in looked)
    return [
        _judged(*one, limits, stands_out=out) for one, out in zip(looked, stands_out, strict=True)
    ]


def _look(contrast: Contrast, nights: Sequence[Night]) -> tuple[Contrast, Known | None, Tonight]:
    """The verdict of a series without a history, or what its history says of it.

    The side before is then the median of each of the nights.
    """
    side = contrast.after
    if (known := absent(contrast)) or side is None:
        return contrast, known, Tonight()
    past = [night[contrast.key] for night in nights if contrast.key in night]
    alike = [one for one in past if one.first and not differences(one, side)]
    known = _without_history(side, past, alike)
    if known:
        return contrast, known, Tonight()
    values = [statistics.median(one.first.values()) for one in alike]
    before = replace(alike[-1], first=dict(enumerate(values)), in_turn=False)
    now = statistics.median(side.first.values())
    better: Better = "higher" if side.better == "higher" else "lower"
    return replace(contrast, before=before), None, tonight([*values, now], better)


def _without_history(side: Side, past: Sequence[Side], alike: Sequence[Side]) -> Known | None:
    if side.why:
        return "unstable", side.why
    if side.better not in {"higher", "lower"}:
        return "unstable", "which direction is better is not known"
    if alike:
        return None
    return "first-seen", f"not comparable: {differences(past[-1], side)}"


def _judged(
    contrast: Contrast, known: Known | None, night: Tonight, limits: Limits, *, stands_out: bool
) -> Judgement:
    if known or night.effect is None:
        verdict, why = known or ("first-seen", night.why)
        return Judgement(contrast=contrast, verdict=verdict, why=why)
    if not stands_out:
        return quiet(contrast, night.effect, limits)
    why = f"unlike the {night.effect.rounds} nights before; rounds taken in turn tell"
    return Judgement(
        contrast=contrast, verdict="unstable", why=why, effect=night.effect, suspect=True
    )
