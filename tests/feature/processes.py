"""Running a script of ``children`` in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

CHILDREN = Path(__file__).parent / "children"


def run_child(name, *arguments, **variables):
    """The JSON value that ``children/NAME.py`` prints last; ``variables`` join its environment.

    Fails with the last thing it said if it ends with anything but 0, or not within 110 s.
    """
    done = subprocess.run(
        [sys.executable, str(CHILDREN / f"{name}.py"), *arguments],
        env=dict(os.environ, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    sys.stderr.write(done.stderr)
    assert done.returncode == 0, f"{name}.py {ending(done)}"
    return json.loads(done.stdout.splitlines()[-1])


def ending(done):
    """How a process ended, and its last line on stderr."""
    code = done.returncode
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    return f"{how}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
