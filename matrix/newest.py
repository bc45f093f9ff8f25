"""Which of many runs' entries count: the newest evidence, and what it does not cover."""

from collections.abc import Iterable

from matrix.entries import Entry, RunInfo
from matrix.recipes import part_of


def newest_of(runs: Iterable[RunInfo]) -> list[Entry]:
    """The newest evidence in these runs, oldest first, as `Store.newest` says."""
    return [chain[-1] for chain in _chains(runs)]


def shown_of(runs: Iterable[RunInfo]) -> list[Entry]:
    """The same for tables, which take of each test its last run: with what is not covered.

    A run of chosen tests does not hide one of all: entries of other settings stay that ran more
    tests than every later one.
    """
    return [entry for chain in _chains(runs) for entry in chain]


def _chains(runs: Iterable[RunInfo]) -> list[list[Entry]]:
    """Entries of one (cell, execution, suite, GPU model) each, the newest last."""
    found: dict[tuple[str, str, str], dict[str, list[Entry]]] = {}
    for run in runs:
        for entry in run.entries:
            models = found.setdefault(entry.key, {})
            if not entry.is_evidence and any(chain[-1].is_evidence for chain in models.values()):
                continue
            earlier = models.get(entry.device_model, [])
            if entry.device_model:
                models.pop("", None)
            else:
                models.clear()
            kept = [old for old in earlier if _covers_more(old, entry)]
            models[entry.device_model] = [*kept, entry]
    return [chain for models in found.values() for chain in models.values()]


def _covers_more(old: Entry, new: Entry) -> bool:
    if old.recipe == new.recipe or old.verdict or new.verdict:
        return False
    if part_of(old.recipe, "settings") == part_of(new.recipe, "settings"):
        return False
    return sum(old.counts.values()) > sum(new.counts.values())
