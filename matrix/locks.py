"""Cell → pinned and hashed requirements."""

import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matrix import facts
from matrix.cells import Cell
from matrix.definition import TEST_TOOLS, Suite
from matrix.errors import InfrastructureError
from matrix.indexes import SILENT, IndexConfig, requirement
from matrix.process import Completed, run

NETWORK_FAILED = 2  # uv: 1 is "no solution", 2 is everything that kept it from looking


def uv() -> str:
    """Path of the uv binary that came with this project's environment, else one on the PATH."""
    try:
        from uv import find_uv_bin  # noqa: PLC0415  only where environments are made

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        message = "`uv` is not installed; `pip install -e .` brings it"
        raise InfrastructureError(message)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolver:
    """uv with the user's indexes."""

    binary: str
    config: IndexConfig
    env: Mapping[str, str]
    stop: threading.Event

    def call(
        self,
        *arguments: str,
        log: Path | None = None,
        timeout: float = 1800.0,
        more: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run uv with the translated environment; raises `Stopped`."""
        env = {**self.env, **self.config.env, "NO_COLOR": "1", **(more or {})}
        return run([self.binary, *arguments], env=env, timeout=timeout, stop=self.stop, log=log)

    def ask(self, wanted: str, python: str, arguments: tuple[str, ...]) -> str:
        """Return "" if `wanted` resolves for this Python from these indexes, else the reason."""
        retries = {"UV_HTTP_RETRIES": "0"}  # a probe: a host that does not answer says enough
        with tempfile.TemporaryDirectory() as folder:
            source = write_input(Path(folder), (wanted,))
            done = self.call(
                *("pip", "compile", "-q", "--no-header", "--no-deps", str(source)),
                *("--python-version", python.removesuffix("t"), *arguments),
                timeout=60.0,
                more=retries,
            )
        if done.code == 0:
            return ""
        if done.timed_out or done.code == NETWORK_FAILED:
            return f"{SILENT} ({done.last_line.removeprefix('cause: ')})"
        return f"no {wanted} for Python {python}"


def requirements_of(cell: Cell, suites: tuple[Suite, ...]) -> tuple[str, ...]:
    """What an environment for these suites must hold, sorted; pure, part of the recipe."""
    default = cell.variant == facts.default_variant(cell.torch)
    wanted = [requirement(cell.torch, cell.variant, default=default), *cell.companions]
    wanted += [need.requirement for need in facts.needs_of(cell.torch)]
    if any(not suite.command for suite in suites):
        wanted += TEST_TOOLS
    for suite in suites:
        wanted += suite.requirements
    return tuple(sorted(set(wanted)))


def environment_key(cell: Cell, suites: tuple[Suite, ...]) -> str:
    """Suites with the same requirements share an environment; this names it."""
    return hashlib.sha256("\n".join(requirements_of(cell, suites)).encode()).hexdigest()[:8]


def exact(text: str, torch: str) -> str:
    """Keep a registry build exact in a lock, where uv drops the `===` of its input."""
    return re.sub(
        rf"^torch=={re.escape(torch)}(?=[\s\\]|$)", f"torch==={torch}", text, flags=re.MULTILINE
    )


def write_input(folder: Path, wanted: tuple[str, ...]) -> Path:
    """Write the requirements of a cell where uv reads them."""
    path = folder / "requirements.in"
    path.write_text("\n".join(wanted) + os.linesep, encoding="utf-8")
    return path


def evidence_hash(*parts: str) -> str:
    """Hash of what was really there."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:12]
