"""The supervisor's order: which suite, where, and within which limits."""

from __future__ import annotations

import json
import os
from typing import Dict, NamedTuple, Tuple

KINDS = ("pytest", "command")


class JobError(ValueError):
    """The job file says something that cannot be done."""


class Job(NamedTuple):
    """One suite to run. Times in seconds, ``log_cap`` in bytes, paths absolute.

    ``compile_cache`` is a folder for compiled code that outlives the suite; without one it is the
    suite's own and goes with it.
    """

    suite: str
    out: str
    kind: str = "pytest"
    tests: Tuple[str, ...] = ()
    command: Tuple[str, ...] = ()
    cwd: str = ""
    test_timeout: float = 120.0
    collect_timeout: float = 0.0
    deadline: float = 1800.0
    log_cap: int = 10 * 1024 * 1024
    env: Dict[str, str] = {}  # noqa: RUF012 - never changed
    pytest_args: Tuple[str, ...] = ()
    companions: Tuple[str, ...] = ()
    compile_cache: str = ""

    @property
    def root(self) -> str:
        """The folder that node ids are relative to."""
        common = os.path.commonpath(self.tests) if self.tests else self.out
        return common if os.path.isdir(common) else os.path.dirname(common)

    @property
    def idle_timeout(self) -> float:
        """How long nothing may happen while no test runs: importing, collecting, leaving."""
        return self.collect_timeout or max(120.0, self.test_timeout)


def read_job(path: str) -> Job:
    """Read and check a job file; raises :class:`JobError` with everything that is wrong."""
    with open(path, encoding="utf-8") as file:
        return parse_job(json.load(file))


def parse_job(data: object) -> Job:
    """Check a decoded job; unknown keys are errors, so that a typo is never a default."""
    if not isinstance(data, dict):
        raise JobError("a job must be a JSON object")
    known = Job._fields
    wrong = [f"unknown key `{key}`" for key in data if key not in known]
    wrong += [f"missing key `{key}`" for key in ("suite", "out") if not data.get(key)]
    kind = data.get("kind", "pytest")
    if kind not in KINDS:
        wrong.append(f"`kind` is {kind!r}, must be one of {', '.join(KINDS)}")
    needed = "command" if kind == "command" else "tests"
    if not data.get(needed):
        wrong.append(f"`{needed}` is empty")
    for key in ("tests", "command", "pytest_args", "companions"):
        value = data.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            wrong.append(f"`{key}` must be a list of strings")
    for key in ("test_timeout", "collect_timeout", "deadline", "log_cap"):
        value = data.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            wrong.append(f"`{key}` is {value!r}, must be a number that is not negative")
    if wrong:
        raise JobError("; ".join(wrong))
    lists = {
        key: tuple(data.get(key) or ()) for key in ("tests", "command", "pytest_args", "companions")
    }
    env = {str(key): str(value) for key, value in (data.get("env") or {}).items()}
    return Job(**{**data, **lists, "env": env, "cwd": data.get("cwd") or ""})
