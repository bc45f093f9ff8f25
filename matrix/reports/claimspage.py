"""Claims as text, Markdown, constraint lines, a badge, and data (`claims.schema.json`)."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Any

from rich.cells import cell_len

from matrix.claims import SCHEMA, Claim, Constraint
from matrix.history import Release
from matrix.reports import plain
from matrix.reports.markdown import code, table_lines
from matrix.reports.marks import mark
from matrix.reports.text import clean

HEAD = ("feature", "torch", "variants", "newest measured", "last verified", "unknown")
NAMED = 6
# white on them is read: their contrast is above 4.5
_FILLS = {"brightgreen": "#1a7f37", "yellow": "#8a6100", "red": "#b42318"}
_BADGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img"
  aria-label="{label}: {message}"><title>{label}: {message}</title>
<rect width="{width}" height="20" rx="3" fill="#444c56"/>
<path d="M{left} 0h{flat}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{flat}z" fill="{fill}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{middle}" y="14" textLength="{label_width}">{label}</text>
<text x="{end}" y="14" textLength="{message_width}">{message}</text></g></svg>
"""


def render(found: Sequence[Claim], selected: Sequence[str] = ()) -> str:
    """Write the claims of each place, of the releases `selected`; ends with a newline."""
    parts = []
    for place, members in _by_place(found):
        table = plain.render(HEAD, [_line(claim) for claim in members])
        parts.append(f"{clean(place, 160)} (measured{_only(selected)})\n{table}")
    return "\n".join(parts)


def markdown(found: Sequence[Claim], selected: Sequence[str] = ()) -> str:
    """Write them for a page of documentation; ends with a newline."""
    parts = []
    for place, members in _by_place(found):
        lines = [[code(cell) for cell in _line(claim)] for claim in members]
        parts.append(
            "\n".join(
                [f"### {code(place)} (measured{_only(list(map(code, selected)))})", "",
                 *table_lines(HEAD, lines), ""]
            )
        )  # fmt: skip
    return "\n".join(parts)


def _only(selected: Sequence[str]) -> str:
    """Nothing is said of what a selection left out, not even since when something passes."""
    return f"; only {clean(' or '.join(selected), 120)}" if selected else ""


def _by_place(found: Sequence[Claim]) -> Iterator[tuple[str, list[Claim]]]:
    ordered = sorted(found, key=lambda claim: (claim.place.name, claim.feature))
    for place, members in groupby(ordered, key=lambda claim: claim.place.name):
        yield place, list(members)


def _line(claim: Claim) -> tuple[str, ...]:
    last = claim.measured[-1]
    newest = claim.newest if last.verdict == "pass" else f"{claim.newest} {mark(last.verdict)}"
    return (
        claim.feature, claim.specifier or "none", ", ".join(claim.variants), newest, claim.last,
        _some((*claim.gaps, *claim.ahead)),
    )  # fmt: skip


def _some(releases: Sequence[str]) -> str:
    more = f" and {len(releases) - NAMED} more" if len(releases) > NAMED else ""
    return ", ".join(releases[:NAMED]) + more


def constraint(found: Constraint, selected: Sequence[str] = (), *, strict: bool) -> str:
    """A requirement for a file of constraints, under what it rests on; ends with a newline."""
    told = [f"# {', '.join(found.features)}: pass", *(f"# on {place}" for place in found.places)]
    told += [f"# only {text}" for text in selected]
    told.append(f"# from torch {found.since} to {found.until}, last verified {found.verified}")
    if found.unknown:
        what = "left out" if strict else "admitted, `--strict` leaves them out"
        told.append(f"# unknown, {what}: {', '.join(found.unknown)}")
    line = found.strict if strict else found.line
    return "\n".join([*(clean(text, 2000) for text in told), line, ""])


def why_none(found: Sequence[Claim]) -> str:
    """Say why no release passes everything, feature by feature in each place."""
    features = sorted({claim.feature for claim in found})
    lines = []
    for place, members in _by_place(found):
        known = {claim.feature: claim for claim in members}
        told = [
            f"{name} {known[name].specifier or mark(known[name].measured[-1].verdict)}"
            if name in known
            else f"{name} not measured"
            for name in features
        ]
        lines.append(clean(f"{place}: {', '.join(told)}", 400))
    what = f"all of {', '.join(features)}" if features[1:] else features[0]
    where = f" in all {len(lines)} places; choose with `--select`" if lines[1:] else ""
    return "\n".join(
        [f"no release is known to pass {clean(what)}{where}:", *(f"  - {x}" for x in lines)]
    )


def badge(found: Sequence[Claim], together: Constraint | None) -> dict[str, Any]:
    """What shields.io reads from an endpoint (https://shields.io/badges/endpoint-badge)."""
    devices = list(dict.fromkeys(claim.device for claim in found))
    where = devices[0] if len(devices) == 1 else f"{len(devices)} devices"
    message, color = "passes on no measured release", "red"
    if together:
        bound = _bound(together)
        message = f"torch {bound}, verified {together.verified}"
        color = "brightgreen" if together.open else "yellow"
    label = clean(f"{found[0].feature} on {where}", 80)
    return {"schemaVersion": 1, "label": label, "message": message, "color": color}


def _bound(found: Constraint) -> str:
    if found.open:
        return f"≥ {found.since}"
    return found.since if found.since == found.until else f"{found.since} to {found.until}"


def picture(told: dict[str, Any]) -> str:
    """The badge as SVG, for places that load nothing from elsewhere."""
    label, message = told["label"], told["message"]
    # of a usual font; `textLength` makes it true of any
    widths = [round(5.8 * cell_len(text)) for text in (label, message)]
    left, right = (width + 12 for width in widths)
    return _BADGE.format(
        label=escape(label), message=escape(message), left=left, flat=right - 3,
        width=left + right, middle=left / 2, end=left + right / 2, fill=_FILLS[told["color"]],
        label_width=widths[0], message_width=widths[1],
    )  # fmt: skip


def as_json(found: Sequence[Claim], generated: str) -> dict[str, Any]:
    """The feed for machines; `generated` is a time in UTC."""
    return {"schema": SCHEMA, "generated": generated, "claims": [_claim(c) for c in found]}


def _claim(claim: Claim) -> dict[str, Any]:
    track = claim.track
    _, python, *companions = track.environment
    return {
        "feature": claim.feature,
        "title": claim.title,
        "place": {
            "name": claim.place.name,
            "device": track.execution.rpartition("-")[2],
            "device_model": track.device_model,
            "backend": track.backend,
            "provision": track.provision,
            "python": python,
            "companions": companions,
        },
        "since": claim.since or None,
        "until": claim.until or None,
        "specifier": claim.specifier or None,
        "variants": list(claim.variants),
        "first_verified": claim.first or None,
        "last_verified": claim.last or None,
        "newest": claim.newest,
        "gaps": list(claim.gaps),
        "ahead": list(claim.ahead),
        "releases": [_release(release) for release in claim.measured],
    }


def _release(release: Release) -> dict[str, Any]:
    told = [track for track in release.tracks if track.newest.is_evidence]
    return {
        "torch": release.torch,
        "verdict": release.verdict,
        "variants": list(dict.fromkeys(track.variant for track in told)),
        "reason": next((t.newest.reason for t in told if t.verdict == release.verdict), ""),
        "verified": max(track.newest.time for track in told)[:10],
        "runs": sorted({track.newest.run for track in told}),
    }
