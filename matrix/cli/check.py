"""`check`: what is wrong with an environment, and which tested cell is nearest to it."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cli.printing import print_json
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.check.machine import Machine
    from matrix.check.nearest import Nearest

STDIN = "-"
MOST_SECONDS = 86400.0
Add = Callable[[str, object, list[argparse.ArgumentParser], str], argparse.ArgumentParser]


def check_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print the findings; 1 where something has to be done before the environment works."""
    from matrix.check import errors as texts
    from matrix.check import rules
    from matrix.reports import checkpage

    machine, text = _machine(arguments, workspace)
    findings = rules.judge(machine)
    annotations = texts.annotate(text, machine) if text else ()
    page = checkpage.Page(
        machine=machine,
        findings=findings,
        error_given=bool(text),
        annotations=annotations,
        nearest=_nearest(workspace, machine),
    )
    if arguments.share:
        page = checkpage.shared(page, workspace.env)
    if arguments.json:
        print_json(checkpage.as_json(page))
    else:
        color = sys.stdout.isatty() and not workspace.env.get("NO_COLOR")
        print(checkpage.render(page, width=_width(workspace), color=color), end="")
    return errors.NEW_WRONG if page.is_wrong else errors.OK


def _width(workspace: Workspace) -> int:
    import shutil

    columns = workspace.env.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() else min(shutil.get_terminal_size().columns, 120)


def _machine(arguments: argparse.Namespace, workspace: Workspace) -> tuple["Machine", str]:
    """The machine that is asked about, and the error that was seen on it, or ""."""
    from matrix.check import reading, record

    problems = []
    if arguments.machine and arguments.python:
        problems.append("`--machine` is of another machine, `--python` of this one; leave out one")
    if arguments.python and arguments.python.is_dir():  # `""` too, which is this folder
        problems.append(
            f"`--python {arguments.python}` is a folder; name an interpreter: .venv/bin/python"
        )
    if not 0 < arguments.deadline < MOST_SECONDS:
        problems.append(
            f"`--deadline` is 0 to {MOST_SECONDS:g} seconds, got {arguments.deadline:g}"
        )
    text = ""
    if arguments.error:
        try:
            text = _read(arguments.error)
        except (OSError, ValueError) as error:
            problems.append(f"`--error {arguments.error}`: {error}")
        else:
            if not text.strip() or "\0" in text:
                problems.append(f"`--error {arguments.error}`: there is no text in it")
    if problems:
        raise errors.InputError("the environment cannot be checked:", problems)
    if arguments.machine:
        told = record.read(arguments.machine)
        return told.machine, text or told.error
    python = (arguments.python or Path(sys.executable)).absolute()
    machine = reading.read(
        python, env=workspace.env, stop=workspace.stop, deadline=arguments.deadline
    )
    return machine, text


def _read(name: str) -> str:
    if name == STDIN:
        return sys.stdin.read()
    return Path(name).read_text(encoding="utf-8", errors="replace")


def _nearest(workspace: Workspace, machine: "Machine") -> "Nearest | None":
    """The nearest tested cell; None where there is no evidence at all."""
    from matrix.check.nearest import find
    from matrix.cli.query import database

    try:
        with database(workspace) as opened:
            return find(opened, machine)
    except errors.NothingToRun:
        return None


def add_check(add: Add) -> None:
    """Add the command to the command line."""
    text = "say what is wrong with an environment, why, and what fixes it"
    sub = add("check", check_command, [], text)
    sub.add_argument("--python", type=Path,
                     help="the interpreter to check (default: this one)")  # fmt: skip
    sub.add_argument("--machine", type=Path, metavar="FILE",
                     help="check a recorded machine: TOML with what is known of it")  # fmt: skip
    sub.add_argument("--error", metavar="FILE",
                     help="the text of an error to annotate; `-` is standard input")  # fmt: skip
    sub.add_argument("--share", action="store_true",
                     help="leave out users, hosts, addresses and folders")  # fmt: skip
    sub.add_argument("--deadline", type=float, default=120.0, metavar="SECONDS",
                     help="the longest that importing torch may take (default: 120)")  # fmt: skip
