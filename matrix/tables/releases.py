"""Features over the releases of torch, in one place at a time, and where they stopped passing."""

from typing import Any

import pandas as pd

from matrix.recipes import part_of
from matrix.rows import NOT_EVIDENCE
from matrix.tables.columns import records, short_model
from matrix.tables.verdicts import ACCEPTED, NOT_MEASURED, loudest

SILENT = NOT_EVIDENCE | {NOT_MEASURED, "skip"}
"""Verdicts that say nothing about a release: a precondition was absent, or nothing ran."""
_COLUMNS = ["place", "feature", "title", "torch", "verdict", "labels", "reason", "source"]


def release_table(
    columns: pd.DataFrame,
    features: pd.DataFrame,
    problems: pd.DataFrame,
    outcomes: pd.DataFrame,
) -> pd.DataFrame:
    """One line per place, feature and release, in the order of the releases.

    A place is a backend on a device model with one Python (and the same companions, whatever their
    versions): only in it do releases differ by nothing else. Columns: place, feature, title, torch,
    verdict (the loudest where several builds of a release ran there), labels (tuple of columns),
    reason (of that verdict), source (hashes of the tests that ran).
    """
    reasons, sources = _reasons(problems), _sources(outcomes)
    groups: dict[tuple[str, str], list[str]] = {}
    for label, line in zip(map(str, columns.index), records(columns), strict=True):
        if label in features.columns:
            groups.setdefault((place_of(line), line["torch"]), []).append(label)
    lines: list[dict[str, Any]] = []
    for (_, name, title), cells in zip(features.index, records(features), strict=True):
        for (place, torch), labels in groups.items():
            verdict = loudest(cells[label] for label in labels)
            known = [reasons.get((name, label, verdict), "") for label in labels]
            line = {"place": place, "feature": name, "title": title, "torch": torch}
            line |= {"verdict": verdict, "labels": tuple(labels)}
            ran = sorted({source for label in labels for source in sources.get((name, label), ())})
            lines.append(line | {"reason": next(filter(None, known), ""), "source": " ".join(ran)})
    return pd.DataFrame(lines, columns=_COLUMNS, dtype=object)


def place_of(line: dict[str, Any]) -> str:
    """Name where a column was measured, but for the release and the build."""
    companions = [part.partition("==")[0] for part in line["companions"].split(";") if part]
    model = short_model(line["device_model"]) if line["device_model"] else "of unknown model"
    parts = [f"{line['device']} {model}", line["backend"], f"py{line['python']}", *companions]
    return ", ".join(filter(None, parts))


def plain(verdict: str) -> str:
    """The verdict without that the user accepts it."""
    return verdict.removesuffix(ACCEPTED)


def measured(releases: pd.DataFrame) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Lines that are evidence, oldest release first, by (place, feature)."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in records(releases):
        if plain(line["verdict"]) not in SILENT:
            found.setdefault((line["place"], line["feature"]), []).append(line)
    return found


def _reasons(problems: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    found: dict[tuple[str, str, str], str] = {}
    for line in records(problems):
        for label in line["labels"]:
            found.setdefault((line["subject"], label, line["verdict"]), line["reason"])
    return found


def _sources(outcomes: pd.DataFrame) -> dict[tuple[str, str], set[str]]:
    """Hashes of the tests that ran, by (feature, column)."""
    found: dict[tuple[str, str], set[str]] = {}
    names = ("feature", "label", "recipe")
    for feature, label, recipe in zip(*(outcomes[name] for name in names), strict=True):
        found.setdefault((feature, label), set()).add(part_of(recipe, "tests"))
    return found
