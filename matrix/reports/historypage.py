"""The history of a feature as text: a place at a time, a line per execution."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from matrix.history import History, Place, Release, Track
from matrix.reports import plain
from matrix.reports.marks import mark
from matrix.reports.text import clean

HEAD = ("torch", "variant", "verdict", "since", "verified", "runs", "before", "reason")


def render(found: History) -> str:
    """Write the history; ends with a newline."""
    title = f": {clean(found.title)}" if found.title and found.title != found.feature else ""
    parts = [f"feature {clean(found.feature, 80)}{title} (measured)\n"]
    for place in found.places:
        lines = [line for release in place.releases for line in _lines(release)]
        parts.append(f"{clean(place.name, 120)}\n{sentence(place)}\n{plain.render(HEAD, lines)}")
    return "\n".join(parts)


def sentence(place: Place) -> str:
    """Which releases pass, which do not and which nobody knows."""
    since = place.passes_since
    measured = [release.torch for release in place.releases if release.is_known]
    newest = f"; {measured[-1]} is the newest that was measured" if measured else ""
    told = f"passes since {since}{newest}" if since else _not_passing(place, newest)
    phases = " · ".join(f"{mark(phase[0].verdict).symbol} {_span(phase)}" for phase in place.phases)
    unknown = ", ".join(release.torch for release in place.unknown)
    return "\n".join(
        filter(None, [told, phases, f"{mark('not measured')}: {unknown}" if unknown else ""])
    )


def _not_passing(place: Place, newest: str) -> str:
    if not place.phases:
        return "unknown: no run could tell"
    passed = [phase for phase in place.phases if phase[0].verdict == "pass"]
    if not passed:
        return f"passes in no release{newest}"
    broken = place.phases[place.phases.index(passed[-1]) + 1][0]
    return f"does not pass since {broken.torch} ({mark(broken.verdict).word}){newest}"


def _span(phase: tuple[Release, ...]) -> str:
    first, last = phase[0].torch, phase[-1].torch
    return first if first == last else f"{first} to {last}"


def _lines(release: Release) -> Iterator[tuple[object, ...]]:
    for track in release.tracks:
        changes = track.changes
        now = track.newest
        since = changes[-1].time if changes else ""
        before = ", ".join(f"{mark(s.verdict).word} {s.time[:10]}" for s in changes[:-1][-3:])
        build = " ".join(filter(None, [track.variant, track.companions.replace(";", " ")]))
        yield (
            release.torch, build, str(mark(track.verdict)), since[:10], now.time[:10],
            len({sight.run for sight in track.sights}), before,
            "" if track.verdict == "pass" else now.reason,
        )  # fmt: skip


def as_json(found: History) -> dict[str, Any]:
    """The history for machines: every sight, and what it comes to."""
    return {
        "feature": found.feature,
        "title": found.title,
        "places": [
            {
                "place": place.name,
                "passes_since": place.passes_since or None,
                "unknown": [release.torch for release in place.unknown],
                "releases": [
                    {
                        "torch": release.torch,
                        "verdict": release.verdict,
                        "executions": [_track(track) for track in release.tracks],
                    }
                    for release in place.releases
                ],
            }
            for place in found.places
        ],
    }


def _track(track: Track) -> dict[str, Any]:
    return asdict(track) | {"verdict": track.verdict}
