"""What is shown of a suite whose rows are lost: that it ran, and that they cannot be read."""

from matrix.accelerators import accelerator_of
from matrix.cells import parse_companion, parse_id
from matrix.entries import Entry
from matrix.rows import Row

DAMAGED = "damaged"
REASON = "rows.parquet cannot be read; `python -m matrix run --rerun all` measures it again"


def damaged_row(entry: Entry) -> Row:
    """A row of the suite's cell in place of those that cannot be read; no bundle ever has it."""
    torch, variant, python = parse_id(entry.cell) or ("", "", "")
    package, version = parse_companion(entry.cell) or ("", "")
    accelerator = accelerator_of(variant)
    return Row(
        run=entry.run,
        time=entry.started,
        cell=entry.cell,
        torch=torch,
        variant=variant,
        accelerator=accelerator.NAME if accelerator else "",
        python=python,
        companions=f"{package}=={version}" if package else "",
        execution=entry.execution,
        backend=entry.execution.partition("-")[0],
        runner="",
        device=entry.execution.rpartition("-")[2],
        device_model=entry.device_model,
        recipe=entry.recipe,
        suite=entry.suite,
        verdict=DAMAGED,
        reason=REASON,
    )
