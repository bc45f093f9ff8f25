"""Whether the packages tested beside torch import at all, each found out in its own process."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any, Dict, List

IMPORT_SECONDS = 120.0


def check(name: str) -> Dict[str, Any]:
    """Import the distribution or package ``name`` in a fresh process.

    Returns ``version``, ``module``, ``installed``, ``ok`` and, if not ok, ``error`` in one line.
    """
    import subprocess  # noqa: PLC0415 - start-up of every suite counts, companions are rare
    from importlib import metadata  # noqa: PLC0415

    found: Dict[str, Any] = {"module": module_of(name), "installed": True, "ok": False}
    try:
        found["version"] = metadata.version(name)
    except metadata.PackageNotFoundError:
        if importlib.util.find_spec(found["module"]) is None:
            return {**found, "installed": False, "error": f"{name} is not installed"}
    command = [sys.executable, "-m", "matrix.inside.companions", found["module"]]
    try:
        done = subprocess.run(  # noqa: S603 - our own module in our own interpreter
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {**found, "error": f"importing it takes more than {IMPORT_SECONDS:.0f} s"}
    if done.returncode == 0:
        return {**found, "ok": True}
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines() or ["no output"]
    end = f" (exit {done.returncode})" if done.returncode != 1 else ""
    return {**found, "error": lines[-1].strip()[:500] + end}


def module_of(name: str) -> str:
    """The import name of a distribution: flash-attn is flash_attn, PyYAML is yaml."""
    from importlib import metadata  # noqa: PLC0415 - as above

    try:
        top = metadata.distribution(name).read_text("top_level.txt")
    except metadata.PackageNotFoundError:
        top = None
    modules: List[str] = [line for line in (top or "").split() if not line.startswith("_")]
    plain = name.replace("-", "_").replace(".", "_")
    if not modules or plain in modules:
        return plain
    return modules[0]


if __name__ == "__main__":
    importlib.import_module(sys.argv[1])
