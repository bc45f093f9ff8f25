"""From what a test raised to its verdict."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Mapping, Sequence

from matrix.inside.events import REASON_LIMIT, clip, first_line
from matrix.inside.numerics import WrongNumbers

if TYPE_CHECKING:
    from matrix.inside.marks import Refusal

# Texts of RuntimeErrors by which torch says that memory ran out without its own type for it.
OUT_OF_MEMORY = re.compile(
    r"DefaultCPUAllocator: (can't allocate memory|not enough memory)"
    r"|(CUDA|HIP) out of memory|hipErrorOutOfMemory|CUDA error: out of memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED"
)
REFUSAL_LIMIT = 160
IMPORT_SKIP = re.compile(r"could not import ['\"]([\w.]+)['\"](?:: (.*))?", re.DOTALL)
NO_MODULE = re.compile(r"No module named ['\"]([\w.]+)['\"]")


@dataclass(frozen=True)
class Verdict:
    """A test's verdict with its reason, empty for a plain pass."""

    name: str
    reason: str = ""


def of_error(error: BaseException, phase: str, refusals: Sequence[Refusal]) -> Verdict:
    """The verdict of a test that raised ``error`` in `setup`, `call` or `teardown`.

    Only the test's own body may be refused: a fixture that cannot work is a failure.
    """
    reason = describe(error)
    if isinstance(error, WrongNumbers):
        return Verdict("wrong", reason)
    if is_out_of_memory(error):
        return Verdict("oom", reason)
    if phase == "call":
        for refusal in refusals:
            if refusal.matches(error):
                return Verdict("unsupported", f"{_head(reason)} (source: {refusal.source})")
        return Verdict("fail", reason)
    return Verdict("fail", clip(f"in {phase}: {reason}", REASON_LIMIT))


def of_skip(reason: str, broken: Mapping[str, str]) -> Verdict:
    """The verdict of a skip; one because of a package that is there but broken is a failure.

    ``broken`` maps import names of companions to the error of importing them.
    """
    match = IMPORT_SKIP.search(reason)
    if match:
        module, error = match.group(1), match.group(2) or ""
        top = module.partition(".")[0]
        if top in broken:
            return Verdict("fail", f"{top} is installed but does not import: {broken[top]}")
        if is_broken_import(module, error):
            return Verdict("fail", f"{top} is installed but does not import: {first_line(error)}")
    return Verdict("skip", first_line(reason) or "skipped without a reason")


def is_broken_import(module: str, error: str) -> bool:
    """Whether importing ``module`` failed with ``error`` though the package is installed.

    A missing submodule of a sound package is an older or smaller package, not a broken one.
    """
    missing = NO_MODULE.search(error)
    if missing and f"{module}.".startswith(f"{missing.group(1)}."):
        return False
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that host or device memory ran out."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"OutOfMemoryError", "MemoryError"}:
        return True
    return isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)) is not None


def describe(error: BaseException) -> str:
    """``error`` in one line."""
    lines = [line.strip() for line in _text(error).splitlines() if line.strip()]
    # "backend='inductor' raised:" says nothing without the line that follows it.
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    name = type(error).__name__
    return clip(f"{name}: {text}" if text else name, REASON_LIMIT)


def _head(reason: str) -> str:
    """The beginning of a refusal: what follows it are lists of backends and advice."""
    return reason if len(reason) <= REFUSAL_LIMIT else f"{reason[:REFUSAL_LIMIT]}..."


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - an exception of a stranger's test may do anything
        return f"(its message cannot be shown: {type(broken).__name__})"
