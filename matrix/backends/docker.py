"""`docker`: a container per stage of a cell, hardened, from an image or a mounted interpreter."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from matrix.accelerators import DeviceAccess, Gpu, hidden_except
from matrix.backends import CellFailed, Context, Environment, Progress, RunnerLost, RunnerUnfit
from matrix.backends.compiled import files_in, take_in
from matrix.backends.endings import blame_memory, close_report
from matrix.backends.interpreter import PROBE_TIMEOUT, SPARE, companions_of, order, tests_of
from matrix.backends.mounted import places
from matrix.backends.processors import CpuShares, usable
from matrix.backends.travel import Travelling, suite_files, tree
from matrix.engines.archives import Caps, pack
from matrix.engines.connection import Engine, EngineLost
from matrix.engines.containers import End, fetch, follow, started
from matrix.engines.labels import labels
from matrix.engines.orders import Limits, Order
from matrix.engines.refusals import StartRefused
from matrix.plan import Job, SuiteRun
from matrix.render import UID
from matrix.schema import BUILTIN_SUITES

PAYLOAD = "/opt/payload"
PYTHON = Path("/opt/venv/bin/python")
RESULTS = "/results"
OUT = PurePosixPath(RESULTS, "out")
SUITE = PurePosixPath("/suite")
NOT_STARTED = frozenset({126, 127})  # what init ends with where a program cannot be started
MOST_RESULTS = 1 << 30  # bytes that a cell may leave in its volumes: they lie on the engine's disk
COMPILED = "compiled"  # in the results: the suite's compiled code
COMPILED_CAPS = Caps(file=512 << 20, total=MOST_RESULTS, files=200_000)
_LOG_CAP = 11 << 20  # the supervisor's, and its line about what it dropped


class MakesImages(Protocol):
    """Makes the image of a job's cell; raises `CellFailed` and `Stopped`."""

    def make(self, job: Job, folder: Path, stage: Callable[[str], None]) -> Any:  # noqa: ANN401
        """Return its `id`, `lock`, `install_bytes` and `stages`; logs go into `folder`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mounted:
    """Interpreters of this machine by cell id, mounted into containers of `image`."""

    image: str
    pythons: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerEnvironment(Environment):
    """A cell as an image, with folders of this machine where the interpreter is mounted."""

    image: str
    binds: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """What containers of a run have in common: whose they are, and how much they may take.

    `memory` is in bytes for one container; None shares what the engine's machine has. `env` is
    what the runner sets in every container.
    """

    owner: str
    slots: int = 1
    memory: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)


class DockerBackend:
    """Makes images or mounts an interpreter, and runs each stage in a container of its own."""

    name = "docker"

    def __init__(
        self,
        context: Context,
        engine: Engine,
        images: MakesImages | Mounted,
        access: Callable[[Job, tuple[Gpu, ...]], DeviceAccess],
        box: Box,
    ) -> None:
        self.context = context
        self.engine = engine
        self.images = images
        self.access = access
        self.box = box
        with engine.errors():
            info = engine.client.info()
        self.memory = int(info["MemTotal"])
        self.cpus = CpuShares(usable(int(info["NCPU"]), local=engine.is_local), box.slots)

    def answers(self) -> bool:
        """Whether the engine can be reached again."""
        try:
            self.engine.check()
        except EngineLost:
            return False
        return True

    def provision(self, job: Job, folder: Path, stage: Progress) -> Environment:
        """Make the image, or find out what of this machine is to be mounted."""
        if isinstance(self.images, Mounted):
            stage("mount")
            python = self.images.pythons[job.cell.id]
            if not self.engine.is_local:
                reason = f"`{python}` cannot be mounted by the engine at "
                raise CellFailed("infra", f"{reason}`{self.engine.url}`: it is another machine")
            return ContainerEnvironment(
                python=python,
                provision="mounted",
                stages={},
                image=self.images.image,
                binds=places(python, self.context),
            )
        try:
            image = self.images.make(job, folder, stage)
        except CellFailed as failed:
            if failed.verdict == "infra" and not self.answers():
                raise RunnerLost(failed.reason) from failed
            raise
        return ContainerEnvironment(
            python=PYTHON,
            provision="built",
            lock=image.lock,
            install_bytes=image.install_bytes,
            image_bytes=image.size,
            base=image.base,
            builder=image.builder,
            stages=image.stages,
            image=image.id,
        )

    def probe(self, job: Job, environment: Environment, out: Path) -> None:
        """Run the identity probe in a container of its own."""
        command = ("-m", "matrix.inside.probe", str(OUT / "probe.json"), *companions_of(job))
        with self.cpus.share(exclusive=False) as cpus:
            what = self._order(job, environment, command, cpus)
            with self._container(what) as container:
                log = out / "probe.log"
                end = self._follow(container, log=log, timeout=PROBE_TIMEOUT)
                _took(end, what, "the identity probe")
                fetch(self.engine, container, str(OUT / "probe.json"), out, Caps())
        if end.cause == "timeout":
            raise CellFailed("infra", f"the identity probe took more than {PROBE_TIMEOUT:.0f} s")

    def run_suite(
        self, job: Job, run: SuiteRun, environment: Environment, out: Path, line: Progress
    ) -> None:
        """Hand one suite to the supervisor in a container; fetch its report from there."""
        suite = run.suite
        if suite.name in BUILTIN_SUITES:  # it is in the image, or mounted with the payload
            here = PurePosixPath(PAYLOAD, "suites", suite.name)
            travelling = Travelling(cwd=here, tests=(here,))
        else:
            travelling = suite_files(suite, *tests_of(suite, self.context), SUITE)
        cwd, tests = travelling.cwd, travelling.tests
        told = order(job, suite, python=environment.python, cwd=cwd, tests=tests, out=OUT)
        if environment.compile_cache:
            told["compile_cache"] = f"{RESULTS}/{COMPILED}"
        spec = json.dumps(told, indent=1)
        (out / "job.json").write_text(spec, encoding="utf-8")
        command = ("-m", "matrix.inside.supervise", "--no-tether", str(OUT / "job.json"))
        # a suite has its GPUs alone, not the processors: other GPUs work beside it
        alone = suite.exclusive and job.cell.device == "cpu"
        with self.cpus.share(exclusive=alone) as cpus:
            what = self._order(job, environment, command, cpus, spec, travelling)
            what = replace(what, env={**what.env, **suite.env})
            if alone:
                what = replace(what, limits=self._limits(cpus, alone=True))
            with self._container(what) as container:
                log = out / "supervise.log"
                end = self._follow(container, log, suite.timeout + SPARE, line)
                _took(end, what, "the suite")
                self._take(container, out, log)
                if environment.compile_cache:
                    self._take_compiled(container, environment.compile_cache, log)
        judge_end(end, out / "outcomes.jsonl", what.limits.memory)

    def discard(self, job: Job, folder: Path) -> None:  # noqa: ARG002  the Protocol's
        """Remove the job's folder; containers are gone by now, and the image is for next time."""
        shutil.rmtree(folder, ignore_errors=True)

    def _order(
        self,
        job: Job,
        environment: Environment,
        command: tuple[str, ...],
        cpus: tuple[int, ...],
        spec: str = "",
        travelling: Travelling | None = None,
    ) -> Order:
        """One container of a job, with its results' folder and what it needs to find."""
        assert isinstance(environment, ContainerEnvironment)  # it is our own
        place = str(OUT.relative_to(RESULTS))
        results: dict[str, bytes | Path] = {f"{place}/job.json": spec.encode()} if spec else {}
        folders: tuple[str, ...] = (place,)
        if spec and environment.compile_cache:
            code = files_in(environment.compile_cache).items()
            results |= {f"{COMPILED}/{name}": path for name, path in code}
            folders = (place, COMPILED)
        archives = {RESULTS: pack(results, owner=UID, folders=folders)}
        if travelling is not None and travelling.files is not None:
            cwd = travelling.cwd.relative_to(SUITE)  # it must be there, also with nothing in it
            inner = (str(cwd),) if cwd.parts else ()
            archives[str(SUITE)] = pack(travelling.files, folders=inner)
        if environment.provision == "mounted":
            archives[PAYLOAD] = pack(tree(self.context.payload))
        return Order(
            image=environment.image,
            command=(str(environment.python), *command),
            env=self._env(job, environment, len(cpus)),
            labels=labels(self.box.owner, self.context.run, job.id),
            limits=self._limits(cpus),
            access=self.access(job, environment.gpus),
            files=archives,
            binds=environment.binds,
        )

    def _env(self, job: Job, environment: Environment, threads: int) -> dict[str, str]:
        """What processes in the container see besides what the image sets.

        Nothing of this machine's environment: a container is a clean one.
        """
        path = {}
        if environment.provision == "mounted":
            usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            path["PATH"] = f"{environment.python.parent}:{usual}"
        return {
            **path,
            **self.box.env,
            **hidden_except(job.cell.device),
            "PYTHONPATH": PAYLOAD,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # nothing it could write to
            "HOME": "/tmp",  # noqa: S108  a tmpfs of the container's own, and all it may write
            "USER": "matrix",
            "OMP_NUM_THREADS": str(threads),
            "TORCHINDUCTOR_COMPILE_THREADS": str(threads),
        }

    def _limits(self, cpus: tuple[int, ...], *, alone: bool = False) -> Limits:
        """An even share of nine tenths of the memory; its tmpfs count against it."""
        share = self.memory * 9 // 10 // (1 if alone else self.box.slots)
        memory = self.box.memory or share
        return Limits(memory=memory, tmp=memory // 2, shm=memory // 4, cpus=cpus)

    def _take(self, container: Any, out: Path, log: Path) -> None:  # noqa: ANN401  no types
        """Fetch a suite's report and log, no more; what is wrong with them goes into `log`."""
        complaints: list[str] = []
        for name, cap in (("outcomes.jsonl", Caps().file), ("suite.log", _LOG_CAP)):
            got = fetch(self.engine, container, str(OUT / name), out, Caps(file=cap))
            complaints += got.complaints
        _complain(log, complaints)

    def _take_compiled(self, container: Any, folder: Path, log: Path) -> None:  # noqa: ANN401
        """Add what the suite compiled to the folder that it began with."""
        with TemporaryDirectory(dir=self.context.work) as name:
            path = f"{RESULTS}/{COMPILED}"
            got = fetch(self.engine, container, path, Path(name), COMPILED_CAPS)
            take_in(Path(name) / COMPILED, folder)
        _complain(log, got.complaints)

    @contextmanager
    def _container(self, what: Order) -> Iterator[Any]:
        """A started container; what goes wrong with it or its engine is a cell's verdict."""
        try:
            with started(self.engine, what) as container:
                yield container
        except StartRefused as refused:
            raise RunnerUnfit(refused.verdict, refused.reason) from refused
        except EngineLost as lost:
            raise RunnerLost(str(lost)) from lost

    def _follow(
        self, container: Any, log: Path, timeout: float, line: Progress | None = None  # noqa: ANN401
    ) -> End:  # fmt: skip
        stop = self.context.stop
        return follow(
            self.engine, container, log=log, timeout=timeout, stop=stop, on_line=line,
            most=MOST_RESULTS,
        )  # fmt: skip


def _complain(log: Path, complaints: Iterable[str]) -> None:
    with log.open("a", encoding="utf-8") as stream:
        stream.writelines(f"[results] {complaint}\n" for complaint in complaints)


def _took(end: End, what: Order, name: str) -> None:
    """Raise where something else than the cell ended a container."""
    if end.cause == "stopped-by-engine":
        reason = (
            f"the container of {name} was stopped by the engine: someone asked it to, or it was"
        )
        raise RunnerLost(f"{reason} restarted")
    if end.code in NOT_STARTED and "exec " in end.last_line:
        program = what.command[0]
        reason = f"`{program}` does not start in the image `{what.image}`: {end.last_line}"
        raise CellFailed("infra", reason)


def judge_end(end: End, report: Path, memory: int) -> None:
    """Say in the report what the end of its container means; raises where there is no report."""
    if end.cause == "timeout":
        verdict, why = "timeout", f"the suite was killed after {end.seconds:.0f} s"
    elif end.cause == "too-much":
        limit = f"{MOST_RESULTS >> 20} MiB"
        verdict, why = "crash", f"the suite was killed: it left more than {limit} in its results"
    elif end.oom:
        limit = f"{memory >> 20} MiB"
        verdict, why = "oom", f"the container was killed at its memory limit of {limit}"
    else:
        said = end.last_line or "nothing"
        verdict, why = "crash", f"the suite left no report (exit {end.code}: {said})"
    if not report.exists():
        if end.code or end.oom:
            raise CellFailed(verdict, why)
    elif end.cause in {"timeout", "oom", "too-much"}:
        close_report(report, verdict, why)
    elif end.oom:
        blame_memory(report, memory)
