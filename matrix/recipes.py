"""Recipes: the hashes of all that is known before planning, part by part."""

from typing import Literal, get_args

Part = Literal["environment", "tests", "settings", "waivers", "torch-matrix"]
PARTS: tuple[Part, ...] = get_args(Part)


def part_of(recipe: str, part: Part) -> str:
    """The hash of one part of a recipe; all of it where it has no parts."""
    hashes = recipe.split("-")
    return hashes[PARTS.index(part)] if len(hashes) == len(PARTS) else recipe


def changed(before: str, now: str) -> str:
    """Which parts differ between two recipes: `tests, settings`; "" where none does."""
    pairs = list(zip(before.split("-"), now.split("-"), strict=False))
    if len(pairs) != len(PARTS):
        return "" if before == now else "recipe"
    return ", ".join(part for part, (old, new) in zip(PARTS, pairs, strict=True) if old != new)
