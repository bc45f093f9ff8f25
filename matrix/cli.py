"""Arguments, printing, exit codes. Data goes to stdout, everything else to stderr."""

import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import errors
from matrix.errors import InputError, MatrixError
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.plan import BackendName, Plan
    from matrix.runners import Inventory
    from matrix.running import MakeBackend, RunResult
    from matrix.store import Entry

BACKENDS = ("auto", "venv", "host", "replay")


def main(argv: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run one command; returns its exit code (`errors.EXIT_CODES`)."""
    env = os.environ if env is None else env
    arguments = build_parser().parse_args(argv)
    stop = threading.Event()
    workspace = Workspace(
        file=arguments.file,
        results=arguments.results or arguments.file.parent / "results",
        env=env,
        stop=stop,
    )
    try:
        with _ctrl_c(stop):
            code: int = arguments.command(arguments, workspace)
    except MatrixError as error:
        print(f"matrix: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head` is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.OK
    except OSError as error:  # a disk that is full, wherever it was noticed
        print(f"matrix: {error}; what finished is kept", file=sys.stderr)
        return errors.InfrastructureError.exit_code
    except KeyboardInterrupt:
        return errors.INTERRUPTED
    return code


class _ctrl_c:  # noqa: N801  a context manager
    """Ctrl-C and SIGTERM ask the run to stop; a second one does not wait."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    def __enter__(self) -> None:
        def ask(number: int, _frame: object) -> None:
            if self.stop.is_set():
                raise KeyboardInterrupt
            print(f"matrix: {signal.Signals(number).name}: stopping, what finished is kept",
                  file=sys.stderr)  # fmt: skip
            self.stop.set()

        self.before = {n: signal.signal(n, ask) for n in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def build_parser() -> argparse.ArgumentParser:
    """The command line; the README's help text is generated from it."""
    codes = "\n".join(f"  {code:<4} {meaning}" for code, meaning in errors.EXIT_CODES.items())
    parser = argparse.ArgumentParser(
        prog="matrix",
        description="Which PyTorch × CUDA/ROCm combination works, how fast, from tests that ran.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--file", type=Path, default=Path("matrix.toml"), help="the matrix file")
    common.add_argument("--results", type=Path, help="results folder (default: beside the file)")
    common.add_argument("--json", action="store_true", help="machine-readable output on stdout")
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument(
        "--select", action="append", default=[], metavar="SELECTION",
        help="cell id, glob, or expression such as 'torch>=2.9 and variant==cpu'; repeatable",
    )  # fmt: skip
    chosen.add_argument("--profile", default="default", help="profile of the matrix file")
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument("--suite", action="append", default=[], help="only this suite; repeatable")
    running.add_argument("--backend", choices=BACKENDS, default="auto", help="how cells are made")
    running.add_argument(
        "--python", type=_absolute, help="host backend: the interpreter that has torch"
    )
    running.add_argument("--recording", default="latest", help="replay backend: a run or its path")
    running.add_argument("--slots", type=int, help="cells that run at the same time")
    running.add_argument("--rerun", choices=("stale", "failed", "all"), default="stale",
                         help="what to run again beside what is new or stale")  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: object, parents: list[argparse.ArgumentParser], text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[common, *parents], help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    sub = add("list", _list, [chosen], "list cells, and what is excluded and why")
    sub.add_argument("--all", action="store_true", help="all cells of the file, not the profile's")
    add("plan", _plan, [chosen, running], "say what `run` would do, why, and how long it takes")
    sub = add("explain", _explain, [], "say why an id is a cell, excluded, or nothing")
    sub.add_argument("id", help="a cell id such as torch2.13.0-cu130-py3.12")
    sub = add("run", _run, [chosen, running], "run what is new or stale and print the tables")
    sub.add_argument("--fail-on", choices=("new", "any", "never"), default="new",
                     help="which wrong results make the exit code 1")  # fmt: skip
    sub = add("report", _report, [chosen], "print tables of the newest evidence, or of one run")
    sub.add_argument("run", nargs="?", help="a run id or `latest`; else the newest of every cell")
    sub.add_argument("--format", choices=("terminal", "markdown"), default="terminal")
    sub.add_argument("--out", type=Path, help="also write README.md and CSV files to this folder")
    sub.add_argument("--publish", metavar="RUN", help="promote a run to the tracked results")
    sub = add("render", _render, [chosen], "print or write the Dockerfiles of cells")
    sub.add_argument("--out", type=Path, help="write <cell id>.Dockerfile files to this folder")
    add("schema", _schema, [], "print the JSON schema of matrix.toml")
    return parser


def _absolute(text: str) -> Path:
    """A path that also holds in a cell's own working folder."""
    return Path(text).absolute()


def _print_json(data: object) -> None:
    print(json.dumps(data, indent=1, default=str))


def _list(arguments: argparse.Namespace, workspace: Workspace) -> int:
    profile = workspace.profile(arguments.profile)
    if arguments.all and not arguments.select:
        cells = workspace.expansion.cells
    else:
        cells = workspace.cells(profile, arguments.select)
    excluded = workspace.expansion.excluded
    if arguments.json:
        _print_json({
            "cells": [dict(cell.fields) for cell in cells],
            "excluded": [
                {"id": e.id, "rule": e.rule, "reason": e.reason, "source": e.source, "date": e.date}
                for e in excluded
            ],
        })  # fmt: skip
        return errors.OK
    for cell in cells:
        note = "" if cell.device == cell.accelerator else f"  (tests run on {cell.device})"
        print(f"{cell.id}{note}")
    if excluded:
        print(f"\n{len(excluded)} combination(s) are no cell:", file=sys.stderr)
    for item in excluded:
        print(f"  {item.id}: {item.rule}: {item.reason}", file=sys.stderr)
    return errors.OK


def _schema(arguments: argparse.Namespace, workspace: Workspace) -> int:
    del arguments, workspace
    from matrix.schema import json_schema

    _print_json(json_schema())
    return errors.OK


def _render(arguments: argparse.Namespace, workspace: Workspace) -> int:
    from matrix.render import render

    profile = workspace.profile(arguments.profile)
    suites = workspace.suites(profile, ())
    texts = {
        cell.id: render(cell, workspace.definition, suites=suites, env=workspace.env)
        for cell in workspace.cells(profile, arguments.select)
    }
    if arguments.json:
        _print_json(texts)
    for cell_id, text in texts.items():
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / f"{cell_id}.Dockerfile").write_text(text, encoding="utf-8")
        elif not arguments.json:
            print(text)
    return errors.OK


def _explain(arguments: argparse.Namespace, workspace: Workspace) -> int:
    line, data = workspace.explain(arguments.id)
    if arguments.json:
        _print_json(data)
    else:
        print(line)
        print(f"source: {data['source']}" + (f" ({data['date']})" if data["date"] else ""))
    return errors.OK


def _planned(
    arguments: argparse.Namespace, workspace: Workspace
) -> tuple["Plan", "Inventory", "MakeBackend"]:
    """Make the plan of `plan` and `run`."""
    from matrix.plan import make_plan
    from matrix.runners import inventory

    if arguments.slots is not None and arguments.slots < 1:
        raise InputError("--slots:", [f"at least 1, got {arguments.slots}"])
    profile = workspace.profile(arguments.profile)
    suites = workspace.suites(profile, arguments.suite)
    name, make_backend = _backend(arguments, workspace)
    cells = workspace.cells(profile, arguments.select)
    if name == "host":
        from matrix.host import cell_of

        cells = (cell_of(arguments.python, workspace),)
    machine = inventory(workspace.definition, arguments.slots)
    known = workspace.store.newest()
    plan = make_plan(
        cells, suites, machine, known,
        backend=name, excluded=workspace.expansion.excluded,
        rerun=arguments.rerun, waivers=profile.waivers,
    )  # fmt: skip
    return plan, machine, make_backend


def _backend(
    arguments: argparse.Namespace, workspace: Workspace
) -> tuple["BackendName", "MakeBackend"]:
    from matrix import running

    if arguments.backend == "host":
        if arguments.python is None:
            raise InputError(
                "`--backend host` needs `--python`", ["name an interpreter with torch"]
            )
        return "host", running.host_backend(arguments.python)
    if arguments.backend == "replay":
        path = Path(arguments.recording)
        recording = path if path.is_dir() else workspace.store.run(arguments.recording).path
        return "replay", running.replay_backend(recording)
    return "venv", running.venv_backend(workspace)


def _plan(arguments: argparse.Namespace, workspace: Workspace) -> int:
    plan, _, _ = _planned(arguments, workspace)
    if arguments.json:
        _print_json(plan.as_json())
        return errors.OK
    for job in plan.jobs:
        for run in job.suites:
            what = f"no-runner: {job.no_runner}" if job.no_runner else f"about {run.estimate:.0f} s"
            print(f"run    {job.cell.id} {job.execution} {run.suite.name}: {run.why}; {what}")
    for fresh in plan.fresh:
        print(
            _fresh_line(fresh.entry.cell, fresh.entry.execution, fresh.entry.suite, fresh.entry.run)
        )
    print(
        f"{len(plan.jobs)} job(s) on {plan.slots} slot(s), about {plan.estimate / 60:.0f} min; "
        f"{len(plan.fresh)} fresh; {len(plan.excluded)} excluded",
        file=sys.stderr,
    )
    return errors.OK


def _fresh_line(cell: str, execution: str, suite: str, run: str) -> str:
    return f"fresh  {cell} {execution} {suite}: recipe unchanged since {run}"


def _run(arguments: argparse.Namespace, workspace: Workspace) -> int:
    plan, machine, make_backend = _planned(arguments, workspace)
    if not plan.jobs:
        return _nothing_to_do(arguments, workspace, plan)
    from matrix.board import make_board
    from matrix.running import as_json, run_plan

    # half a second of imports that the first finished suites and the tables would wait for
    libraries = ["pyarrow.parquet"] if arguments.json else ["pyarrow.parquet", "matrix.tables"]
    threading.Thread(target=lambda: [importlib.import_module(n) for n in libraries]).start()
    color = sys.stderr.isatty() and "NO_COLOR" not in workspace.env
    total = sum(len(job.suites) for job in plan.jobs)
    total += sum(not job.no_runner for job in plan.jobs)
    interactive = sys.stderr.isatty()
    with make_board(sys.stderr, total=total, color=color, interactive=interactive) as board:
        board.note(
            f"{len(plan.jobs)} job(s) on {plan.slots} slot(s), about {plan.estimate / 60:.0f} min; "
            f"{len(plan.fresh)} suite(s) fresh; {len(plan.excluded)} combination(s) excluded"
        )
        result = run_plan(plan, workspace, machine, make_backend, board)
    if arguments.json:
        _print_json(as_json(result, plan))
    else:
        _print_tables(arguments, workspace, [*result.run.entries, *(f.entry for f in plan.fresh)])
    _print_findings(result)
    print(f"bundle: {result.run.path}", file=sys.stderr)
    return _exit_code(arguments.fail_on, result, plan)


def _nothing_to_do(arguments: argparse.Namespace, workspace: Workspace, plan: "Plan") -> int:
    """Everything is fresh: say so for each, without loading pandas."""
    if arguments.json:
        _print_json({"run": None, **plan.as_json()})
    for fresh in () if arguments.json else plan.fresh:
        entry = fresh.entry
        print(_fresh_line(entry.cell, entry.execution, entry.suite, entry.run))
    tables = workspace.store.local / "tables" / "README.md"
    print(f"nothing to do: {len(plan.fresh)} suite(s) are fresh. Tables: {tables} or "
          "`python -m matrix report`; `--rerun all` runs them again", file=sys.stderr)  # fmt: skip
    if arguments.fail_on == "any" and any(_bad(f.entry.counts) for f in plan.fresh):
        return errors.NEW_WRONG
    return errors.OK


def _bad(counts: Mapping[str, int]) -> bool:
    from matrix.records import BAD

    return any(verdict in BAD for verdict in counts)


def _exit_code(fail_on: str, result: "RunResult", plan: "Plan") -> int:
    if result.interrupted:
        return errors.INTERRUPTED
    if fail_on == "new" and any(f.change == "new" for f in result.findings):
        return errors.NEW_WRONG
    counts = [e.counts for e in result.run.entries] + [f.entry.counts for f in plan.fresh]
    if fail_on == "any" and any(map(_bad, counts)):
        return errors.NEW_WRONG
    if any(entry.verdict == "infra" for entry in result.run.entries):
        return errors.InfrastructureError.exit_code
    return errors.OK


def _print_findings(result: "RunResult") -> None:
    by_change: dict[str, list[str]] = {}
    for finding in result.findings:
        where = f"{finding.cell} {finding.test or finding.suite}"
        by_change.setdefault(finding.change, []).append(f"{where}: {finding.now}")
    for line in by_change.get("new", []):
        print(f"NEW    {line}", file=sys.stderr)
    for line in by_change.get("gone", []):
        print(f"gone   {line}", file=sys.stderr)
    counts = ", ".join(f"{len(lines)} {change}" for change, lines in by_change.items())
    print(f"wrong results: {counts or 'none'}", file=sys.stderr)


def _print_tables(
    arguments: argparse.Namespace, workspace: Workspace, entries: Sequence["Entry"]
) -> None:
    """Print the terminal tables and leave Markdown and CSV beside the bundles."""
    from matrix import tables as shaping
    from matrix.reports import csvfiles, markdown, terminal

    profile = workspace.profile(arguments.profile)
    made = shaping.build(
        workspace.store.rows(entries),
        excluded=workspace.expansion.excluded,
        baseline=workspace.baseline(profile, (entry.cell for entry in entries)),
    )
    out = getattr(arguments, "out", None) or workspace.store.local / "tables"
    out.mkdir(parents=True, exist_ok=True)
    text = markdown.render(made)
    (out / "README.md").write_text(text, encoding="utf-8")
    csvfiles.write(made, out)
    if arguments.json:
        pass  # the tables are written all the same
    elif getattr(arguments, "format", "terminal") == "markdown":
        print(text)
    else:
        width = shutil.get_terminal_size((160, 24)).columns
        color = sys.stdout.isatty() and "NO_COLOR" not in workspace.env
        print(terminal.render(made, width=width, color=color))
    print(f"tables: {out}", file=sys.stderr)


def _report(arguments: argparse.Namespace, workspace: Workspace) -> int:
    store = workspace.store
    if arguments.publish:
        return _publish(arguments, workspace)
    if arguments.run:
        entries = list(store.run(arguments.run).entries)
    else:
        entries = list(store.newest().values())
        if arguments.select:
            chosen = {c.id for c in workspace.cells(workspace.profile("default"), arguments.select)}
            entries = [entry for entry in entries if entry.cell in chosen]
    if not entries:
        message = f"no results in `{workspace.results}` yet; `python -m matrix run` makes some"
        raise errors.NothingToRun(message)
    if arguments.json:
        from dataclasses import asdict

        _print_json([asdict(row) for row in store.rows(entries)])
    else:
        _print_tables(arguments, workspace, entries)
    return errors.OK


def _publish(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Promote a run and make the tracked tables again from all promoted runs."""
    store = workspace.store
    target = store.publish(store.run(arguments.publish))
    tracked = [run for run in store.runs() if (workspace.results / "runs" / run.id).is_dir()]
    entries = {entry.key: entry for run in tracked for entry in run.entries if entry.is_evidence}
    arguments.out = workspace.results
    _print_tables(arguments, workspace, list(entries.values()))
    if arguments.json:
        _print_json({"run": target.name, "published": os.fspath(target)})
    print(f"published: {target}", file=sys.stderr)
    return errors.OK
