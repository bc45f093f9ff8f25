"""Cell → image: locked, built on a base whose digest is known, with a verdict where it fails."""

import errno
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import docker
from docker.errors import ImageNotFound

from matrix import locks, render
from matrix.definition import Definition, Suite
from matrix.engines import bases, disk, labels, tools
from matrix.engines.api import FAULTS
from matrix.engines.builder import (
    Builder,
    BuildRefused,
    BuildTimeout,
    Listener,
    Request,
    StepFailed,
)
from matrix.engines.building import choose
from matrix.engines.context import Files, folder_files
from matrix.engines.verdicts import verdict
from matrix.errors import CellFailed, InputError, RunnerUnfit
from matrix.indexes import Availability
from matrix.locks import Lock, Resolver, lock_cell
from matrix.plan import Job

REPOSITORY = "torch-matrix/cell"
BUILD_TIMEOUT = 1800.0
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# what fills /opt/venv, in the history of an image: one builder's steps, and the other's copy
_INSTALLS = re.compile(r"/run/build/uv |import torch|in /opt/venv|COPY /opt/venv")
_STEP = re.compile(r"(?:\[(?:\S+ +)?|Step )(\d+/\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A cell as an image. Sizes in bytes, `stages` in seconds; `base` is its name and digest.

    `lock` is its text for the bundle, `builder` is one of `building.BUILDERS`.
    """

    id: str
    size: int
    builder: str
    base: str
    lock: str
    install_bytes: int | None
    stages: Mapping[str, float]


class ImageMaker:
    """Makes the images of one run on one engine; tags of bases are resolved once.

    `env` is the user's environment, and its `DOCKER_HOST` the engine of `client`: a command line
    reads it. A folder `payload` travels into every image; `work` is scratch.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        resolver: Resolver,
        availability: Availability,
        definition: Definition,
        *,
        payload: Path,
        env: Mapping[str, str],
        work: Path,
        run_id: str,
        runs: disk.Runs,
        stop: threading.Event,
        is_local: bool = True,
        timeout: float = BUILD_TIMEOUT,
    ) -> None:
        self._client = client
        self._resolver = resolver
        self._availability = availability
        self._definition = definition
        self._payload = payload
        self._env = env
        self._work = work
        self._stop = stop
        self._is_local = is_local
        self._timeout = timeout
        self._runs = runs
        self._labels = labels.labels(runs.owner, run_id)
        self._guard = threading.Lock()
        self._bases: dict[tuple[str, str], bases.Base] = {}
        self._chosen: tuple[Builder, tuple[str, ...]] | None = None

    def make(self, job: Job, folder: Path, stage: Callable[[str], None]) -> Image:
        """Lock and build a cell; leaves `Dockerfile`, `lock.log` and `build.log` in `folder`.

        Raises `CellFailed` and `Stopped`.
        """
        with self._faults(), (folder / "build.log").open("a", encoding="utf-8") as log:

            def write(line: str) -> None:
                log.write(f"{line}\n")
                log.flush()

            def step(name: str) -> None:
                if found := _STEP.match(name):
                    stage(f"build {found[1]}")

            return self._make(job, folder, Listener(write=write, stage=step), stage)

    def _make(
        self, job: Job, folder: Path, listener: Listener, stage: Callable[[str], None]
    ) -> Image:
        base = self._base(job)
        if self._is_local:
            disk.make_room(self._client, self._runs, self._env, listener.write)
        builder = self._builder(base, listener.write)
        text = self._render(job, mounts=builder.mounts)  # refuses what a lock must not see either
        (folder / "Dockerfile").write_text(text, encoding="utf-8")
        clock = time.monotonic()
        stage("lock")
        lock = self._lock(job, folder)
        locked = time.monotonic()
        stage("build")
        request = self._request(job, base, lock, text, builder, listener)
        identity = self._build(builder, request, listener, base)
        stages = {"lock": locked - clock, "build": time.monotonic() - locked}
        found = self._client.images.get(identity)
        return Image(
            id=identity,
            size=found.attrs["Size"],
            builder=builder.name,
            base=str(base),
            lock=lock.text,
            install_bytes=_installed(found.history()),
            stages=MappingProxyType(stages),
        )

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Whatever the engine or its connection does wrong is no evidence about a cell."""
        try:
            yield
        except BuildRefused as error:
            raise RunnerUnfit("infra", f"the engine did not build it: {error}") from error
        except BuildTimeout as error:
            reason = f"the build took more than {self._timeout:.0f} s and was cancelled"
            raise CellFailed("infra", reason) from error
        except FAULTS as error:
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise  # this machine's own disk: nobody's job can go on
            words = " ".join(str(getattr(error, "explanation", None) or error).split())[:300]
            reason = f"the engine failed: {words}; does `docker info` answer?"
            raise RunnerUnfit("infra", reason) from error

    def _base(self, job: Job) -> bases.Base:
        key = (job.cell.accelerator, job.cell.python)
        with self._guard:
            if key not in self._bases:
                found = bases.find(self._client, job.cell, self._definition, self._env)
                if isinstance(found, str):
                    raise RunnerUnfit("infra", found)
                self._bases[key] = found
            return self._bases[key]

    def _lock(self, job: Job, folder: Path) -> Lock:
        """Resolve for the image's Python and platform, which this machine need not have."""
        arch = self._client.version().get("Arch", "amd64")
        platform = f"{_MACHINES.get(arch, arch)}-unknown-linux-gnu"
        version = job.cell.python.removesuffix("t")
        target = ("--python-version", version, "--python-platform", platform)
        return lock_cell(job.cell, _suites(job), self._resolver, self._availability, folder, target)

    def _builder(self, base: bases.Base, write: Callable[[str], None]) -> Builder:
        with self._guard:
            if self._chosen is None:
                self._chosen = choose(
                    self._client, base.reference, env=self._env, work=self._work, stop=self._stop
                )
        builder, refusals = self._chosen
        write(f"builder: {builder.name}; base: {base}")
        for refusal in refusals:
            write(f"not used: {refusal}")
        return builder

    def _render(self, job: Job, *, mounts: bool) -> str:
        try:
            return render.render(
                job.cell, self._definition, suites=_suites(job), env=self._env, mounts=mounts
            )
        except InputError as error:
            raise CellFailed("infra", " ".join(str(error).split())) from error

    def _request(
        self,
        job: Job,
        base: bases.Base,
        lock: Lock,
        text: str,
        builder: Builder,
        listener: Listener,
    ) -> Request:
        layers = render.layers(job.cell, _suites(job))
        parts = lock.split(layer.requirements for layer in layers)
        pins = {layer.name: part for layer, part in zip(layers, parts, strict=True)}
        wheels, missing = tools.wheel_files(pins, job.cell.python)
        if missing:
            reason = f"the lock took {', '.join(missing)} from a local folder that lacks it now"
            raise CellFailed("infra", reason)
        site, arguments = tools.site_files(self._resolver.config, self._env)
        apt, more = tools.apt_files(self._env)
        arguments |= more
        if lock.indexes == self._availability.sources(job.cell.variant)[0]:
            arguments["UV_INDEX"] = ""  # the user's own indexes have all of it
        network = tools.network(self._resolver.config, lock.indexes, self._env)
        needed = tools.request(Path(locks.uv()), wheels, site, apt)
        self._tools(builder, needed, listener)
        files: Files = {
            "Dockerfile": text.encode(),
            **{
                layer.lock: "".join(pin.text for pin in pins[layer.name]).encode()
                for layer in layers
            },
            **folder_files(self._payload, "payload"),
        }
        return Request(
            files=files,
            tag=f"{REPOSITORY}:{job.cell.id}-{job.environment}",
            labels=self._labels,
            arguments={"BASE": base.reference, "TOOLS": needed.tag, **arguments},
            network=network,
        )

    def _tools(self, builder: Builder, needed: Request, listener: Listener) -> None:
        """Build the tools image where the engine does not have it yet."""
        with self._guard:
            try:
                self._client.images.get(needed.tag)
            except ImageNotFound:
                listener.stage("tools")
                builder.build(needed, listener, self._timeout)

    def _build(
        self, builder: Builder, request: Request, listener: Listener, base: bases.Base
    ) -> str:
        try:
            return builder.build(request, listener, self._timeout)
        except StepFailed as failed:
            raise CellFailed(*verdict(failed, str(base))) from failed


def _suites(job: Job) -> tuple[Suite, ...]:
    return tuple(run.suite for run in job.suites)


def _installed(history: list[dict[str, object]]) -> int:
    """Bytes of the layers that hold what was installed for the cell."""
    sizes = (s["Size"] for s in history if _INSTALLS.search(str(s.get("CreatedBy", ""))))
    return sum(size for size in sizes if isinstance(size, int))
