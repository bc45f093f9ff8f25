"""`base build`: a base image for cells where no registry can be reached."""

import argparse
import sys
from dataclasses import asdict

from matrix import errors
from matrix.cli.printing import print_json
from matrix.workspace import Workspace


def base_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Make the base image and say how it is used."""
    from matrix.engines import bases
    from matrix.engines.connection import connect
    from matrix.engines.tunnel import NoEngine

    def note(text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    try:
        engine = connect("", workspace.env)
    except NoEngine as error:
        raise errors.InfrastructureError(str(error)) from error
    with engine:
        made = bases.make(engine.client, env=workspace.env, stop=workspace.stop, note=note)
    if arguments.json:
        print_json(asdict(made))
    else:
        print(
            f"{made.name}: Debian {bases.SUITE}, Python {made.python}, g++; "
            f"{made.size / 1e6:.0f} MB, {made.seconds:.0f} s with {made.tool}. Cells of Python "
            f"{made.python} are built on it where no other base is there; to name it: "
            f'[images] cpu = "{made.name}" in {workspace.file.name}'
        )
    return errors.OK
