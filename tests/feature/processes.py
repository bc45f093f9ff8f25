"""Running a script of ``children`` in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

CHILDREN = Path(__file__).parent / "children"


def run_child(name, *arguments, **variables):
    """The JSON object that ``children/NAME.py`` prints last; ``variables`` join its environment.

    Fails if it ends with anything but 0, or not within 110 s.
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
    assert done.returncode == 0, (done.returncode, done.stderr.strip().splitlines()[-1:])
    return json.loads(done.stdout.splitlines()[-1])
