"""Arguments, printing, exit codes: the only room that prints.

Data goes to stdout, everything else to stderr. One module per kind of command.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from matrix import errors
from matrix.cli.common import print_json
from matrix.cli.interrupt import Interrupt
from matrix.cli.parser import build_parser
from matrix.errors import MatrixError
from matrix.process import Stopped
from matrix.workspace import Workspace


def main(argv: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run one command; returns its exit code (`errors.EXIT_CODES`)."""
    env = os.environ if env is None else env
    arguments = build_parser().parse_args(argv)
    stop = Interrupt()
    workspace = Workspace(
        file=arguments.file,
        results=arguments.results or arguments.file.parent / "results",
        env=env,
        stop=stop,
    )
    try:
        with stop:
            code: int = arguments.command(arguments, workspace)
    except MatrixError as error:
        print(f"matrix: {error}", file=sys.stderr)
        if arguments.json:
            print_json({"error": {"code": error.exit_code, "message": str(error)}})
        return error.exit_code
    except BrokenPipeError:  # `| head` is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.OK
    except OSError as error:  # a disk that is full, wherever it was noticed
        print(f"matrix: {error}; what finished is kept", file=sys.stderr)
        return errors.InfrastructureError.exit_code
    except (KeyboardInterrupt, Stopped):
        return errors.INTERRUPTED
    return code
