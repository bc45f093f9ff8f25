"""Where a suite's time went, as a run says it at its end."""

from dataclasses import replace

from matrix.entries import Entry
from matrix.reports import costs
from matrix.rows import Row

ENTRY = Entry(
    run="r", cell="torch2.6.0-cpu-py3.11", execution="venv-cpu", suite="feature", recipe="x",
    seconds=11.0, costs={"compiling": 6.0, "children": 2.0, "starting": 1.5, "importing": 0.5},
)  # fmt: skip


def row(feature, duration, **more):
    return Row(
        cell=ENTRY.cell, torch="2.6.0", variant="cpu", accelerator="cpu", python="3.11",
        execution=ENTRY.execution, backend="venv", runner="local", device="cpu", suite=ENTRY.suite,
        test=f"t::{feature}", feature=feature, verdict="pass", duration=duration, **more,
    )  # fmt: skip


def test_a_block_adds_up_and_names_the_slowest():
    rows = [row(f"f{number}", float(number), compile_cache="warm") for number in range(7)]
    assert costs.render([ENTRY], [*rows, row("f6", 1.0)]) == (
        "time of torch2.6.0-cpu-py3.11 venv-cpu feature: 11.0 s = 6.0 compiling + 2.0 child"
        " processes + 1.5 process starts + 0.5 later imports + 1.0 other (1.10 × the sum without"
        " it); compile cache warm\n"
        "  slowest: f6 7.0 s, f5 5.0 s, f4 4.0 s, f3 3.0 s, f2 2.0 s"
    )


def test_a_suite_that_does_not_say_has_no_block():
    assert not costs.render([replace(ENTRY, costs={})], [row("f", 1.0)])


def test_other_suites_rows_are_left_out():
    stranger = replace(row("stranger", 99.0), suite="throughput")
    assert "stranger" not in costs.render([ENTRY], [stranger, row("f", 1.0)])
