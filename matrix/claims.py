"""What may be said of a feature, from evidence alone: where it passes, and what is unknown.

A claim is of one place, as a history is. It says nothing of a release that did not run there: those
between two measured ones are its `gaps`, and newer ones are `ahead` of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from matrix.facts import order
from matrix.history import PASS, Place, Release, Track, places, tracks
from matrix.query import Database

SCHEMA = 1
Chosen = Callable[[str, str], bool]
"""(cell, execution) → whether it counts."""
_NEWEST = """
SELECT run, time, cell, torch, variant, python, companions, execution, backend, device_model,
    provision, suite, feature, title, verdict, reason, '' AS recipe, driver, first_passed,
    last_passed
FROM newest ORDER BY feature, time, run, cell, execution
"""
# a cell that can no longer be made has no rows of features
_FAILED = """
SELECT run, time, cell, torch, variant, python, companions, execution, backend, device_model,
    provision, suite, verdict, reason, '' AS recipe
FROM rows WHERE test = '' AND metric = '' AND verdict <> '' AND is_evidence(verdict)
QUALIFY row_number() OVER (PARTITION BY cell, execution, suite ORDER BY time DESC, run DESC) = 1
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A feature in one place: its releases with evidence, oldest first, and those without.

    It passes from `since` to `until`: the newest neighbours that all pass, "" where none does.
    `variants` are the builds that passed; `first` and `last` are the days of the oldest and the
    newest pass.
    """

    feature: str
    title: str
    place: Place
    since: str
    until: str
    variants: tuple[str, ...]
    first: str
    last: str

    @property
    def measured(self) -> tuple[Release, ...]:
        """Releases with evidence, oldest first."""
        return tuple(release for release in self.place.releases if release.is_known)

    @property
    def newest(self) -> str:
        """The newest release with evidence."""
        return self.measured[-1].torch

    @property
    def gaps(self) -> tuple[str, ...]:
        """Unknown releases between `since` and `until`."""
        return tuple(
            release.torch
            for release in self.place.unknown
            if self.since and order(self.since) < order(release.torch) < order(self.until)
        )

    @property
    def ahead(self) -> tuple[str, ...]:
        """Unknown releases newer than all measured ones."""
        newest = order(self.newest)
        return tuple(r.torch for r in self.place.unknown if order(r.torch) > newest)

    @property
    def specifier(self) -> str:
        """The releases as a version specifier; open where the newest published one passes."""
        if not self.since:
            return ""
        return _range(self.since, "" if self.is_open else self.until)

    @property
    def is_open(self) -> bool:
        """Whether nothing newer than what passes was measured or published."""
        return self.until == self.newest and not self.ahead

    @property
    def track(self) -> Track:
        """An execution of it, which says where it ran."""
        return self.measured[0].tracks[0]

    @property
    def device(self) -> str:
        """`cpu`, or the model of the GPU."""
        kind = self.track.execution.rpartition("-")[2]
        return kind if kind == "cpu" else self.track.device_model or kind


def _range(since: str, until: str) -> str:
    if since == until:
        return f"=={since}"
    return f">={since},<={until}" if until else f">={since}"


def claims(
    database: Database, chosen: Chosen = lambda _cell, _execution: True
) -> tuple[Claim, ...]:
    """All claims the evidence of the chosen executions allows, by feature and place."""

    def lines(sql: str, by: str) -> dict[str, list[dict[str, Any]]]:
        groups: dict[str, list[dict[str, Any]]] = {}
        for line in database.select(sql).records():
            if chosen(line["cell"], line["execution"]):
                groups.setdefault(line[by], []).append(line)
        return groups

    failed, groups = lines(_FAILED, "suite"), lines(_NEWEST, "feature")
    found: list[Claim] = []
    for feature, seen in groups.items():
        title = next((line["title"] for line in reversed(seen) if line["title"]), feature)
        lost = [line for suite in {x["suite"] for x in seen} for line in failed.get(suite, ())]
        passed = {(x["cell"], x["execution"], x["device_model"], x["provision"]): x for x in seen}
        known = (place for place in places(tracks([*seen, *lost])) if place.phases)
        found += [_claim(feature, title, place, passed) for place in known]
    return tuple(found)


def _claim(
    feature: str, title: str, place: Place, passed: Mapping[Any, Mapping[str, Any]]
) -> Claim:
    phases = [phase for phase in place.phases if phase[0].verdict == PASS]
    last = phases[-1] if phases else ()
    passing = [track for release in last for track in release.tracks if track.verdict == PASS]
    keys = [(t.cell, t.execution, t.device_model, t.provision) for t in passing]
    lines = [passed[key] for key in keys if key in passed]
    return Claim(
        feature=feature,
        title=title,
        place=place,
        since=last[0].torch if last else "",
        until=last[-1].torch if last else "",
        variants=tuple(dict.fromkeys(track.variant for track in passing)),
        first=min((str(line["first_passed"])[:10] for line in lines), default=""),
        last=max((str(line["last_passed"])[:10] for line in lines), default=""),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """Releases of torch on which several features pass, each in each of several places.

    `since` to `until` are the newest neighbours among the releases that are known; `open` says that
    no newer one was published. `unknown` ones between them were not measured for all features in
    all places.
    """

    features: tuple[str, ...]
    places: tuple[str, ...]
    since: str
    until: str
    open: bool
    unknown: tuple[str, ...]
    verified: str

    @property
    def line(self) -> str:
        """A requirement that admits what is unknown."""
        return f"torch{_range(self.since, '' if self.open else self.until)}"

    @property
    def strict(self) -> str:
        """A requirement that admits nothing but what was measured."""
        gaps = [f",!={torch}" for torch in self.unknown]
        return f"torch{_range(self.since, self.until)}{''.join(gaps)}"


def constraint(found: Sequence[Claim]) -> Constraint | None:
    """Put claims together; None where no release is known to pass all of them.

    A release passes where every feature passed with it in every place that any of the claims is
    of; it does not where one of them did anything else; otherwise it is unknown.
    """
    passes = _passes(found)
    known = sorted((t for t, passed in passes.items() if passed is not None), key=order)
    good = [torch for torch in known if passes[torch]]
    if not good:
        return None
    until = good[-1]
    bad = [torch for torch in known[: known.index(until)] if not passes[torch]]
    since = known[known.index(bad[-1]) + 1] if bad else known[0]
    unknown = sorted((t for t, passed in passes.items() if passed is None), key=order)
    newer = [torch for torch in (*known, *unknown) if order(torch) > order(until)]
    return Constraint(
        features=tuple(sorted({claim.feature for claim in found})),
        places=tuple(sorted({claim.place.name for claim in found})),
        since=since,
        until=until,
        open=not newer,
        unknown=tuple(t for t in unknown if order(since) < order(t) < order(until)),
        verified=max(claim.last for claim in found),
    )


def _passes(found: Sequence[Claim]) -> dict[str, bool | None]:
    """Whether all of them pass with a release; None where that is not known."""
    measured = {
        (claim.feature, claim.place.name): {r.torch: r.verdict == PASS for r in claim.measured}
        for claim in found
    }
    wanted = product({claim.feature for claim in found}, {claim.place.name for claim in found})
    told = [measured.get(pair, {}) for pair in wanted]
    passes: dict[str, bool | None] = {}
    for torch in {release.torch for claim in found for release in claim.place.releases}:
        seen = {verdicts.get(torch) for verdicts in told}
        passes[torch] = False if False in seen else None if None in seen else True
    return passes
