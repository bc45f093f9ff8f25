"""What a value is compared with, and when it must not be compared."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from typing import Any

import pandas as pd

from matrix.facts import order

NOT_COMPARABLE = "n/c"
WITHIN_SPREAD = "within the spread"
Measured = Mapping[str, AbstractSet[object]]
"""Of each column that has numbers what it measured."""
_PLACE = ("device", "device_model", "backend", "provision")


def baselines(
    columns: pd.DataFrame, baseline: str, measured: Measured
) -> dict[str, tuple[str, str]]:
    """Of each column its baseline column, or `""` and the reason why there is none.

    On a device on which `baseline` was not run, columns of one backend and provision have one of
    theirs: of the release nearest to the baseline's, and one that `measured` what another did.
    """
    lines = columns.to_dict("index")
    candidates = [label for label, r in lines.items() if baseline in {label, r["cell"]}]
    if not candidates:
        names = [str(name) for name in dict.fromkeys([*columns.index, *columns["cell"]])]
        near = get_close_matches(baseline, names, n=1)
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        return {
            str(label): ("", f"no results of the baseline `{baseline}`{hint}") for label in lines
        }
    return {str(label): _baseline(str(label), lines, candidates, measured) for label in lines}


def ratio(cell: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """`ratio` of a cell to that of its baseline, or `n/c`, and `why`."""
    value, other = cell["median"], base["median"]
    why = ""
    if base["status"] != "value":
        why = f"the baseline is {base['status']}"
    elif cell["device"] != base["device"]:
        why = f"the baseline was measured on {base['device']}, this on {cell['device']}"
    elif cell["source"] != base["source"]:
        why = "the test changed since the baseline was measured"
    elif cell["better"] != base["better"] or cell["better"] not in {"higher", "lower"}:
        why = "which direction is better is not known"
    elif value <= 0 or other <= 0:
        why = "a value is not positive"
    if why:
        return {"ratio": NOT_COMPARABLE, "why": why}
    noise = ((cell["spread"] or 0) + (base["spread"] or 0)) / 2
    close = cell is not base and abs(value - other) < noise
    times = value / other if cell["better"] == "higher" else other / value
    return {"ratio": times, "why": WITHIN_SPREAD if close else None}


def _baseline(
    label: str, lines: dict[Any, Any], candidates: list[Any], measured: Measured
) -> tuple[str, str]:
    if label in candidates:
        return label, ""
    own = lines[label]
    same = [c for c in candidates if all(lines[c][k] == own[k] for k in _PLACE[:2])]
    same = same or _nearest(own, lines, lines[candidates[0]]["torch"], measured)
    if not same:
        ran = " and ".join(sorted({_device(lines[c]) for c in candidates}))
        return "", f"the baseline ran on {ran}, this on {_device(own)}"
    if not own["device_model"]:
        return "", "the device model is not known"
    base = min(same, key=lambda c: lines[c]["backend"] != own["backend"])
    limits = [lines[base]["power_limit"], own["power_limit"]]
    if None not in limits and limits[0] != limits[1]:
        return "", f"the baseline had a power limit of {limits[0]:g} W, this {limits[1]:g} W"
    return str(base), ""


def _nearest(
    own: dict[str, Any], lines: dict[Any, Any], torch: str, measured: Measured
) -> list[Any]:
    """The column in the same place whose release is nearest to `torch`; the older of two."""
    if not own["device_model"]:
        return []
    beside = [c for c in lines if c in measured and all(lines[c][k] == own[k] for k in _PLACE)]
    useful = [c for c in beside if any(measured[c] & measured[o] for o in beside if o != c)]
    releases = sorted({line["torch"] for line in lines.values()}, key=order)
    place = {release: number for number, release in enumerate(releases)}
    return sorted(useful, key=lambda c: abs(place[lines[c]["torch"]] - place[torch]))[:1]


def _device(record: dict[str, Any]) -> str:
    return " ".join(filter(None, [record["device"], record["device_model"]])) or "an unknown device"
