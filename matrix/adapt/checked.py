"""What `check --json` prints of a machine, as far as a plan asks; or the same, already flat."""

from collections.abc import Iterator, Mapping
from typing import Any

from matrix.accelerators import accelerator_of
from matrix.errors import InputError


def flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """`{gpus: [{name, arch | capability, memory_gib}], torch: {version, cuda | hip}, packages}`.

    Raises `InputError` for what is neither this nor a check's output.
    """
    try:
        found = _of_check(data["machine"]) if "machine" in data else dict(data)
    except (AttributeError, KeyError, TypeError, ValueError):
        found = {"gpus": "?"}
    if not _well_formed(found):
        raise InputError("cannot adapt to this:", ["that is not what `check --json` prints"])
    return found


def _of_check(machine: Mapping[str, Any]) -> dict[str, Any]:
    loaded = machine["loaded"] or {}
    vendor = accelerator_of(machine["variant"] or "")
    toolkit = loaded.get("cuda") or loaded.get("hip")
    toolkit = toolkit or (vendor.toolkit(machine["variant"]) if vendor else "")
    return {
        "gpus": list(_gpus(machine["devices"])),
        "torch": {"version": machine["torch"], "cuda": toolkit},
        "packages": machine["packages"],
    }


def _gpus(devices: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for host in devices.values():
        for gpu in host["gpus"] if host else ():
            memory = (gpu["memory"] or 0) / 2**30
            yield {"name": gpu["name"], "arch": gpu["arch"], "memory_gib": memory}


def _well_formed(check: Mapping[str, Any]) -> bool:
    """Whether GPUs, torch and packages are of the kinds that they must be."""
    gpus, tables = check.get("gpus") or [], [check.get(key) or {} for key in ("torch", "packages")]
    if not isinstance(gpus, list) or not all(isinstance(one, dict) for one in [*gpus, *tables]):
        return False
    memory = [one.get("memory_gib") or 0 for one in gpus]
    texts = [one.get(key) or "" for one in gpus for key in ("name", "arch", "capability")]
    texts += [tables[0].get(key) or "" for key in ("version", "cuda", "hip")]
    numbers = all(isinstance(one, int | float) for one in memory)
    return numbers and all(isinstance(one, str) for one in [*texts, *tables[1].values()])
