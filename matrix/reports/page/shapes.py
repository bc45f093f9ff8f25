"""Verdicts in pictures: colours, and marks as paths, because no font has all symbols everywhere."""

from dataclasses import dataclass

from matrix.reports.marks import MARKS


@dataclass(frozen=True, kw_only=True)
class Colour:
    """A pale `fill` for a cell and an `ink` that is read on it."""

    fill: str
    ink: str


def _colour(fill: str, ink: str) -> Colour:
    return Colour(fill=fill, ink=ink)


_BAD = _colour("#fbdfd0", "#9a2d00")
_UNKNOWN = _colour("#f1f1f4", "#5c6270")
COLOURS = {
    **dict.fromkeys(MARKS, _UNKNOWN),
    **dict.fromkeys(("crash", "fail", "timeout", "oom", "build-failed", "uninstallable"), _BAD),
    "wrong": _colour("#a50f3c", "#ffffff"),
    "flaky": _colour("#eee0f7", "#66268a"),
    "waived": _colour("#fdf3cf", "#6a5200"),
    "unsupported": _colour("#f3eee2", "#6b5a2e"),
    "unstable": _colour("#f3eee2", "#6b5a2e"),
    "skip": _colour("#eaf0f8", "#3d5a86"),
    "pass": _colour("#dff1ea", "#0a634f"),
}
"""As in the light page: teal and vermilion differ in lightness too, for whoever sees no hue."""

_DASH = "M-0.7 0L0.7 0"
_CROSS = "M-0.6 -0.6L0.6 0.6M-0.6 0.6L0.6 -0.6"
_QUERY = "M-0.35 -0.45A0.36 0.36 0 1 1 0 0.02L0 0.25M0 0.6L0 0.7"
_DOT = "M-0.12 0L0.12 0"
_RING = "M-0.55 0A0.55 0.55 0 1 0 0.55 0A0.55 0.55 0 1 0 -0.55 0Z"
SHAPES = {
    **dict.fromkeys(MARKS, _QUERY),
    "wrong": "M-0.7 -0.25L0.7 -0.25M-0.7 0.25L0.7 0.25M-0.4 0.7L0.4 -0.7",
    "crash": f"{_CROSS}M-0.8 0L0.8 0M0 -0.8L0 0.8",
    "fail": _CROSS,
    "timeout": "M-0.5 -0.7L0.5 -0.7L-0.5 0.7L0.5 0.7Z",
    "oom": "M0 -0.6L0.65 0.55L-0.65 0.55Z",
    "flaky": "M-0.35 0.7L-0.35 -0.7L-0.7 -0.3M0.35 -0.7L0.35 0.7L0.7 0.3",
    "waived": "M-0.7 -0.4L-0.35 0.5L0 -0.2L0.35 0.5L0.7 -0.4",
    "unsupported": _DASH,
    "skip": _RING,
    "not-run": _DOT,
    "pass": "M-0.65 0.05L-0.2 0.5L0.65 -0.5",
    "unstable": "M-0.7 0.15C-0.4 -0.5 -0.1 -0.3 0 0C0.1 0.3 0.4 0.5 0.7 -0.15",
    "build-failed": f"{_RING}M-0.38 -0.38L0.38 0.38M-0.38 0.38L0.38 -0.38",
    "uninstallable": f"{_RING}M-0.38 -0.38L0.38 0.38M-0.38 0.38L0.38 -0.38",
    "no-runner": f"{_RING}M-0.38 0.38L0.38 -0.38",
    "excluded": f"{_RING}M-0.38 0.38L0.38 -0.38",
}
"""SVG paths in a square of -1 to 1, drawn as lines."""
