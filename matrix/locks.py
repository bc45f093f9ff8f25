"""Cell → pinned and hashed requirements."""

import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from matrix import facts
from matrix.cells import Cell
from matrix.definition import TEST_TOOLS, Suite
from matrix.errors import CellFailed, InfrastructureError
from matrix.indexes import SILENT, Availability, IndexConfig, requirement
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """One package of a lock: its lines with hashes, who needs it, and the index it was found on."""

    name: str
    text: str
    parents: tuple[str, ...]
    origin: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """All that a cell installs, and uv's arguments of the indexes that have it."""

    pins: tuple[Pin, ...]
    indexes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lock as `uv pip sync` reads it."""
        return "".join(pin.text for pin in self.pins)

    def split(self, layers: Iterable[tuple[str, ...]]) -> tuple[tuple[Pin, ...], ...]:
        """Pins of each layer: what its requirements need, less what the layers before hold."""
        left = {pin.name: pin for pin in self.pins}
        parts: list[tuple[Pin, ...]] = []
        for wanted in layers:
            found: set[str] = {canonicalize_name(Requirement(text).name) for text in wanted}
            while more := {n for n, pin in left.items() if found.intersection(pin.parents)} - found:
                found |= more
            parts.append(tuple(left.pop(name) for name in sorted(found & left.keys())))
        return tuple(parts)


def lock_cell(
    cell: Cell,
    suites: tuple[Suite, ...],
    resolver: Resolver,
    availability: Availability,
    folder: Path,
    target: tuple[str, ...],
) -> Lock:
    """Resolve a cell with the user's indexes, then with the PyTorch index too.

    `target` is uv's arguments that name the interpreter or platform. Leaves `requirements.lock`
    and `lock.log` in `folder`; raises `CellFailed` and `Stopped`.
    """
    source = write_input(folder, requirements_of(cell, suites))
    annotated = folder / "annotated.lock"
    sources = availability.sources(cell.variant)
    if "===" in source.read_text(encoding="utf-8"):
        sources = sources[:1]  # a registry build: the PyTorch index has nothing to add
    verdict = reason = ""
    for arguments in sources:
        done = resolver.call(
            *("pip", "compile", "-q", "--no-header", "--generate-hashes", "--annotation-style"),
            *("split", "--emit-index-annotation", *target, "-o", str(annotated), str(source)),
            *arguments,
            log=folder / "lock.log",
        )
        if done.code == 0:
            lines = exact(annotated.read_text(encoding="utf-8"), cell.torch).splitlines()
            lock = Lock(pins=tuple(_pins(lines)), indexes=arguments)
            (folder / "requirements.lock").write_text(lock.text, encoding="utf-8")
            return lock
        refused = reason
        verdict, reason = failure("resolve", done)
        if refused and verdict == "infra":
            reason = f"{refused} And the PyTorch index did not answer: {reason}"
    raise CellFailed(verdict, reason)


def failure(what: str, done: Completed) -> tuple[str, str]:
    """Verdict and reason: no solution is evidence about a cell; network, disk, deadline are not."""
    lines = [line.strip().removeprefix("cause: ") for line in done.output.splitlines()]
    reason = " ".join(line for line in lines if line and not line.startswith("+ "))[:600]
    if done.timed_out:
        return "infra", f"to {what} took more than {done.seconds:.0f} s"
    if done.code == NETWORK_FAILED or re.search(r"os error 28|network timeout", done.output):
        return "infra", f"cannot {what}: {reason}"
    return "uninstallable", reason.removeprefix("error: ")


def _pins(lines: Iterable[str]) -> Iterator[Pin]:
    """Read a lock that uv wrote with `# via` and `# from` comments."""
    blocks: list[list[str]] = []
    for line in lines:
        if line and not line[0].isspace() and not line.startswith("#"):
            blocks.append([])
        if blocks and line:
            blocks[-1].append(line)
    for block in blocks:
        kept = [line for line in block if not line.lstrip().startswith("#")]
        notes = [line.strip("# ") for line in block if line.lstrip().startswith("#")]
        parents = [note.removeprefix("via ").strip() for note in notes if note != "via"]
        origin = [note.removeprefix("from ") for note in notes if note.startswith("from ")]
        name = re.split(r"[ =@\[;]", kept[0], maxsplit=1)[0]
        yield Pin(
            name=canonicalize_name(name),
            text="\n".join(kept) + "\n",
            parents=tuple(parent for parent in parents if not parent.startswith(("from ", "-r "))),
            origin=origin[0] if origin else "",
        )


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
