"""`run`: carry out a plan into a bundle, judge it, and leave its tables."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from matrix import interleaved, judge, leases, resources, scratch
from matrix.backends import Context
from matrix.backends.compiled import CompileCaches
from matrix.compilecache.shared import SharedCache
from matrix.dispatch.local import Post, run_jobs
from matrix.dispatch.turns import Turns
from matrix.entries import Entry, RunInfo
from matrix.execution import Site, Watcher, abandon, carry_out
from matrix.incoming import shown
from matrix.interleaved import InTurn
from matrix.judge import Finding
from matrix.judge.comparisons import compare_cells
from matrix.judge.effects import PAIRS_AGAIN
from matrix.judge.verdicts import suspects
from matrix.plan import Plan, fits
from matrix.process import WORK_LABEL, Stopped
from matrix.redact import Redactor
from matrix.rows import Row
from matrix.runners import RunnerInfo
from matrix.schema import BUILTIN_SUITES
from matrix.setups import Setup
from matrix.store import utc_now
from matrix.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What a run did: its bundle, one entry per selected suite, and what changed."""

    run: RunInfo
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    interrupted: bool


def run_plan(
    plan: Plan,
    workspace: Workspace,
    setup: Setup,
    watcher: Watcher,
    *,
    cold: bool = False,
    turns: InTurn | None = None,
    shared: SharedCache | None = None,
) -> RunResult:
    """Carry a plan out; everything that finishes is in the bundle even if this process dies.

    With `cold` no suite finds code that an earlier run compiled; with `shared` it finds that of
    other machines. With `turns` the plan's jobs are
    two cells, or one, that are compared on the first runner that takes both.
    Raises `InfrastructureError` when results cannot be written.
    """
    store = workspace.store
    before = store.baselines()
    told = {"file": workspace.file.name, **setup.as_json(), **plan.as_json()}
    if turns:
        told["compare"] = {"cells": list(turns.cells), "pairs": turns.pairs}
    bundle = store.create(_redactor(workspace).data(told))
    started = utc_now()
    with scratch.folder(store, bundle.id) as work:
        _lay_out(work / "payload", plan)
        redactor = _redactor(workspace).also("work", work)
        if shared:
            places = dict.fromkeys((shared.remote.url, shown(shared.remote.url)), "<cache>")
            redactor = Redactor(names=(*places.items(), *redactor.names))

        def site(runner: RunnerInfo) -> Site:
            context = Context(
                run=bundle.id,
                work=work,
                payload=work / "payload",
                env={**workspace.env, **runner.env, WORK_LABEL: str(work)},
                threads=max(1, runner.cores // runner.slots),
                stop=workspace.stop,
            )
            place = leases.folder(workspace.env)
            return Site(
                backend=setup.make(context, runner),
                bundle=bundle,
                turn=Turns(runner, run=bundle.id, leases=place, stop=workspace.stop),
                watcher=watcher,
                work=work,
                redactor=redactor,
                caches=CompileCaches(
                    root=store.local / "compiled", cold=cold, containers=shared is not None
                ),
                shared=shared,
            )

        sites = [(runner, site(runner)) for runner in setup.inventory.runners]
        if turns and not any(job.no_runner for job in plan.jobs):
            entries = _in_turn(plan, turns, sites)
        else:
            posts = [_post(runner, there) for runner, there in sites]
            give_up = partial(abandon, site=sites[0][1])
            entries = run_jobs(plan.jobs, posts, give_up, stop=workspace.stop)
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
    ran = {entry.key for entry in run.entries}
    baseline = [entry for entry in before if entry.key in ran]
    findings = judge.compare(store.rows(baseline), store.rows(run.entries))
    return RunResult(
        run=run, entries=tuple(entries), findings=tuple(findings), interrupted=interrupted
    )


def _in_turn(plan: Plan, turns: InTurn, sites: Sequence[tuple[RunnerInfo, Site]]) -> list[Entry]:
    """Compare two cells where both can run; what stands out is measured again there."""
    fitting = (place for place in sites if all(fits(job, place[0]) for job in plan.jobs))
    runner, site = next(fitting, sites[0])
    jobs = [replace(job, runner=runner.name) for job in plan.jobs]

    def again(before: Sequence[Row], after: Sequence[Row]) -> tuple[set[str], int]:
        found = compare_cells(before, after, turns.cells).judgements
        return {judgement.contrast.key.test for judgement in suspects(found)}, PAIRS_AGAIN

    try:
        return interleaved.carry_out(jobs, turns, site, again)
    except Stopped:
        return []


def _post(runner: RunnerInfo, site: Site) -> Post:
    """A runner that takes the jobs that can run there; those that can nowhere become rows."""
    return Post(
        name=runner.name,
        slots=runner.slots,
        takes=lambda job: bool(job.no_runner) or fits(job, runner),
        carry_out=lambda job: carry_out(replace(job, runner=runner.name), site),
        answers=site.backend.answers,
    )


def _redactor(workspace: Workspace) -> Redactor:
    """Names for what is this machine's own: folders, interpreters, indexes, engines."""
    engines = {workspace.env.get("DOCKER_HOST", "")}
    engines |= {runner.docker for runner in workspace.definition.runners.values()}
    hosts = {urlsplit(url).netloc for url in engines}
    paths = {
        "results": workspace.store.root,
        "matrix": workspace.file.absolute().parent,
        "torch-matrix": resources.PACKAGE.parent,
        "orchestrator": Path(sys.prefix),
        "home": Path(workspace.env.get("HOME") or Path.home()),
    }
    return Redactor.of(paths, workspace.indexes.places, (engines | hosts) - {""})


def _lay_out(payload: Path, plan: Plan) -> None:
    """What travels into a cell: `matrix.inside` and the built-in suites that run."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(resources.inside(), payload / "matrix" / "inside", ignore=ignore)
    (payload / "matrix" / "__init__.py").touch()
    wanted = {run.suite.name for job in plan.jobs for run in job.suites}
    for name in wanted.intersection(BUILTIN_SUITES):
        shutil.copytree(resources.suite_tests(name), payload / "suites" / name, ignore=ignore)


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
