"""The long table: what one row is, which verdicts there are, and rows as Parquet."""

import functools
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

SCHEMA = 1


class Verdict(StrEnum):
    """What one test did in one cell, or why a cell has no test outcomes."""

    PASS = "pass"  # noqa: S105  a verdict
    WRONG = "wrong"
    UNSUPPORTED = "unsupported"
    FAIL = "fail"
    CRASH = "crash"
    TIMEOUT = "timeout"
    OOM = "oom"
    SKIP = "skip"
    EXCLUDED = "excluded"
    UNINSTALLABLE = "uninstallable"
    BUILD_FAILED = "build-failed"
    NO_RUNNER = "no-runner"
    INFRA = "infra"
    NOT_RUN = "not-run"
    STALE = "stale"


TEST_VERDICTS = frozenset(
    {"pass", "wrong", "unsupported", "fail", "crash", "timeout", "oom", "skip", "not-run"}
)
BAD = frozenset({"wrong", "fail", "crash", "timeout", "oom", "uninstallable", "build-failed"})
WAIVED = "waived"
SAME_TEST = ("cell", "execution", "device_model", "provision", "suite", "test", "recipe")
"""Fields of a row that make two outcomes those of one test under one recipe."""
NOT_EVIDENCE = frozenset({"infra", "not-run", "no-runner"})
FIRST, AGAIN = "first", "again"
FEWEST_ROUNDS = 3
"""Rounds that tell how processes differ."""
STEADY = {"cpu": 0.05, "cuda": 0.01, "rocm": 0.01}
"""How far rounds of a steady series may vary (standard deviation by mean) to be a number."""
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the long table: a test's outcome, one metric, or a cell that got no further.

    A metric row has a `metric` and no verdict; a cell-level row has no `test`. `samples` are in
    `unit`, `kind` is `steady`, `once` or `size`, `duration` in seconds, sizes in bytes (`peak_rss`
    is of the suite's largest process), `power_limit` in watts, `time` in UTC. `compiling`,
    `children` and `importing` are the parts of `duration` that went into compilers, child
    processes and modules. `compile_cache` says what the suite began with: `cold`, `warm`, `pulled`
    (from a remote, warm too), or `off` (one of its own, cold too). A suite that ran in several
    fresh processes has a `round` for each, from 1. In a comparison `side` is `before` or `after`:
    rounds of one number ran one after the other, and those of the `phase` `again` repeat what the
    `first` ones showed. `clock_mhz`, `power_w` and `temperature_c` are medians of what a GPU said
    around the samples, `limited_by` is what held its clock back.
    """

    schema: int = SCHEMA
    run: str = ""
    time: str = ""
    cell: str
    torch: str
    variant: str
    accelerator: str
    python: str
    companions: str = ""
    execution: str
    backend: str
    runner: str
    device: str
    device_model: str = ""
    driver: str = ""
    power_limit: float | None = None
    recipe: str = ""
    evidence: str = ""
    provision: str = ""
    install_bytes: int | None = None
    image_bytes: int | None = None
    peak_rss: int | None = None
    base: str = ""
    builder: str = ""
    suite: str = ""
    test: str = ""
    feature: str = ""
    workload: str = ""
    title: str = ""
    params: str = "{}"
    verdict: str = ""
    reason: str = ""
    signature: str = ""
    waiver: str = ""
    duration: float | None = None
    compiling: float | None = None
    children: float | None = None
    importing: float | None = None
    compile_cache: str = ""
    metric: str = ""
    unit: str = ""
    better: str = ""
    kind: str = ""
    samples: tuple[float, ...] = ()
    median: float | None = None
    spread: float | None = None
    clock_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    limited_by: str = ""
    source: str = ""
    round: int = 0
    phase: str = ""
    side: str = ""


ROW_FIELDS = tuple(field.name for field in fields(Row))


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows as Parquet."""
    import pyarrow.json as pj  # noqa: PLC0415  200 ms that `list` and `plan` do not need
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = arrow_schema()
    # through JSON: `from_pylist` would import pandas, half a second in every run
    lines = "\n".join(json.dumps(asdict(row)) for row in rows).encode()
    table = (
        pj.read_json(
            io.BytesIO(lines),
            read_options=pj.ReadOptions(block_size=len(lines) + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema),
        )
        if lines
        else schema.empty_table()
    )
    pq.write_table(table, path, compression="zstd")


@functools.cache
def arrow_schema() -> Any:  # noqa: ANN401  pyarrow has no types
    """The columns of the long table as an Arrow schema."""
    import pyarrow as pa  # noqa: PLC0415

    kinds = {
        "int": pa.int64(),
        "str": pa.string(),
        "float | None": pa.float64(),
        "int | None": pa.int64(),
        "tuple[float, ...]": pa.list_(pa.float64()),
    }
    return pa.schema([(f.name, kinds[_annotation(f.type)]) for f in fields(Row)])


def _annotation(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
