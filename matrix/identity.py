"""Whether an environment is the cell that it should be, by what its probe saw."""

from collections.abc import Mapping
from typing import Any

from matrix.backends import CellFailed
from matrix.plan import Job


def identity(job: Job, probe: Mapping[str, Any]) -> str:
    """Why the environment is not the cell it should be, or "".

    Raises `CellFailed("build-failed")` where torch is installed and does not import.
    """
    cell = job.cell
    if not probe:
        return "the identity probe left no report"
    if not probe.get("torch"):
        errors = probe.get("errors") or ["no reason given"]
        raise CellFailed("build-failed", f"`import torch` failed: {str(errors[0])[:300]}")
    release = str(probe["torch"]).partition("+")[0]
    variant = probed_variant(probe)
    python = ".".join(str(probe.get("python")).split(".")[:2])
    checks = (
        ("torch", release, cell.torch),
        ("variant", variant, cell.variant),
        ("Python", python + "t" * bool(probe.get("free_threaded")), cell.python),
        ("device", probe.get("device"), cell.device),
    )
    wrong = [f"{name} is {have}, not {want}" for name, have, want in checks if have != want]
    return f"the environment is not the cell: {'; '.join(wrong)}" if wrong else ""


def probed_variant(probe: Mapping[str, Any]) -> str:
    """The variant a probe saw; PyPI's wheels have no local version, only `torch.version.cuda`."""
    local = str(probe["torch"]).partition("+")[2]
    if local:
        return local
    accelerator = probe.get("accelerator")
    if accelerator == "cuda":
        return f"cu{str(probe.get('cuda')).replace('.', '')}"
    return f"rocm{probe.get('rocm') or probe.get('hip')}" if accelerator == "rocm" else "cpu"
