"""Untrusted text and numbers, made fit to be shown."""

import re
from collections.abc import Sequence

PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (0.0, "ns"))

# Escape sequences whole (CSI, OSC and the two-byte ones), then every other control character and
# those that reorder or hide text.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|[ -/]*[0-~]?)", re.DOTALL
)
_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def clean(text: str, limit: int = 300) -> str:
    """Make untrusted text one harmless line: no control characters, cut in the middle."""
    line = " ".join(_CONTROLS.sub(" ", _ESCAPES.sub("", text)).split())
    if len(line) <= limit:
        return line
    head = (limit - 3) * 2 // 3
    return f"{line[:head].rstrip()} … {line[len(line) - (limit - 3 - head) :].lstrip()}"


def block(text: str, limit: int = 8000) -> str:
    """Make untrusted text of several lines harmless: its end, where a failure says what it was."""
    whole = harmless(text[-2 * limit :])
    return whole if len(whole) <= limit else f"…{whole[-limit:]}"


def harmless(text: str) -> str:
    """Make untrusted text of several lines harmless, all of it."""
    lines = _ESCAPES.sub("", text).expandtabs(4).split("\n")
    return "\n".join(_CONTROLS.sub(" ", line).rstrip() for line in lines).strip("\n")


def number(value: float) -> str:
    """Four significant digits without an exponent."""
    if not value or not abs(value) < float("inf"):
        return f"{value:g}"
    places = 3 - int(f"{abs(value):e}".partition("e")[2])
    return f"{value:,.{max(places, 0)}f}"


def scale(values: Sequence[float], unit: str) -> tuple[float, str]:
    """Choose one factor and unit for values shown together, after the smallest of them."""
    least = min((abs(value) for value in values if value), default=1.0)
    steps: Sequence[tuple[float, str]] = ()
    if unit == "s":
        steps = SECONDS
    elif unit in {"FLOP/s", "B/s"}:
        steps = [(size, prefix + unit) for size, prefix in PREFIXES]
    for size, name in steps:
        if least >= size:
            return (1 / size if size else 1e9), name
    return 1.0, unit
