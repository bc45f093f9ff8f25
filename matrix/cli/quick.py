"""Commands that need no matrix file start without its imports: the line is read by them alone."""

import argparse
import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from matrix.cli.options import Add, common_options

if TYPE_CHECKING:
    from matrix.store import Store


def _adapt(add: Add) -> None:
    from matrix.cli.adapt import add_adapt

    add_adapt(add)


def _lint(add: Add) -> None:
    from matrix.cli.lint import add_lint

    add_lint(add)


def _query(add: Add) -> None:
    from matrix.cli.query import add_query

    add_query(add)


QUICK: Mapping[str, Callable[[Add], None]] = {"adapt": _adapt, "lint": _lint, "query": _query}
"""Name → what adds it; `command(arguments, workspace)` of these uses no more than `Evidence`."""


class Evidence(Protocol):
    """The part of a workspace that needs no matrix file."""

    @property
    def results(self) -> Path:
        """The results folder."""

    @property
    def stop(self) -> threading.Event:
        """Set when the command is to end."""

    @property
    def store(self) -> "Store":
        """The bundles in the results folder."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """Such a part, without a matrix file."""

    results: Path
    stop: threading.Event

    @functools.cached_property
    def store(self) -> "Store":
        """The bundles in the results folder."""
        from matrix.store import Store

        return Store(self.results)


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
