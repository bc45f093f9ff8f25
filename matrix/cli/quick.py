"""Commands that need no workspace start without its imports: the line is read by them alone."""

import argparse
from collections.abc import Callable, Mapping

from matrix.cli.options import Add, common_options


def _adapt(add: Add) -> None:
    from matrix.cli.adapt import add_adapt

    add_adapt(add)


def _lint(add: Add) -> None:
    from matrix.cli.lint import add_lint

    add_lint(add)


QUICK: Mapping[str, Callable[[Add], None]] = {"adapt": _adapt, "lint": _lint}
"""Name → what adds it; `command(arguments, workspace)` of these uses of a workspace nothing."""


def quick_parser(name: str) -> argparse.ArgumentParser:
    """The command line with this one command."""
    parser = argparse.ArgumentParser(prog="matrix")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: object, parents: list[argparse.ArgumentParser], text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[common_options(), *parents], description=text)
        sub.set_defaults(command=command)
        return sub

    QUICK[name](add)
    return parser
