"""Which results would be measured again today, and what changed since they were."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.entries import Entry


def stale(workspace: Workspace, entries: Iterable["Entry"]) -> dict[tuple[str, str], str]:
    """(cell, execution) → what changed, such as `feature (tests)`.

    Of this machine's results in uv environments, of cells and suites that the matrix file still
    has: what a container, an interpreter or a recording would come from today is not looked up
    here. A result that any profile would take as fresh is fresh.
    """
    from matrix import setups
    from matrix.plan import make_plan
    from matrix.recipes import changed

    setup = setups.venv(workspace)
    local = workspace.store.folders[0]
    known = {entry.key: entry for entry in entries if (local / entry.run).is_dir()}
    names = {entry.suite for entry in known.values()}
    cells = [c for c in workspace.expansion.cells if c.id in {cell for cell, _, _ in known}]
    suites = [s for name, s in workspace.definition.suites.items() if name in names]
    found: dict[tuple[str, str, str], str] = {}
    fresh: set[tuple[str, str, str]] = set()
    for waivers in {profile.waivers for profile in workspace.definition.profiles.values()}:
        plan = make_plan(cells, suites, setup.inventory, known.values(), backend=setup.name,
                         origin=setup.origin, waivers=waivers, rerun="all")  # fmt: skip
        for job in plan.jobs:
            for run in job.suites:
                key = (job.cell.id, job.execution, run.suite.name)
                if key in known and (what := changed(known[key].recipe, run.recipe)):
                    found[key] = what
                else:
                    fresh.add(key)
    said: dict[tuple[str, str], list[str]] = {}
    for (cell, execution, suite), what in sorted(found.items()):
        if (cell, execution, suite) not in fresh:
            said.setdefault((cell, execution), []).append(f"{suite} ({what})")
    return {place: ", ".join(texts) for place, texts in said.items()}
