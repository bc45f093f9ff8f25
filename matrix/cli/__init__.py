"""Arguments, printing, exit codes: the only room that prints.

Data goes to stdout, everything else to stderr. One module per kind of command.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matrix import errors
from matrix.cli.interrupt import Interrupt
from matrix.cli.printing import print_text
from matrix.cli.quick import QUICK, Evidence, Results, quick_parser
from matrix.errors import MatrixError


def main(argv: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run one command; returns its exit code (`errors.EXIT_CODES`)."""
    from matrix.process import Stopped

    words = sys.argv[1:] if argv is None else list(argv)
    stop = Interrupt()
    if words and words[0] in QUICK:
        arguments = quick_parser(words[0]).parse_args(words)
        workspace: Evidence = Results(results=_results(arguments), stop=stop)
    else:
        from matrix.cli.parser import build_parser
        from matrix.workspace import Workspace

        arguments = build_parser().parse_args(words)
        workspace = Workspace(
            file=arguments.file,
            results=_results(arguments),
            env=os.environ if env is None else env,
            stop=stop,
        )

    def command() -> int:
        with stop:
            code: int = arguments.command(arguments, workspace)
        return code

    try:
        return _guarded(arguments, command)
    except Stopped:
        return errors.INTERRUPTED


def _results(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.results or arguments.file.parent / "results"
    return folder


def _guarded(arguments: argparse.Namespace, command: Callable[[], int]) -> int:
    """Run a command; what stops it early becomes a message and an exit code."""
    try:
        return command()
    except MatrixError as error:
        print_text(f"matrix: {error}", sys.stderr)
        if arguments.json:
            print(json.dumps({"error": {"code": error.exit_code, "message": str(error)}}, indent=1))
        return error.exit_code
    except BrokenPipeError:  # `| head` is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.OK
    except OSError as error:  # a disk that is full, wherever it was noticed
        print_text(f"matrix: {error}; what finished is kept", sys.stderr)
        return errors.InfrastructureError.exit_code
    except KeyboardInterrupt:
        return errors.INTERRUPTED
