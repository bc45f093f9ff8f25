"""`compare`: what is faster or slower between two runs, or between two cells."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cells import select
from matrix.cli.export import FORMATS, export_command
from matrix.cli.printing import print_json
from matrix.entries import RunInfo
from matrix.errors import InputError, NothingToRun
from matrix.judge.effects import FEWEST
from matrix.rows import Row
from matrix.schema import hint
from matrix.store import PLAN_FILE, Store
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.cells import Cell
    from matrix.interleaved import InTurn
    from matrix.judge.comparisons import Comparison
    from matrix.running import RunResult


def number_commands(add: Callable[..., argparse.ArgumentParser], chosen: object) -> None:
    """Add `compare` and `export`; `chosen` are the options that select cells."""
    text = "say what is faster or slower, and how sure that is"
    parser = add("compare", compare_command, [], text)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="before and after, or one run")
    parser.add_argument(
        "--cells", nargs=2, metavar=("BEFORE", "AFTER"), help="two cells of the runs"
    )
    parser.add_argument("--format", choices=("terminal", "markdown"), default="terminal")
    text = "print the numbers of a run in the format of another tool"
    parser = add("export", export_command, [chosen], text)
    parser.add_argument("run", help="a run id or `latest`")
    parser.add_argument("--format", choices=FORMATS, required=True, help="whose format")


def run_options(parser: argparse.ArgumentParser) -> None:
    """Options of `run` that make a comparison of it."""
    compare = "run two cells in turn on one lease; the same cell twice shows the noise"
    parser.add_argument("--compare", nargs=2, metavar=("BEFORE", "AFTER"), help=compare)
    parser.add_argument("--pairs", type=int, default=6, help="rounds of each cell (default: 6)")


def in_turn(
    arguments: argparse.Namespace, workspace: Workspace
) -> tuple[argparse.Namespace, "InTurn | None"]:
    """What `run --compare` asks for, and the arguments of such a run; raises `InputError`."""
    if not arguments.compare:
        return arguments, None
    from matrix.interleaved import InTurn

    problems = [f"--pairs: at least {FEWEST}, got {arguments.pairs}"] * (arguments.pairs < FEWEST)
    if arguments.select:
        problems.append("--select: `--compare` names its two cells itself")
    suites = arguments.suite or ["throughput"]
    if len(suites) > 1:
        problems.append(f"--suite: one suite is compared at a time, got {', '.join(suites)}")
    found = [] if arguments.python else list(_cells(arguments.compare, workspace, problems))
    if len({cell.device for cell in found}) > 1:
        devices = " and ".join(f"`{cell.id}` on {cell.device}" for cell in found)
        problems.append(f"--compare: the cells run on different devices: {devices}")
    if problems:
        raise InputError("the cells cannot be compared:", problems)
    ids = [cell.id for cell in found] or arguments.compare
    asked = {"select": list(dict.fromkeys(ids)), "suite": suites, "rerun": "all"}
    turns = InTurn(before=ids[0], after=ids[1], pairs=arguments.pairs)
    return argparse.Namespace(**{**vars(arguments), **asked}), turns


def _cells(texts: Iterable[str], workspace: Workspace, problems: list[str]) -> Iterator["Cell"]:
    """The one cell that each text selects; adds to `problems` where it is not one."""
    cells = workspace.expansion.cells
    for text in texts:
        try:
            chosen = select(cells, [text])
        except InputError as error:
            problems.append(f"--compare: {'; '.join(error.problems)}")
            continue
        if len(chosen) == 1:
            yield chosen[0]
        else:
            some = ", ".join(cell.id for cell in chosen[:3]) or hint(text, [c.id for c in cells])
            problems.append(f"--compare: `{text}` is {len(chosen)} cells, name one ({some})")


def compare_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print a table of ratios with intervals and verdicts; 1 where something regressed."""
    comparison = _comparison(arguments, workspace.store)
    if not comparison.judgements:
        raise NothingToRun(f"neither {comparison.before} nor {comparison.after} has any numbers")
    show(arguments, workspace, comparison)
    return errors.NEW_WRONG if comparison.regressed else errors.OK


def show(arguments: argparse.Namespace, workspace: Workspace, comparison: "Comparison") -> None:
    """Print a comparison in the form that was asked for."""
    if arguments.json:
        print_json(comparison.as_json())
        return
    from matrix.reports import comparison as report
    from matrix.tables.comparison import aggregate_table, comparison_table

    series, whole = comparison_table(comparison), aggregate_table(comparison)
    title = f"{comparison.after} compared with {comparison.before}"
    if getattr(arguments, "format", "terminal") == "markdown":
        print(report.markdown(series, whole, title), end="")
        return
    width = shutil.get_terminal_size((160, 24)).columns
    color = sys.stdout.isatty() and "NO_COLOR" not in workspace.env
    print(report.terminal(series, whole, title, width=width, color=color), end="")


def compared(result: "RunResult", turns: "InTurn", workspace: Workspace) -> "Comparison":
    """What a run of two cells in turn showed."""
    from matrix.judge.comparisons import compare_cells

    rows = workspace.store.rows(result.run.entries)
    return compare_cells(rows, rows, turns.cells)


def _comparison(arguments: argparse.Namespace, store: Store) -> "Comparison":
    from matrix.judge.comparisons import compare_cells, compare_history, compare_runs

    if len(arguments.runs) > 2:  # noqa: PLR2004
        what = "one run (its history, or the cells it compared) or two"
        raise InputError(f"`compare` takes {what}", [f"got {len(arguments.runs)}"])
    runs = [store.run(name) for name in arguments.runs]
    cells = tuple(arguments.cells or (_in_turn(runs[0]) if len(runs) == 1 else ()))
    if len(runs) == 1 and not cells:
        earlier = [store.rows(run.entries) for run in store.runs() if run.id < runs[0].id]
        return compare_history(earlier, store.rows(runs[0].entries), f"run {runs[0].id}")
    old, new = (store.rows(run.entries) for run in (runs[0], runs[-1]))
    if not cells:
        return compare_runs(old, new, (f"run {runs[0].id}", f"run {runs[1].id}"))
    problems = [*_unknown(old, cells[0], runs[0]), *_unknown(new, cells[1], runs[-1])]
    if problems:
        raise InputError("the cells cannot be compared:", problems)
    return compare_cells(old, new, (cells[0], cells[1]))


def _unknown(rows: Iterable[Row], cell: str, run: RunInfo) -> list[str]:
    known = list(dict.fromkeys(row.cell for row in rows))
    return [] if cell in known else [f"run `{run.id}` has no cell `{cell}`; {hint(cell, known)}"]


def _in_turn(run: RunInfo) -> tuple[str, ...]:
    """The two cells that a run compared, in the order that it was asked for."""
    try:
        plan = json.loads((run.path / PLAN_FILE).read_text(encoding="utf-8"))
        before, after = plan["compare"]["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return str(before), str(after)
