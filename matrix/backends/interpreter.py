"""What `venv` and `host` share: entering an interpreter on this machine."""

import json
from collections.abc import Iterable
from pathlib import Path, PurePath

from matrix.accelerators import ACCELERATORS, hidden_except
from matrix.backends import CellFailed, Context, Environment, Progress
from matrix.backends.caches import Caches
from matrix.definition import Suite
from matrix.plan import Job, SuiteRun
from matrix.process import cell_environment, run
from matrix.runners import cores
from matrix.schema import BUILTIN_SUITES
from matrix.sources import SourceError, unpacked

PROBE_TIMEOUT = 180.0
SPARE = 60.0  # the supervisor ends a suite at its deadline by itself; this is for its clean-up


class Interpreter:
    """Runs `matrix.inside` with a given interpreter; the two backends say which."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._caches = Caches()

    def answers(self) -> bool:
        """Yes: the machine we are on is never lost."""
        return True

    def environment_of(
        self, job: Job, environment: Environment, *, exclusive: bool
    ) -> dict[str, str]:
        """The variables a cell's processes see: clean, with the devices leased to it only.

        Compile caches and temporary files are the supervisor's.
        """
        context = self.context
        alone = exclusive and job.cell.device == "cpu"  # GPUs work side by side
        threads = cores() if alone else context.threads
        return {
            **cell_environment(context.env, bin_dir=environment.python.parent),
            **hidden_except(job.cell.device),
            **(ACCELERATORS[job.cell.device].visible(environment.gpus) if environment.gpus else {}),
            "PYTHONPATH": str(context.payload),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": str(threads),
            "TORCHINDUCTOR_COMPILE_THREADS": str(threads),
        }

    def probe(self, job: Job, environment: Environment, out: Path) -> None:
        """Run the identity probe in a process of its own."""
        probe = (environment.python, "-m", "matrix.inside.probe", out / "probe.json")
        done = run(
            [*probe, *companions_of(job)],
            env=self.environment_of(job, environment, exclusive=False),
            timeout=PROBE_TIMEOUT,
            stop=self.context.stop,
            log=out / "probe.log",
        )
        if done.timed_out:
            raise CellFailed("infra", f"the identity probe took more than {PROBE_TIMEOUT:.0f} s")

    def run_suite(
        self, job: Job, run_: SuiteRun, environment: Environment, out: Path, line: Progress
    ) -> None:
        """Hand one suite to the supervisor inside the cell."""
        suite = run_.suite
        cwd, tests = tests_of(suite, self.context)
        spec = order(job, suite, python=environment.python, cwd=cwd, tests=tests, out=out)
        spec["compile_cache"] = str(environment.compile_cache or "")
        job_file = out / "job.json"
        job_file.write_text(json.dumps(spec, indent=1), encoding="utf-8")
        env = {
            **self.environment_of(job, environment, exclusive=suite.exclusive),
            **suite.env,
        }
        with self._caches.swept(*_folders(suite)):
            done = run(
                [environment.python, "-m", "matrix.inside.supervise", job_file],
                env=env,
                cwd=cwd,
                timeout=suite.timeout + SPARE,
                stop=self.context.stop,
                log=out / "supervise.log",
                on_line=line,
            )
        if done.code != 0 and not (out / "outcomes.jsonl").exists():
            raise CellFailed(
                "crash", f"the suite left no report (exit {done.code}: {done.last_line})"
            )


def companions_of(job: Job) -> tuple[str, ...]:
    """Packages that the identity probe tries to import."""
    names = [companion.split("==")[0] for companion in job.cell.companions]
    for run_ in job.suites:
        names += run_.suite.companions
    return tuple(dict.fromkeys(names))


def order(
    job: Job,
    suite: Suite,
    *,
    python: PurePath,
    cwd: PurePath,
    tests: Iterable[PurePath],
    out: PurePath,
) -> dict[str, object]:
    """What the supervisor is told about a suite (job.json); all paths are the cell's."""
    return {
        "suite": suite.name,
        "kind": "command" if suite.command else "pytest",
        "tests": [str(path) for path in tests],
        # `python` in a command means the cell's interpreter
        "command": [str(python) if part == "python" else part for part in suite.command],
        "cwd": str(cwd),
        "out": str(out),
        "test_timeout": suite.test_timeout,
        "deadline": suite.timeout,
        "log_cap": 10 * 1024 * 1024,
        "env": {},
        "pytest_args": list(suite.pytest_args),
        "companions": [*(c.split("==")[0] for c in job.cell.companions), *suite.companions],
    }


def tests_of(suite: Suite, context: Context) -> tuple[Path, tuple[Path, ...]]:
    """Working folder and absolute test paths of a suite on this machine."""
    if suite.name in BUILTIN_SUITES:
        folder = context.payload / "suites" / suite.name
        return folder, (folder,)
    if suite.source:
        try:
            folder = unpacked(suite.source, context.work / "sources", context.env)
        except SourceError as error:
            raise CellFailed("infra", str(error)) from error
        missing = [str(t) for t in suite.tests if not (folder / t).exists()]
        if missing:
            reason = f"`{suite.source}` has no {', '.join(missing)} in its source archive"
            raise CellFailed("infra", reason)
        return folder, tuple(folder / test for test in suite.tests)
    first = suite.tests[0] if suite.tests else suite.folder
    return (first if first.is_dir() else first.parent), suite.tests


def _folders(suite: Suite) -> tuple[Path, ...]:
    """The user's own folders, whose modules a suite may import."""
    if suite.name in BUILTIN_SUITES or suite.source:
        return ()
    folders = (test if test.is_dir() else test.parent for test in suite.tests)
    outside = {folder for folder in folders if not folder.is_relative_to(suite.folder)}
    return (suite.folder, *outside)
