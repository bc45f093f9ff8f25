"""A feature over releases and over time: since when it passes, where it broke, where it is unknown.

Results belong to executions, so a history is of one place at a time: a device model, a backend, a
Python. Between two measured releases nothing is known of the ones that were not.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from matrix import facts
from matrix.facts import order
from matrix.query import Database
from matrix.rows import NOT_EVIDENCE
from matrix.verdicts import ACCEPTED, FLAKY, NOT_MEASURED, loudest

SILENT = NOT_EVIDENCE | {"skip"}
"""Verdicts that say nothing about a release."""
PASS = "pass"  # noqa: S105  a verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What one run saw; `recipe` tells chance from change."""

    run: str
    time: str
    verdict: str
    reason: str
    recipe: str

    @property
    def is_evidence(self) -> bool:
        """Whether it says something about torch, rather than about the machine."""
        return self.verdict not in SILENT


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One execution of a cell over time, oldest sight first."""

    cell: str
    torch: str
    variant: str
    python: str
    companions: str
    execution: str
    backend: str
    device_model: str
    provision: str
    sights: tuple[Sight, ...]

    @property
    def environment(self) -> tuple[str, ...]:
        """What its place is known to be before anything ran there."""
        names = [part.partition("==")[0] for part in self.companions.split(";") if part]
        return (self.execution, self.python, *names)

    @property
    def place(self) -> str:
        """Where it ran, but for the release and the build."""
        execution, python, *names = self.environment
        device = execution.rpartition("-")[2]
        model = self.device_model or "of unknown model"
        mounted = [self.provision] if self.provision == "mounted" else []
        return ", ".join([f"{device} {model}", self.backend, *mounted, f"py{python}", *names])

    @property
    def newest(self) -> Sight:
        """The newest evidence; where there is none, the newest sight, which says why."""
        return next((s for s in reversed(self.sights) if s.is_evidence), self.sights[-1])

    @property
    def verdict(self) -> str:
        """That of the newest evidence; two outcomes of its recipe are chance."""
        now = self.newest
        seen = {s.verdict for s in self.sights if s.is_evidence and s.recipe == now.recipe}
        if len(seen) < 2 or not now.recipe or now.verdict.endswith(ACCEPTED):  # noqa: PLR2004
            return now.verdict
        return "wrong" if "wrong" in seen else FLAKY

    @property
    def changes(self) -> tuple[Sight, ...]:
        """The first sight of each verdict that followed another; silence is no change."""
        told = [sight for sight in self.sights if sight.is_evidence]
        return tuple(next(group) for _, group in groupby(told, key=lambda s: s.verdict))


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A release of torch in a place: the loudest of its builds; no tracks where none ran."""

    torch: str
    verdict: str
    tracks: tuple[Track, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether there is evidence."""
        return self.verdict not in {NOT_MEASURED, *SILENT}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A feature in one place: all published releases from the oldest that was tried there."""

    name: str
    releases: tuple[Release, ...]

    @property
    def phases(self) -> tuple[tuple[Release, ...], ...]:
        """Neighbours of one verdict among the releases with evidence."""
        known = (release for release in self.releases if release.is_known)
        return tuple(tuple(group) for _, group in groupby(known, key=lambda r: r.verdict))

    @property
    def unknown(self) -> tuple[Release, ...]:
        """Releases without evidence."""
        return tuple(release for release in self.releases if not release.is_known)

    @property
    def passes_since(self) -> str:
        """The release since which all evidence is a pass; "" where the newest is none."""
        last = self.phases[-1] if self.phases else ()
        return last[0].torch if last and last[0].verdict == PASS else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A feature in all places."""

    feature: str
    title: str
    places: tuple[Place, ...]


def history(feature: str, database: Database) -> History | None:
    """Read the history of a feature; None where no run had it."""
    seen = list(database.select(_SEEN, [feature]).records())
    if not seen:
        return None
    suites = sorted({str(line["suite"]) for line in seen})
    failed = list(database.select(_FAILED, [suites]).records())
    title = next((line["title"] for line in reversed(seen) if line["title"]), "")
    return History(feature=feature, title=title, places=places(tracks([*seen, *failed])))


_SEEN = """
SELECT run, time, cell, torch, variant, python, companions, execution, backend, device_model,
    provision, suite, title, verdict, reason, recipe
FROM features WHERE feature = $1 ORDER BY time, run, cell, execution
"""
# a suite that got no further in a cell has no row of the feature, and is why it is unknown
_FAILED = """
SELECT run, time, cell, torch, variant, python, companions, execution, backend, device_model,
    provision, suite, '' AS title, verdict, reason, '' AS recipe
FROM rows WHERE test = '' AND metric = '' AND verdict <> '' AND list_contains($1, suite)
ORDER BY time, run, cell, execution
"""
_PLACE = ("cell", "torch", "variant", "python", "companions", "execution", "backend")


def tracks(lines: Iterable[Mapping[str, Any]]) -> list[Track]:
    """Group what runs saw by execution.

    A cell that got no further may not know its device: it counts for all models it ever ran on.
    """
    groups: dict[tuple[str, ...], dict[tuple[str, str], list[Mapping[str, Any]]]] = {}
    for line in sorted(lines, key=lambda line: (line["time"], line["run"])):
        where = groups.setdefault(tuple(str(line[name]) for name in _PLACE), {})
        where.setdefault((line["device_model"], line["provision"]), []).append(line)
    found = []
    for key, models in groups.items():
        known = {model: seen for model, seen in models.items() if model[1]}
        lost = [line for model, seen in models.items() if not model[1] for line in seen]
        for (model, provision), seen in (known or {("", ""): []}).items():
            every = sorted([*seen, *lost], key=lambda line: (line["time"], line["run"]))
            place = dict(zip(_PLACE, key, strict=True))
            sights = tuple(map(_sight, every))
            found.append(Track(**place, device_model=model, provision=provision, sights=sights))
    return found


def _sight(line: Mapping[str, Any]) -> Sight:
    verdict = str(line["verdict"])
    return Sight(
        run=line["run"],
        time=line["time"],
        verdict=verdict,
        reason=line["reason"],
        recipe=line["recipe"],
    )


def places(found: Sequence[Track]) -> tuple[Place, ...]:
    """Put executions that differ by nothing but the release and the build side by side.

    A cell that never got as far as its device stands in every place it might have been.
    """
    groups: dict[str, list[Track]] = {}
    for track in found:
        if track.provision or track.device_model:
            groups.setdefault(track.place, []).append(track)
    for track in found:
        if not (track.provision or track.device_model):
            fitting = [
                group for group in groups.values() if group[0].environment == track.environment
            ]
            for group in fitting or [groups.setdefault(track.place, [])]:
                group.append(track)
    return tuple(
        Place(name=name, releases=tuple(_releases(groups[name]))) for name in sorted(groups)
    )


def _releases(found: Sequence[Track]) -> Iterator[Release]:
    """What ran, and what was published since the oldest of it and did not."""
    ran: dict[str, list[Track]] = {}
    for track in found:
        ran.setdefault(track.torch, []).append(track)
    oldest = min(ran, key=order)
    known = {torch for torch in facts.builds() if facts.published(torch)}
    for torch in sorted({*known, *ran}, key=order):
        if torch in ran:
            told = [track.verdict for track in ran[torch]]
            evidence = [verdict for verdict in told if verdict not in SILENT]
            verdict = loudest(evidence) if evidence else told[0]
            yield Release(torch=torch, verdict=verdict, tracks=tuple(ran[torch]))
        elif order(torch) > order(oldest):
            yield Release(torch=torch, verdict=NOT_MEASURED)
