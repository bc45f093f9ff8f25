"""Which executions run, in what order, why, and what it will cost. Pure: reads no disk but sources.

cells × inventory × what the store knows → `Plan`
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from matrix import resources, tracked
from matrix.accelerators import ACCELERATORS
from matrix.cells import Cell, Excluded
from matrix.definition import Suite, Waiver
from matrix.entries import Entry
from matrix.known import Known
from matrix.locks import environment_key, requirements_of
from matrix.recipes import PARTS, Part, changed
from matrix.rows import WAIVED
from matrix.runners import Inventory, RunnerInfo
from matrix.schema import BUILTIN_SUITES

Origin = Callable[[Cell, tuple[Suite, ...]], str]
Rerun = Literal["stale", "failed", "all"]
BackendName = Literal["venv", "docker", "host", "replay"]
PROVISION_GUESS = 60.0
SUITE_GUESS: Mapping[str, float] = {"feature": 90.0, "throughput": 45.0}
OTHER_GUESS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteRun:
    """One suite of a job: its recipe, why it runs, and how long it should take in seconds."""

    suite: Suite
    recipe: str
    why: str
    estimate: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Suites of one execution that share an environment."""

    cell: Cell
    execution: str
    backend: BackendName
    runner: str
    environment: str
    suites: tuple[SuiteRun, ...]
    waivers: tuple[Waiver, ...] = ()
    models: tuple[str, ...] = ()
    """Of GPUs: those without a result of today's recipe, as far as runners tell theirs."""
    no_runner: str = ""

    @property
    def id(self) -> str:
        """Unique within a plan."""
        return f"{self.cell.id}/{self.execution}/{'+'.join(s.suite.name for s in self.suites)}"

    @property
    def kind(self) -> tuple[str, str, str]:
        """What a runner must have for it: one that lacks it does so for all jobs of the kind."""
        return self.cell.accelerator, self.cell.device, self.cell.python

    @property
    def estimate(self) -> float:
        """Expected seconds."""
        return sum(suite.estimate for suite in self.suites)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fresh:
    """A suite whose newest evidence still has today's recipe."""

    cell: Cell
    entry: Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run will do, what it need not do, and what is no cell."""

    jobs: tuple[Job, ...]
    fresh: tuple[Fresh, ...]
    excluded: tuple[Excluded, ...]
    slots: int

    @property
    def estimate(self) -> float:
        """Expected wall seconds: exclusive suites run alone, the others on all slots."""
        runs = [suite for job in self.jobs if not job.no_runner for suite in job.suites]
        alone = sum(run.estimate for run in runs if run.suite.exclusive)
        return alone + sum(run.estimate for run in runs if not run.suite.exclusive) / self.slots

    def as_json(self) -> dict[str, Any]:
        """The plan for machines and for the bundle."""
        return {
            "jobs": [
                {
                    "cell": job.cell.id,
                    "execution": job.execution,
                    "runner": job.runner,
                    "models": list(job.models),
                    "verdict": "no-runner" if job.no_runner else "",
                    "reason": job.no_runner,
                    "estimate_s": round(job.estimate, 1),
                    "suites": [
                        {"suite": s.suite.name, "recipe": s.recipe, "why": s.why}
                        for s in job.suites
                    ],
                }
                for job in self.jobs
            ],
            "fresh": [
                {
                    "cell": fresh.entry.cell,
                    "execution": fresh.entry.execution,
                    "suite": fresh.entry.suite,
                    "run": fresh.entry.run,
                    "recipe": fresh.entry.recipe,
                }
                for fresh in self.fresh
            ],
            "excluded": [asdict(excluded) for excluded in self.excluded],
            "slots": self.slots,
            "estimate_s": round(self.estimate, 1),
        }


def recipe(
    cell: Cell,
    suite: Suite,
    backend: str,
    inventory: Inventory,
    waivers: Sequence[Waiver] = (),
    origin: str = "",
) -> str:
    """Hashes of all that is known before planning; they decide whether a result is fresh.

    One for each of `PARTS`, so that it can be said what changed. `origin` is what an environment
    comes from beside its pins: a rendered Dockerfile, an interpreter with its packages, a
    recording.
    """
    if suite.name in BUILTIN_SUITES:
        sources = [resources.tree_hash(resources.suite_tests(suite.name))]
    else:
        sources = [tracked.tree_hash(path) for path in tracked.places(suite)]
    settings = (suite.command, suite.companions, suite.pytest_args, sorted(suite.env.items()),
                suite.timeout, suite.test_timeout, suite.exclusive, suite.gpus,
                suite.rounds, inventory.settings)  # fmt: skip
    parts: Mapping[Part, object] = {
        "environment": (cell.id, cell.device, backend, origin, requirements_of(cell, (suite,))),
        "tests": (suite.source, [str(test) for test in suite.tests if suite.source], sources),
        "settings": settings,
        "waivers": [(waiver.feature, waiver.reason) for waiver in waivers],
        "torch-matrix": resources.tree_hash(resources.inside()),
    }
    return "-".join(hashlib.sha256(repr(parts[part]).encode()).hexdigest()[:8] for part in PARTS)


def make_plan(
    cells: Iterable[Cell],
    suites: Sequence[Suite],
    inventory: Inventory,
    known: Iterable[Entry],
    *,
    backend: BackendName,
    origin: Origin = lambda _cell, _suites: "",
    excluded: tuple[Excluded, ...] = (),
    rerun: Rerun = "stale",
    waivers: Sequence[Waiver] = (),
) -> Plan:
    """Decide for every selected cell and suite whether it runs; nothing disappears.

    A suite runs until each model of GPU that the runners tell of has its own result.
    """
    past = Known(known)
    jobs: list[Job] = []
    fresh: list[Fresh] = []
    for cell in cells:
        execution = f"{backend}-{cell.device}"
        refusals = [refusal(cell, runner) for runner in inventory.runners]
        takers = [r for r, reason in zip(inventory.runners, refusals, strict=True) if not reason]
        refused = "" if takers else "; ".join(refusals)
        models = sorted({model for r in takers for model in r.models(cell.device)}) or [""]
        own = tuple(waiver for waiver in waivers if waiver.matches(cell.fields))
        groups: dict[str, list[Suite]] = {}
        for suite in suites:
            groups.setdefault(environment_key(cell, (suite,)), []).append(suite)
        for environment, shared in groups.items():
            by_models: dict[tuple[str, ...], list[SuiteRun]] = {}
            come_from = origin(cell, tuple(shared))
            for suite in shared:
                wanted = recipe(cell, suite, backend, inventory, own, come_from)
                key = (cell.id, execution, suite.name)
                found = {model: past.newest(key, model) for model in models}
                whys = {m: _why(e, suite, wanted, rerun, refused) for m, e in found.items()}
                lacking = tuple(model for model, why in whys.items() if why)
                if not lacking:
                    entries = {entry.run: entry for entry in found.values() if entry}
                    fresh += [Fresh(cell=cell, entry=entry) for entry in entries.values()]
                    continue
                estimate = 0.0 if refused else _estimate(key, past)
                run = SuiteRun(suite=suite, recipe=wanted, why=whys[lacking[0]], estimate=estimate)
                by_models.setdefault(lacking, []).append(run)
            for lacking, runs in by_models.items():
                fitting = [r for r in takers if not r.models(cell.device).isdisjoint(lacking)]
                jobs.append(
                    Job(
                        cell=cell,
                        execution=execution,
                        backend=backend,
                        runner=(fitting or inventory.runners)[0].name,
                        environment=environment,
                        suites=tuple(sorted(runs, key=lambda r: r.suite.exclusive)),
                        waivers=own,
                        models=tuple(filter(None, lacking)),
                        no_runner=refused,
                    )
                )
    # longest first, so that the last job to finish is a short one
    jobs.sort(key=lambda job: -job.estimate)
    return Plan(jobs=tuple(jobs), fresh=tuple(fresh), excluded=excluded, slots=inventory.slots)


def refusal(cell: Cell, runner: RunnerInfo) -> str:
    """Why a cell cannot run on this runner, or ""."""
    if reason := runner.refusal(cell.device):
        return reason
    return ACCELERATORS[cell.accelerator].driver_gate(
        cell.variant, runner.devices[cell.device].driver
    ) if cell.device == cell.accelerator else ""  # fmt: skip


def fits(job: Job, runner: RunnerInfo) -> bool:
    """Whether a job is for this runner."""
    if refusal(job.cell, runner):
        return False
    models = runner.models(job.cell.device)
    return not job.models or "" in models or not models.isdisjoint(job.models)


def _why(entry: Entry | None, suite: Suite, wanted: str, rerun: Rerun, refusal: str) -> str:
    """Why a suite runs; "" where its evidence is fresh."""
    if entry is None:
        return "new"
    if rerun == "all":
        return "asked for"
    if entry.recipe != wanted:
        return f"stale: {changed(entry.recipe, wanted)} changed since {entry.run}"
    if entry.verdict == "no-runner":
        return "" if refusal else "a runner is there now"
    if not entry.is_complete:
        return _unfinished(entry, suite)
    bad = entry.verdict or any(
        v not in {"pass", "skip", "unsupported", WAIVED} for v in entry.counts
    )
    return "failed last time" if rerun == "failed" and bad else ""


def _unfinished(entry: Entry, suite: Suite) -> str:
    """Why there is no evidence on every test; with the same deadline it would end so again."""
    if entry.counts.get("not-run") and entry.seconds >= suite.timeout:
        deadline = f"its deadline of {suite.timeout:g} s ended it last time"
        return f"{deadline}; raise `timeout` in [suites.{suite.name}]"
    return f"{entry.verdict or 'incomplete'} last time: {entry.reason}".rstrip(": ")


def _estimate(key: tuple[str, str, str], past: Known) -> float:
    """Seconds it took this cell last time, else the median of others, else a guess."""
    if (own := past.newest(key)) and own.seconds:
        return own.seconds
    _, execution, suite = key
    guess = SUITE_GUESS.get(suite, OTHER_GUESS) + PROVISION_GUESS
    return past.seconds(execution, suite) or guess  # that of a replay, which takes no time, apart
