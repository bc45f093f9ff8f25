"""`run`: carry out a plan into a bundle, judge it, and leave its tables."""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from matrix import judge, resources
from matrix.backends import Backend, Context
from matrix.backends.host import HostBackend
from matrix.backends.replay import ReplayBackend
from matrix.backends.venv import VenvBackend
from matrix.dispatch.local import Post, Turns, run_jobs
from matrix.execution import Site, Watcher, abandon, carry_out
from matrix.judge import Finding
from matrix.plan import Plan
from matrix.redact import Redactor
from matrix.runners import Inventory
from matrix.schema import BUILTIN_SUITES
from matrix.store import Entry, RunInfo, Store, utc_now
from matrix.workspace import Workspace

WORK_LABEL = "TORCH_MATRIX_WORK"  # in the environment of every process of a run

MakeBackend = Callable[[Context], Backend]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What a run did: its bundle, one entry per selected suite, and what changed."""

    run: RunInfo
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    interrupted: bool


def venv_backend(workspace: Workspace) -> MakeBackend:
    """The default: a uv environment per cell."""

    def make(context: Context) -> Backend:
        labelled = {**workspace.resolver.env, WORK_LABEL: str(context.work)}
        resolver = replace(workspace.resolver, env=labelled)
        return VenvBackend(context, resolver, workspace.availability)

    return make


def host_backend(python: Path) -> MakeBackend:
    """An interpreter that already has torch."""
    return lambda context: HostBackend(context, python)


def replay_backend(recording: Path) -> MakeBackend:
    """A recorded run."""
    return lambda _context: ReplayBackend(recording)


def run_plan(
    plan: Plan,
    workspace: Workspace,
    inventory: Inventory,
    make_backend: MakeBackend,
    watcher: Watcher,
) -> RunResult:
    """Carry a plan out; everything that finishes is in the bundle even if this process dies.

    Raises `InfrastructureError` when results cannot be written.
    """
    store = workspace.store
    before = {entry.key: entry for entry in store.baselines()}
    bundle = store.create({"file": workspace.file.name, **plan.as_json()})
    started = utc_now()
    runner = inventory.local
    entries: list[Entry] = []
    with _work_folder(store) as work:
        context = Context(
            work=work,
            payload=_payload(work, plan),
            env={**workspace.env, **runner.env, WORK_LABEL: str(work)},
            threads=max(1, runner.cores // plan.slots),
            stop=workspace.stop,
        )
        backend = make_backend(context)
        turns = Turns(workspace.stop)
        redactor = _redactor(workspace, work)
        site = Site(
            backend=backend,
            bundle=bundle,
            turn=turns,
            watcher=watcher,
            work=work,
            redactor=redactor,
        )

        post = Post(slots=plan.slots, carry_out=lambda job: carry_out(job, site))
        entries = run_jobs(plan.jobs, [post], partial(abandon, site=site), stop=workspace.stop)
    interrupted = workspace.stop.is_set()
    bundle.finish(
        {
            "id": bundle.id,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round((utc_now() - started).total_seconds(), 1),
            "interrupted": interrupted,
            "orchestrator_python": sys.version.split()[0],
            "indexes_from": [redactor.text(place) for place in workspace.indexes.origin],
        }
    )
    run = store.run(bundle.id)
    baseline = [before[entry.key] for entry in run.entries if entry.key in before]
    findings = judge.compare(store.rows(baseline), store.rows(run.entries))
    return RunResult(
        run=run, entries=tuple(entries), findings=tuple(findings), interrupted=interrupted
    )


def _redactor(workspace: Workspace, work: Path) -> Redactor:
    """Names for what is this machine's own: folders, interpreters, indexes."""
    paths = {
        "work": work,
        "results": workspace.store.root,
        "matrix": workspace.file.absolute().parent,
        "torch-matrix": resources.PACKAGE.parent,
        "orchestrator": Path(sys.prefix),
        "home": Path(workspace.env.get("HOME") or Path.home()),
    }
    return Redactor.of(paths, workspace.indexes.places)


def _payload(work: Path, plan: Plan) -> Path:
    """Lay out what travels into a cell: `matrix.inside` and the built-in suites that run."""
    payload = work / "payload"
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(resources.inside(), payload / "matrix" / "inside", ignore=ignore)
    (payload / "matrix" / "__init__.py").touch()
    wanted = {run.suite.name for job in plan.jobs for run in job.suites}
    for name in wanted.intersection(BUILTIN_SUITES):
        shutil.copytree(resources.suite_tests(name), payload / "suites" / name, ignore=ignore)
    return payload


def _end_processes_of(work: Path) -> None:
    """Kill what a dead run left behind: uv does not notice that nobody waits for it."""
    label = os.fsencode(f"{WORK_LABEL}={work}") + b"\0"
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it ended meanwhile, or it is somebody else's
            if label in environ.read_bytes():
                os.kill(int(environ.parent.name), signal.SIGKILL)


@contextmanager
def _work_folder(store: Store) -> Iterator[Path]:
    """A scratch folder of this run's own, after those of dead runs were removed.

    Folders are numbered and used again: uv remembers an interpreter by its path, and asking a new
    one costs a tenth of a second. A run holds its folder's lock while it lives.
    """
    root = store.local / "work"
    root.mkdir(parents=True, exist_ok=True)
    for folder in filter(Path.is_dir, root.iterdir()):
        _reap(folder)
    locks = (FileLock(root / f"{number}.lock", timeout=0) for number in itertools.count())
    held = next(filter(_acquired, locks))
    work = Path(held.lock_file).with_suffix("")
    try:
        work.mkdir(exist_ok=True)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        held.release()


def _reap(work: Path) -> None:
    """Remove what a dead run left, its processes among it; a living run holds its lock."""
    with suppress(Timeout), FileLock(work.with_suffix(".lock"), timeout=0):
        _end_processes_of(work)
        shutil.rmtree(work, ignore_errors=True)


def _acquired(lock: BaseFileLock) -> bool:
    try:
        lock.acquire()
    except Timeout:
        return False
    return True


def as_json(result: RunResult | None, plan: Plan) -> dict[str, object]:
    """A run for machines; `run` is null where everything was fresh."""
    return {
        "run": result.run.id if result else None,
        "bundle": os.fspath(result.run.path) if result else None,
        "interrupted": bool(result and result.interrupted),
        "executions": [asdict(entry) for entry in (result.entries if result else ())],
        "fresh": [asdict(fresh.entry) for fresh in plan.fresh],
        "excluded": [asdict(excluded) for excluded in plan.excluded],
        "findings": [asdict(finding) for finding in (result.findings if result else ())],
    }
