"""What of this machine an interpreter needs, to be mounted into a container at the same paths."""

import json
from collections.abc import Iterable
from pathlib import Path, PurePath

from matrix.backends import CellFailed, Context
from matrix.process import cell_environment, run

TIMEOUT = 60.0
# an image has its own; only what an interpreter keeps in them is mounted, piece by piece
_SYSTEM = frozenset(map(Path, ("/", "/usr", "/usr/local", "/bin", "/lib", "/usr/bin", "/usr/lib")))
_ASK = """
import json, os, sys, sysconfig
library = os.path.join(
    sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
shared = [library] if sysconfig.get_config_var("Py_ENABLE_SHARED") else []
print(json.dumps({
    "prefixes": [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix],
    "paths": [path for path in sys.path if path],
    "files": shared + [sys.executable, getattr(sys, "_base_executable", "") or sys.executable],
    "headers": sysconfig.get_path("include"),
}))
"""


def places(python: Path, context: Context) -> tuple[str, ...]:
    """Folders and files of an interpreter, overlays among them; raises `CellFailed`."""
    env = cell_environment(context.env, bin_dir=python.parent)
    try:
        done = run([python, "-c", _ASK], env=env, timeout=TIMEOUT, stop=context.stop)
    except OSError as error:
        raise CellFailed("infra", f"`{python}` cannot be started: {error}") from error
    try:
        told = json.loads(done.last_line)
    except ValueError:
        reason = f"`{python}` does not say where it lies (exit {done.code}: {done.last_line[:200]})"
        raise CellFailed("infra", reason) from None
    wanted = [Path(prefix) for prefix in told["prefixes"]]
    wanted += [Path(path) for path in (*told["paths"], told["headers"])]
    for file in (str(python), *told["files"]):
        wanted += _hops(Path(file))
    return outermost(path for path in wanted if path.exists() and path not in _SYSTEM)


def _hops(path: Path) -> list[Path]:
    """A program and all that its chain of links goes through."""
    hops = [path]
    while path.is_symlink() and len(hops) < 40:  # noqa: PLR2004  as the kernel
        path = path.parent / path.readlink()
        hops.append(path)
    return [*hops, path.resolve()]


def outermost(paths: Iterable[Path]) -> tuple[str, ...]:
    """The paths that lie in no other of them."""
    chosen: list[PurePath] = []
    for path in sorted(set(paths)):  # a folder sorts before what lies in it
        if not any(path.is_relative_to(other) for other in chosen):
            chosen.append(path)
    return tuple(map(str, chosen))
