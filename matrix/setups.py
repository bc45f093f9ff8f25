"""What a command runs with: a backend, the runners it has, and what its environments come from."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from matrix.accelerators import DeviceAccess, EngineFacts, Gpu
from matrix.backends import Backend, Context
from matrix.cells import Cell
from matrix.definition import Suite
from matrix.errors import InfrastructureError, InputError
from matrix.plan import BackendName, Job, Origin
from matrix.process import WORK_LABEL
from matrix.runners import DEFAULT_ENGINE, Inventory, RunnerInfo, inventory
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.backends.docker import Mounted
    from matrix.engines.connection import Engine
    from matrix.host import Host

MakeBackend = Callable[[Context, RunnerInfo], Backend]


def _from_pins(_cell: Cell, _suites: tuple[Suite, ...]) -> str:
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """A backend for each of some runners; `note` says why it was chosen, or what is missing.

    It lets go of its engines when it is left.
    """

    name: BackendName
    make: MakeBackend
    inventory: Inventory
    origin: Origin = _from_pins
    note: str = ""
    engines: tuple["Engine", ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its engines: a tunnel to one is a process and a folder of this machine."""
        for engine in self.engines:
            engine.close()

    def as_json(self) -> dict[str, str | list[str]]:
        """For machines and for the bundle."""
        runners = [runner.name for runner in self.inventory.runners]
        return {"backend": self.name, "runners": runners, "note": self.note}

    def describe(self) -> str:
        """One line: the backend, where, and why."""
        runners = ", ".join(runner.name for runner in self.inventory.runners)
        return f"backend {self.name} on {runners}" + (f" ({self.note})" if self.note else "")


def auto(workspace: Workspace, cells: Sequence[Cell], slots: int | None = None) -> Setup:
    """Containers where an engine answers and has a base for one of the cells, else `venv`."""
    if reason := _no_engine(workspace):
        return replace(venv(workspace, slots), note=reason)
    from matrix.engines import bases  # noqa: PLC0415  the SDK costs a quarter of a second

    try:
        setup, engines = _docker(workspace, slots)
    except InfrastructureError as error:
        return replace(venv(workspace, slots), note=str(error))
    definition = workspace.definition
    kinds = {(cell.accelerator, cell.python): cell for cell in cells}
    for engine in engines.values():
        found = [bases.find(engine.client, c, definition, workspace.env) for c in kinds.values()]
        if any(not isinstance(base, str) for base in found):
            return setup
    setup.close()
    return replace(
        venv(workspace, slots), note=next(base for base in found if isinstance(base, str))
    )


def _no_engine(workspace: Workspace) -> str:
    """Why there can be no engine, found out without the SDK; "" where there may be one."""
    settings = workspace.definition.runners.values()
    socket = Path(DEFAULT_ENGINE.removeprefix("unix://"))
    if workspace.env.get("DOCKER_HOST") or any(s.docker for s in settings) or socket.exists():
        return ""
    return f"no Docker engine at `{DEFAULT_ENGINE}`, and no DOCKER_HOST says of another one"


def docker(workspace: Workspace, slots: int | None = None) -> Setup:
    """An image per cell and a container per stage, on every engine of the matrix file.

    Raises `InfrastructureError` where no engine answers.
    """
    return _docker(workspace, slots)[0]


def mounted(hosts: Sequence["Host"], workspace: Workspace, slots: int | None = None) -> Setup:
    """Containers with interpreters of this machine mounted, for machines without a network."""
    from matrix.backends.docker import Mounted  # noqa: PLC0415  as above
    from matrix.engines import bases  # noqa: PLC0415  as above

    setup, engines = _docker(workspace, slots, mounted=True)
    base = bases.find(engines["local"].client, hosts[0].cell, workspace.definition, workspace.env)
    if isinstance(base, str):
        setup.close()
        raise InfrastructureError(base)
    return replace(
        setup,
        make=_containers(
            workspace, engines, Mounted(image=base.reference, pythons=_pythons(hosts))
        ),
        origin=lambda cell, _suites: f"{_identity(hosts, cell)} {base}",
    )


def _docker(
    workspace: Workspace, slots: int | None, *, mounted: bool = False
) -> tuple[Setup, dict[str, "Engine"]]:
    from matrix.engines.connection import EngineLost, connect  # noqa: PLC0415  as above
    from matrix.engines.tunnel import NoEngine  # noqa: PLC0415  as above

    local, *others = inventory(workspace.definition, slots, workspace.env).runners
    chosen = [runner for runner in others if runner.docker and not mounted]
    if local.docker or not chosen:
        chosen.insert(0, local)
    engines: dict[str, Engine] = {}
    runners: list[RunnerInfo] = []
    silent: list[RunnerInfo] = []
    reasons: list[str] = []
    for runner in chosen:
        engine = None
        try:
            engine = connect(runner.docker, _engine_env(runner, workspace.env))
            with engine.errors():
                facts = EngineFacts.of(engine.client.info())
        except (NoEngine, EngineLost) as error:
            if engine:
                engine.close()
            silent.append(runner)
            reasons.append(f"runner `{runner.name}`: {error}")
            continue
        engines[runner.name] = engine
        runners.append(runner if engine.is_local else runner.seen_by(facts))
    if not runners:
        raise InfrastructureError("; ".join(reasons))
    return Setup(
        name="docker",
        make=_containers(workspace, engines),
        inventory=Inventory(runners=tuple(runners), silent=tuple(silent)),
        origin=_dockerfile(workspace),
        note="; ".join(reasons),
        engines=tuple(engines.values()),
    ), engines


def _engine_env(runner: RunnerInfo, env: Mapping[str, str]) -> dict[str, str]:
    """The SDK's variables for a runner that has certificates of its own."""
    tls = runner.settings.tls if runner.settings else None
    return {**env, **({"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tls)} if tls else {})}


def _dockerfile(workspace: Workspace) -> Origin:
    """A cell in a container comes from its Dockerfile."""
    from matrix.render import render  # noqa: PLC0415  Jinja, which other backends do not need

    def origin(cell: Cell, suites: tuple[Suite, ...]) -> str:
        try:
            text = render(cell, workspace.definition, suites=suites, env=workspace.env)
        except InputError as error:  # its row will say so
            text = str(error)
        return hashlib.sha256(text.encode()).hexdigest()

    return origin


def _containers(
    workspace: Workspace, engines: Mapping[str, "Engine"], mounted: "Mounted | None" = None
) -> MakeBackend:
    from docker.utils import parse_bytes  # noqa: PLC0415  as above

    from matrix import scratch  # noqa: PLC0415  as above
    from matrix.backends.docker import Box, DockerBackend  # noqa: PLC0415  as above
    from matrix.engines.connection import EngineLost  # noqa: PLC0415  as above
    from matrix.engines.disk import Runs  # noqa: PLC0415  as above
    from matrix.engines.images import ImageMaker  # noqa: PLC0415  as above
    from matrix.engines.labels import owner_of, reap  # noqa: PLC0415  as above

    owner = owner_of(workspace.store.local)
    lives = scratch.lives(workspace.store)

    def make(context: Context, runner: RunnerInfo) -> Backend:
        try:
            return started(context, runner, engines[runner.name])
        except EngineLost as lost:
            raise InfrastructureError(f"runner `{runner.name}`: {lost}") from lost

    def started(context: Context, runner: RunnerInfo, engine: "Engine") -> Backend:
        reap(engine, owner, lives)
        with engine.errors():
            facts = EngineFacts.of(engine.client.info())
        memory = runner.settings.memory if runner.settings else ""
        images = mounted or ImageMaker(
            engine.client,
            workspace.resolver,
            workspace.availability,
            workspace.definition,
            payload=context.payload,
            env={**_engine_env(runner, context.env), "DOCKER_HOST": engine.address},
            is_local=engine.is_local,
            work=context.work,
            run_id=context.run,
            runs=Runs(owner=owner, lives=lambda run: run == context.run or lives(run)),
            stop=context.stop,
        )

        def access(job: Job, gpus: tuple[Gpu, ...]) -> DeviceAccess:
            return runner.access(job.cell.device, gpus, facts) if gpus else DeviceAccess()

        box = Box(
            owner=owner,
            slots=runner.slots,
            memory=parse_bytes(memory) if memory else None,
            env=runner.env,
        )
        return DockerBackend(context, engine, images, access, box)

    return make


def _here(workspace: Workspace, slots: int | None) -> Inventory:
    """The machine we are on: the only runner of backends that start processes."""
    return Inventory(runners=inventory(workspace.definition, slots, workspace.env).runners[:1])


def venv(workspace: Workspace, slots: int | None = None) -> Setup:
    """The embedded default: a uv environment per cell."""
    from matrix.backends.venv import VenvBackend  # noqa: PLC0415  one backend per command

    def make(context: Context, _runner: RunnerInfo) -> Backend:
        labelled = {**workspace.resolver.env, WORK_LABEL: context.env[WORK_LABEL]}
        resolver = replace(workspace.resolver, env=labelled)
        return VenvBackend(context, resolver, workspace.availability)

    return Setup(name="venv", make=make, inventory=_here(workspace, slots))


def host(hosts: Sequence["Host"], workspace: Workspace, slots: int | None = None) -> Setup:
    """Interpreters that already have torch."""
    from matrix.backends.host import HostBackend  # noqa: PLC0415  as above

    return Setup(
        name="host",
        make=lambda context, _runner: HostBackend(context, _pythons(hosts)),
        inventory=_here(workspace, slots),
        origin=lambda cell, _suites: _identity(hosts, cell),
    )


def _pythons(hosts: Sequence["Host"]) -> dict[str, Path]:
    return {host.cell.id: host.python for host in hosts}


def _identity(hosts: Sequence["Host"], cell: Cell) -> str:
    return next(host.identity for host in hosts if host.cell.id == cell.id)


def replay(recording: Path, workspace: Workspace, slots: int | None = None) -> Setup:
    """A recorded run."""
    from matrix.backends.replay import ReplayBackend, identity  # noqa: PLC0415  as above

    said = identity(recording)
    return Setup(
        name="replay",
        make=lambda _context, _runner: ReplayBackend(recording),
        inventory=_here(workspace, slots),
        origin=lambda _cell, _suites: said,
    )
