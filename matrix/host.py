"""Which cell an existing interpreter is, for the `host` backend."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from matrix import facts, resources
from matrix.backends.interpreter import PROBE_TIMEOUT
from matrix.cells import Cell, select
from matrix.errors import InputError, NothingToRun
from matrix.identity import probed_variant
from matrix.process import cell_environment, run
from matrix.records import read_probe
from matrix.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """An existing interpreter: the cell it is, and a hash of where it lies and what it holds.

    With companions of the matrix file installed it can be measured as other cells too: `others`.
    """

    python: Path
    cell: Cell
    identity: str
    others: tuple[Cell, ...] = ()

    def chosen(self, selections: Sequence[str], *, once: bool = False) -> "list[Host]":
        """The interpreter as each cell that is selected; without a selection as the plain one.

        `once` as one of them, with a companion if it can: two cells that are compared differ.
        Raises `NothingToRun` where it is none of them.
        """
        cells = select((self.cell, *self.others), selections) if selections else (self.cell,)
        if once:
            cells = cells[-1:]
        if not cells:
            names = " or ".join(cell.id for cell in (self.cell, *self.others))
            message = f"`{self.python}` is {names}, which the selection leaves out"
            raise NothingToRun(message)
        return [replace(self, cell=cell, others=()) for cell in cells]


def probe_of(python: Path, workspace: Workspace) -> dict[str, Any]:
    """What an interpreter is, with its `errors`; raises `InputError` where it cannot be asked."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "probe.json"
        env = cell_environment(workspace.env, bin_dir=python.parent)
        env["PYTHONPATH"] = str(resources.PACKAGE.parent)
        try:
            done = run([python, "-m", "matrix.inside.probe", out], env=env,
                       timeout=PROBE_TIMEOUT, stop=workspace.stop)  # fmt: skip
        except OSError as error:
            raise InputError(f"`{python}` cannot be probed", [str(error)]) from None
        probe = read_probe(out)
    if not probe:
        raise InputError(f"`{python}` cannot be probed", [done.last_line or "it left no report"])
    return {**probe, "errors": probe.get("errors") or [done.last_line]}


def no_torch(probe: Mapping[str, Any]) -> str:
    """Why there is no torch in an interpreter's identity."""
    return f"`import torch` failed: {probe['errors'][0]}"


def look_at(python: Path, workspace: Workspace) -> Host:
    """Probe an interpreter; raises `InputError` where it has no working torch or no pytest."""
    probe = probe_of(python, workspace)
    problems = []
    if not probe.get("torch"):
        problems.append(no_torch(probe))
    have = {name.lower() for name in probe.get("packages") or {}}
    problems += [
        f"`{name}` is missing; `{python} -m pip install {name}`"
        for name in ("pytest", "pytest-benchmark")
        if name not in have
    ]
    problems += [f"its probe does not say `{n}`" for n in ("python", "device") if not probe.get(n)]
    if problems:
        raise InputError(f"`{python}` cannot be a cell:", problems)
    version = ".".join(str(probe["python"]).split(".")[:2])
    cell = Cell(
        torch=str(probe["torch"]).partition("+")[0],
        variant=probed_variant(probe),
        python=version + ("t" if probe.get("free_threaded") else ""),
        device=probe["device"],
    )
    # an environment's python is a link to another's: both the folder and the target say which
    place = [str(python.parent.resolve() / python.name), str(python.resolve()), probe["python"]]
    packages = sorted((probe.get("packages") or {}).items())
    identity = hashlib.sha256(repr((place, packages)).encode()).hexdigest()[:16]
    beside = dict.fromkeys(
        f"{companion.package}=={version.partition('+')[0]}"
        for companion in workspace.definition.companions
        if companion.torch.contains(facts.version(cell.torch), prereleases=True)
        for name, version in packages
        if name == canonicalize_name(companion.package)
    )
    others = tuple(replace(cell, companions=(each,)) for each in beside)
    return Host(python=python, cell=cell, identity=identity, others=others)
