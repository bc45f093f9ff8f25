"""What people choose a version for: built-in scenarios and those of matrix.toml, in one format.

A scenario is what must work, what counts how much, and what must not be exceeded; the guide ranks
cells by it. `scenarios.toml` holds the built-in ones, written as users write theirs.
"""

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from matrix.accelerators import ACCELERATORS
from matrix.schema import SCENARIO, hint
from matrix.selection import SelectionError, compile_selection

CRITERIA = {
    "features": "features that pass, required or not",
    "sound": "features that pass or that torch refuses with the error it should",
    "throughput": "steady-state times of the workloads, against the best on this device",
    "soak": "days on which all required features passed, without another outcome since",
    "settled": "time since the release: long enough for a patch release to have come",
    "recent": "how new the release is: PyTorch mends its latest release only",
    "size": "installed size of the environment, against the smallest",
    "memory": "peak memory of a process that imports torch, against the smallest; of the feature "
    "suite where nobody measured that",
    "import": "time to import torch in a new process, against the shortest",
}
"""What weights are given to, each a share between 0 and 1; unknown is 0."""
AT_MOST = {
    "install_gb": "GB installed",
    "image_gb": "GB of image",
    "memory_gb": "GB of peak memory",
    "import_s": "s to import torch",
    "wrong": "features with wrong numbers",
    "failing": "features that fail, crash or hang",
}
AT_LEAST = {
    "age_days": "days since the release",
    "nights": "days on which all required features passed",
}
LIMITS = {**AT_MOST, **AT_LEAST}
"""What may be limited, in which unit (GB are 1e9 bytes); what is unknown keeps no limit."""
MOST = 1_000_000_000
"""The largest weight or limit, so that they can be added."""
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """What a version is chosen for; `required_on` adds to `required` on one kind of device."""

    name: str
    purpose: str = ""
    required: tuple[str, ...] = ()
    required_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    devices: tuple[str, ...] = tuple(ACCELERATORS)
    select: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    def requires(self, device: str) -> tuple[str, ...]:
        """The features that must pass on a kind of device."""
        return tuple(dict.fromkeys([*self.required, *self.required_on.get(device, ())]))


@functools.cache
def builtin() -> dict[str, Scenario]:
    """The scenarios that everybody has (`scenarios.toml`)."""
    text = (files(__package__) / "scenarios.toml").read_text(encoding="utf-8")
    return {name: read(name, item) for name, item in tomllib.loads(text)["scenarios"].items()}


def scenarios(data: Mapping[str, Any]) -> dict[str, Scenario]:
    """The built-in scenarios, and those of a checked matrix file, which go before them."""
    known = builtin()
    own = {name: read(name, item, known.get(item.get("like", ""))) for name, item in data.items()}
    return known | own


def read(name: str, item: Mapping[str, Any], base: Scenario | None = None) -> Scenario:
    """A scenario from its table: what the base requires too, else what is not given here."""
    base = base or Scenario(name=name)
    on: dict[str, tuple[str, ...]] = {
        device: (*base.required_on.get(device, ()), *item.get(f"require_{device}", ()))
        for device in ACCELERATORS
    }
    required = (*base.required, *item.get("require", ()))
    lists = {
        key: tuple(item.get(key, getattr(base, key))) for key in ("select", "workloads", "reasons")
    }
    return Scenario(
        name=name,
        purpose=item.get("purpose", base.purpose),
        required=required,
        required_on={device: names for device, names in on.items() if names},
        # where nothing is required, everything would pass
        devices=tuple(item.get("devices", [d for d in base.devices if required or on.get(d)])),
        weights={**base.weights, **item.get("weights", {})},
        limits={**base.limits, **item.get("limits", {})},
        **lists,
    )


def mistakes(name: str, item: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the well-shaped parts of `[scenarios.NAME]`; `raw` is it all."""
    path = f"scenarios.{name}"
    if not name.replace("-", "").replace("_", "").isalnum() or name != name.lower():
        yield f"{path}: a scenario's name has only lower-case letters, digits, - and _"
    like = item.get("like")
    knows_base = like is None or like in builtin()
    if not knows_base:
        yield f"{path}.like: no built-in scenario `{like}`; {hint(str(like), list(builtin()))}"
    whole = read(name, item, builtin().get(like or ""))
    wanted = [key for key in SCENARIO if key.startswith("require")]
    if "like" not in raw and not any(raw.get(key) for key in wanted):
        yield f"{path}.require: missing; name the features that must pass"
    for key in (*wanted, "workloads", "devices", "select"):
        values = list(item.get(key, ()))
        for value in dict.fromkeys(v for v in values if values.count(v) > 1):
            yield f"{path}.{key}: `{value}` stands there twice"
    for device in item.get("devices", ()):
        if device not in ACCELERATORS:
            yield f"{path}.devices: unknown `{device}`; {hint(device, list(ACCELERATORS))}"
        elif not whole.requires(device) and whole.required_on:
            yield (
                f"{path}.devices: nothing is required on `{device}`; name features in `require` or "
                f"`require_{device}`"
            )
    if item.get("devices") == []:
        yield f"{path}.devices: empty; leave it out or name one"
    for number, text in enumerate(item.get("select", ())):
        try:
            compile_selection(text)
        except SelectionError as error:
            yield f"{path}.select[{number}]: {error}"
    yield from _numbers(f"{path}.weights", item.get("weights", {}), CRITERIA)
    yield from _numbers(f"{path}.limits", item.get("limits", {}), LIMITS)
    sound = knows_base and raw.get("weights", {}) == item.get("weights", {})
    if sound and not any(whole.weights.values()):
        yield f"{path}.weights: nothing counts; give a weight to {', '.join(CRITERIA)}"


def _numbers(path: str, table: Mapping[str, float], known: Mapping[str, str]) -> Iterator[str]:
    for key, value in table.items():
        if key not in known:
            yield f"{path}.{key}: unknown; {hint(key, known)}"
        if not 0 <= value <= MOST:  # NaN neither
            yield f"{path}.{key}: must be a number from 0 to {MOST}, got {_short(value)}"


def _short(value: float) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
