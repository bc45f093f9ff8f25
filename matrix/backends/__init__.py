"""One file per backend behind one Protocol: how a cell's environment is made and entered."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from matrix.accelerators import Gpu
from matrix.errors import CellFailed as CellFailed  # what every backend raises
from matrix.errors import RunnerUnfit as RunnerUnfit
from matrix.plan import Job, SuiteRun

Progress = Callable[[str], None]


class RunnerLost(Exception):  # noqa: N818  it is nobody's mistake
    """The machine or engine that carried a job out went away; another one may do it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a backend may use: where to work, the clean environment, and when to stop.

    `run` is the bundle's id. `payload` holds what travels into a cell: `matrix/inside` and the
    built-in suites' tests.
    """

    run: str
    work: Path
    payload: Path
    env: Mapping[str, str]
    threads: int
    stop: threading.Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """A cell one can enter. `lock` is text, sizes are bytes; `gpus` are leased to who enters now.

    `base` is what an image was built on, with its digest, and `builder` what built it.
    `recorded` says of suites that ran before (ISO times, UTC) when that was. `compile_cache` is
    where the suite that enters now may keep compiled code; into a container it is brought.
    """

    python: Path
    provision: str
    lock: str = ""
    install_bytes: int | None = None
    image_bytes: int | None = None
    base: str = ""
    builder: str = ""
    gpus: tuple[Gpu, ...] = ()
    stages: Mapping[str, float]
    recorded: Mapping[str, str] = field(default_factory=dict)
    compile_cache: Path | None = None


class Backend(Protocol):
    """Makes a cell, enters it, and takes it down; raises `CellFailed`, `RunnerLost`, `Stopped`."""

    name: str

    def answers(self) -> bool:
        """Whether it can go on after a `RunnerLost`."""

    def provision(self, job: Job, folder: Path, stage: Progress) -> Environment:
        """Make the environment; `folder` is the job's own, `*.log` files in it are kept."""

    def probe(self, job: Job, environment: Environment, out: Path) -> None:
        """Leave `probe.json` in `out`."""

    def run_suite(
        self, job: Job, run: SuiteRun, environment: Environment, out: Path, line: Progress
    ) -> None:
        """Run one suite; leave `outcomes.jsonl` and logs in `out`, tell progress line by line."""

    def discard(self, job: Job, folder: Path) -> None:
        """Remove what `provision` made."""
