"""`run`: do what is new or stale, show how it comes along, and say what changed."""

import argparse
import importlib
import sys
import threading
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cli.cache import shared_cache
from matrix.cli.common import fresh_line, is_bad, planned
from matrix.cli.compare import compared, in_turn, show
from matrix.cli.interrupt import Interrupt
from matrix.cli.printing import print_json
from matrix.cli.report import print_tables
from matrix.rows import BAD
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.entries import Entry
    from matrix.interleaved import InTurn
    from matrix.judge import Finding
    from matrix.plan import Plan
    from matrix.running import RunResult
    from matrix.setups import Setup


def run_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Carry the plan out, print tables and findings; the exit code says how it went."""
    arguments, turns = in_turn(arguments, workspace)
    plan, setup = planned(arguments, workspace)
    with setup:
        if not plan.jobs:
            return _nothing_to_do(arguments, plan)
        return _run(arguments, workspace, plan, setup, turns)


def _run(
    arguments: argparse.Namespace,
    workspace: Workspace,
    plan: "Plan",
    setup: "Setup",
    turns: "InTurn | None",
) -> int:
    from matrix.board import make_board
    from matrix.running import as_json, run_plan

    # half a second of imports that the first finished suites and the tables would wait for
    libraries = ["pyarrow.parquet"] if arguments.json else ["pyarrow.parquet", "matrix.tables"]
    threading.Thread(target=lambda: [importlib.import_module(n) for n in libraries]).start()
    color = sys.stderr.isatty() and "NO_COLOR" not in workspace.env
    total = sum(len(job.suites) for job in plan.jobs)
    total += sum(not job.no_runner for job in plan.jobs)
    interactive = sys.stderr.isatty()
    board = make_board(sys.stderr, total=total, color=color, interactive=interactive)
    stop = workspace.stop
    told = stop.told_by(board.stopping) if isinstance(stop, Interrupt) else nullcontext()
    with board, told:
        board.note(setup.describe())
        board.note(
            f"{len(plan.jobs)} job(s) on {plan.slots} slot(s), about {plan.estimate / 60:.0f} min; "
            f"{len(plan.fresh)} suite(s) fresh; {len(plan.excluded)} combination(s) excluded"
        )
        shared = shared_cache(arguments, workspace)
        result = run_plan(
            plan, workspace, setup, board, cold=arguments.cold, turns=turns, shared=shared
        )
    comparison = compared(result, turns, workspace) if turns and result.entries else None
    if arguments.json:
        seen = {"comparison": comparison.as_json()} if comparison else {}
        print_json({**as_json(result, plan), **seen})
    elif comparison:
        show(arguments, workspace, comparison)
    else:
        print_tables(arguments, workspace, [*result.run.entries, *(f.entry for f in plan.fresh)])
        _print_costs(result, workspace)
    _print_findings(result)
    _print_cache(result)
    print(f"bundle: {result.run.path}", file=sys.stderr)
    _print_wrong([*result.run.entries, *(f.entry for f in plan.fresh)])
    if comparison and comparison.regressed and arguments.fail_on != "never":
        return errors.NEW_WRONG
    return _exit_code(arguments.fail_on, result, plan)


def _print_wrong(entries: Iterable["Entry"]) -> None:
    """Say last, where it is read, which suites have wrong numbers."""
    for entry in entries:
        if entry.counts.get("wrong"):
            tests = entry.counts["wrong"]
            where = f"{entry.cell} {entry.execution} {entry.suite}"
            print(
                f"WRONG NUMBERS  {where}: {tests} test{'s' * (tests != 1)} ran and gave wrong "
                f"numbers; `python -m matrix report {entry.run}` names them",
                file=sys.stderr,
            )


def _print_cache(result: "RunResult") -> None:
    """Say what became of compiled code on the remote, where one is shared."""
    for entry in result.run.entries:
        told = entry.cache
        if warning := told.get("warning"):
            where = f"{entry.cell} {entry.execution} {entry.suite}"
            print(f"warning: {where}: {warning}; it went on without", file=sys.stderr)
        elif told:
            pushed = f"pushed {told.get('pushed', 'nothing')}"
            note = f" ({told['note']})" if "note" in told else ""
            print(f"compile cache: {entry.cell}: {told['state']}{note}, {pushed}", file=sys.stderr)


def _nothing_to_do(arguments: argparse.Namespace, plan: "Plan") -> int:
    """Everything is fresh: say so for each, without loading pandas."""
    if arguments.json:
        from matrix.running import as_json

        print_json(as_json(None, plan))
    for fresh in () if arguments.json else plan.fresh:
        print(fresh_line(fresh.entry))
    absent = sum(fresh.entry.verdict == "no-runner" for fresh in plan.fresh)
    without = f", {absent} have no runner here" if absent else ""
    print(
        f"nothing to do: {len(plan.fresh) - absent} suite(s) are fresh{without}; `python -m "
        "matrix report` shows their tables, `--rerun all` runs them again",
        file=sys.stderr,
    )
    _print_wrong(f.entry for f in plan.fresh)
    if arguments.fail_on == "any" and any(is_bad(f.entry.counts) for f in plan.fresh):
        return errors.NEW_WRONG
    return errors.OK


def _exit_code(fail_on: str, result: "RunResult", plan: "Plan") -> int:
    if result.interrupted:
        return errors.INTERRUPTED
    if fail_on == "new" and any(is_new(finding) for finding in result.findings):
        return errors.NEW_WRONG
    counts = [e.counts for e in result.run.entries] + [f.entry.counts for f in plan.fresh]
    if fail_on == "any" and any(map(is_bad, counts)):
        return errors.NEW_WRONG
    if any(entry.verdict == "infra" for entry in result.run.entries):
        return errors.InfrastructureError.exit_code
    return errors.OK


def is_new(finding: "Finding") -> bool:
    """Whether it is wrong now and was not: also by chance, which is no excuse."""
    flaky = finding.change == "flaky" and finding.now in BAD and finding.before not in BAD
    return finding.change == "new" or flaky


def _print_costs(result: "RunResult", workspace: Workspace) -> None:
    from matrix.reports import costs

    entries = result.run.entries
    if text := costs.render(entries, workspace.store.rows(entries)):
        print(text)


def _print_findings(result: "RunResult") -> None:
    by_change: dict[str, list[str]] = {}
    for finding in result.findings:
        where = f"{finding.cell} {finding.test or finding.suite}"
        before = f"{finding.before}, then " if finding.change == "flaky" else ""
        by_change.setdefault(finding.change, []).append(f"{where}: {before}{finding.now}")
    for change in ("new", "flaky"):
        for line in by_change.get(change, []):
            print(f"{change.upper():6} {line}", file=sys.stderr)
    for change in ("gone", "now skipped", "missing"):
        for line in by_change.get(change, []):
            print(f"{change}   {line}".rstrip(": "), file=sys.stderr)
    counts = ", ".join(f"{len(lines)} {change}" for change, lines in by_change.items())
    print(f"wrong results: {counts or 'none'}", file=sys.stderr)
