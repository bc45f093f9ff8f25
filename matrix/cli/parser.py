"""The command line."""

import argparse
from pathlib import Path

from matrix import errors
from matrix.cli.base import base_command
from matrix.cli.cache import remote_option
from matrix.cli.check import add_check
from matrix.cli.compare import number_commands, run_options
from matrix.cli.features import features_command
from matrix.cli.guide import add_guide
from matrix.cli.look import (
    explain_command,
    list_command,
    plan_command,
    render_command,
    schema_command,
)
from matrix.cli.options import common_options
from matrix.cli.page import CHARTS
from matrix.cli.quick import QUICK
from matrix.cli.readers import add_readers
from matrix.cli.report import report_command
from matrix.cli.run import run_command
from matrix.cli.runners import runners_command

BACKENDS = ("auto", "docker", "venv", "host", "replay")


def _absolute(text: str) -> Path:
    """A path that also holds in a cell's own working folder."""
    return Path(text).absolute()


class _Version(argparse.Action):
    """`--version`: read only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        try:
            version = metadata.version("torch-matrix")
        except metadata.PackageNotFoundError:
            version = "of a checkout that is not installed"
        print(f"torch-matrix {version}")
        parser.exit()


def _running() -> argparse.ArgumentParser:
    """Options of `plan` and `run`."""
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument("--suite", action="append", default=[], help="only this suite; repeatable")
    running.add_argument("--backend", choices=BACKENDS, default="auto", help="how cells are made")
    running.add_argument(
        "--python", type=_absolute, action="append", default=[],
        help="an interpreter that has torch: used as it is (host) or mounted (docker); two of them "
        "for `run --compare`",
    )  # fmt: skip
    running.add_argument(
        "--recording", help="replay backend: a run, its path, or `latest` (default)"
    )
    running.add_argument("--slots", type=int, help="cells that run at the same time")
    running.add_argument("--rounds", type=int, metavar="N",
                         help="fresh processes of suites that are measured in several")  # fmt: skip
    running.add_argument("--shard", metavar="I/N",
                         help="only this part of the cells, such as 1/3")  # fmt: skip
    running.add_argument("--rerun", choices=("stale", "failed", "all"), default="stale",
                         help="what to run again beside what is new or stale")  # fmt: skip
    return running


def _add_files(report: argparse.ArgumentParser) -> None:
    """What `report` makes instead of printing."""
    told = "make one page of tables, charts and evidence, for a browser"
    report.add_argument("--html", type=Path, metavar="FILE", help=told)
    report.add_argument("--picture", type=Path, metavar="FILE", help="draw a chart: .svg or .png")
    told = "what `--picture` draws (default: table)"
    report.add_argument("--chart", choices=CHARTS, help=told)


def build_parser() -> argparse.ArgumentParser:
    """The command line; the README's help text is generated from it."""
    codes = "\n".join(f"  {code:<4} {meaning}" for code, meaning in errors.EXIT_CODES.items())
    parser = argparse.ArgumentParser(
        prog="matrix",
        description="Which PyTorch × CUDA/ROCm combination works, how fast, from tests that ran.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    common = common_options()
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument(
        "--select", action="append", default=[], metavar="SELECTION",
        help="cell id, glob, or expression such as 'torch>=2.9 and variant==cpu'; repeatable",
    )  # fmt: skip
    chosen.add_argument("--profile", default="default", help="profile of the matrix file")
    running = _running()
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: object, parents: list[argparse.ArgumentParser], text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[common, *parents], help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    sub = add("list", list_command, [chosen], "list cells, and what is excluded and why")
    sub.add_argument("--all", action="store_true", help="all cells of the file, not the profile's")
    sub = add("plan", plan_command, [chosen, running], "say what `run` would do, why, for how long")
    sub.add_argument("--shards", type=int, metavar="N",
                     help="cut the cells into at most N parts for each kind of device")  # fmt: skip
    sub = add("explain", explain_command, [], "say why an id is a cell, excluded, or nothing")
    sub.add_argument("id", help="a cell id such as torch2.13.0-cu130-py3.12")
    sub = add("features", features_command, [], "list what the feature suite tests, and for whom")
    sub.add_argument("--suite", default="feature", help="another suite whose tests use `@feature`")
    sub = add("run", run_command, [chosen, running], "run what is new or stale, print tables")
    sub.add_argument("--fail-on", choices=("new", "any", "never"), default="new",
                     help="which wrong results make the exit code 1")  # fmt: skip
    sub.add_argument("--cold", action="store_true",
                     help="empty the compile cache that a cell's feature suite keeps")  # fmt: skip
    remote_option(sub)
    run_options(sub)
    sub = add("report", report_command, [chosen], "print tables of all or of one run")
    sub.add_argument("run", nargs="?", help="a run id or `latest`; else the newest of every cell")
    sub.add_argument("--format", choices=("terminal", "markdown"), default="terminal")
    sub.add_argument("--out", type=Path, help="write README.md and CSV files to this folder too")
    _add_files(sub)
    sub.add_argument("--publish", metavar="RUN", help="promote a run to the tracked results")
    add_readers(add)
    for quick in QUICK.values():
        quick(add)
    add_guide(add)
    add_check(add)
    number_commands(add, chosen)
    sub = add("render", render_command, [chosen], "print or write Dockerfiles or Compose files")
    sub.add_argument("--out", type=Path, help="write <cell id>.<kind> files to this folder")
    sub.add_argument("--classic", action="store_true", help="for engines without BuildKit")
    sub.add_argument("--compose", action="store_true", help="Compose files instead of Dockerfiles")
    sub.add_argument("--image", default="", metavar="NAME@sha256:…", help="pin this image")
    sub.add_argument("--runner", help="pin the GPUs of this runner, and what it sets")
    sub.add_argument("--gpu", action="append", default=[], metavar="UUID",
                     help="only this GPU of the runner, or its index; repeatable")  # fmt: skip
    add("runners", runners_command, [], "show machines, their GPUs, and who uses them")
    sub = add("base", base_command, [], "make the base image where no registry can be reached")
    sub.add_argument("action", choices=("build",), help="build it from Debian's packages")
    add("schema", schema_command, [], "print the JSON schema of matrix.toml")
    return parser
