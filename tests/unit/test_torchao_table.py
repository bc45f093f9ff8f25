"""torchao x torch: what was measured stands beside what is published."""

import pytest

from matrix import tables
from matrix.reports import torchao as report
from matrix.rows import Row


def row(torchao, torch, feature="torchao-int8wo-config", verdict="pass", **fields):
    default = {
        "run": "run1",
        "time": "2026-11-22T03:00:00Z",
        "cell": f"torch{torch}-cpu-py3.11-torchao{torchao}",
        "torch": torch,
        "variant": "cpu",
        "accelerator": "cpu",
        "python": "3.11",
        "companions": f"torchao=={torchao}",
        "execution": "venv-cpu",
        "backend": "venv",
        "runner": "local",
        "device": "cpu",
        "suite": "torchao",
        "feature": feature,
        "test": f"test_torchao.py::{feature}",
        "verdict": verdict,
    }
    return Row(**(default | fields))


def differences(*rows):
    table = tables.torchao_table(tables.frame(rows))
    return {(r.torchao, r.torch): r.difference for r in table.itertuples() if r.device}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([row("0.14.1", "2.9.0")], "", id="declared-and-works"),
        pytest.param(
            [row("0.14.1", "2.9.0"), row("0.14.1", "2.9.0", "torchao-fp8wo-config", "wrong")],
            "declared, does not work",
            id="one-wrong-number-is-enough",
        ),
        pytest.param(
            [row("0.14.1", "2.9.0", verdict="unsupported")],
            "declared, does not work",
            id="nothing-passed",
        ),
        pytest.param(
            [row("0.14.1", "2.9.0"), row("0.14.1", "2.9.0", "", "fail", test="companion::torchao")],
            "declared, does not work",
            id="does-not-import",
        ),
        pytest.param([row("0.14.1", "2.13.0")], "works, not declared", id="more-than-declared"),
        pytest.param([row("0.14.1", "2.13.0", verdict="fail")], "", id="nobody-said-it-works"),
    ],
)
def test_a_difference_is_where_measured_and_published_disagree(rows, expected):
    assert list(differences(*rows).values()) == [expected]


def test_published_pairs_that_were_not_measured_say_so():
    table = tables.torchao_table(tables.frame([row("0.14.1", "2.9.0")]))
    line = next(r for r in table.itertuples() if (r.torchao, r.torch) == ("0.14.1", "2.8.0"))
    assert (line.declared, line.difference) == ("works", "not measured")


def test_without_torchao_there_is_no_table():
    assert tables.torchao_table(tables.frame([])).empty
    plain = row("0.14.1", "2.9.0", "matmul", companions="", cell="torch2.9.0-cpu-py3.11")
    assert tables.torchao_table(tables.frame([plain])).empty


def test_the_report_lists_the_differences():
    made = tables.build([row("0.14.1", "2.9.0"), row("0.14.1", "2.13.0")])
    text = report.render(made.torchao)
    assert "2 measured, 1 differ from what is declared:" in text
    assert "- `torchao 0.14.1` works, not declared: torch `2.13.0`" in text
    on_gpu = row("0.14.1", "2.13.0", device="cuda", execution="host-cuda")
    text = report.render(tables.build([row("0.14.1", "2.13.0"), on_gpu]).torchao)
    assert "torch `2.13.0`, `2.13.0` (cuda)" in text


def test_the_grid_shows_both_side_by_side():
    """A refusal that was declared is no failure; what nobody ran is no pass."""
    failed = row("0.14.1", "2.13.0", "torchao-fp8wo-config", "crash")
    made = tables.build([row("0.14.1", "2.9.0"), row("0.14.1", "2.13.0"), failed])
    head, _, *lines = report.render(made.torchao).split("\n\n")[2].splitlines()
    [line] = [line for line in lines if "`0.14.1`" in line]
    told = dict(zip(head.split(" | "), line.split(" | "), strict=True))
    assert {torch: told[f"`{torch}`"] for torch in ("2.8.0", "2.9.0")} == {
        "2.8.0": "? works",
        "2.9.0": "✓ built",
    }
    assert line.endswith("☠ |")
