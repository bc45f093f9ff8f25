"""Failures in reports: one entry per root cause, its cause and fix beside it, wrong ones first."""

from dataclasses import replace

from matrix import tables
from matrix.reports import markdown, terminal
from matrix.rows import Row

HOME = "InductorError: OSError: CUDA_HOME environment variable is not set. Please set it"


def row(torch="2.9.0", feature="aoti", verdict="fail", reason=HOME, **fields):
    return Row(
        run="run1", time="2026-11-22T03:00:00Z", cell=f"torch{torch}-cpu-py3.11", torch=torch,
        variant="cpu", accelerator="cpu", python="3.11", execution="venv-cpu", backend="venv",
        runner="local", device="cpu", device_model="Xeon", provision="built",
        **{"suite": "feature", "feature": feature, "title": feature, "verdict": verdict,
           "reason": reason, "test": f"test_a.py::{feature}"} | fields,
    )  # fmt: skip


def both(*rows):
    made = tables.build(rows)
    return terminal.render(made, width=160, color=False), markdown.render(made)


def test_one_root_cause_over_twenty_cells_is_one_entry():
    """Texts differ from cell to cell, and columns from feature to feature."""
    rows = [
        row(f"2.9.{n}", reason=f"E: 0x7f{n} in /x/{n}/y.py", signature="E: <addr> in <path>")
        for n in range(20)
    ]
    rows += [replace(rows[n], feature="export", test="test_a.py::e") for n in (0, 19)]
    text, page = both(*rows)
    assert text.count("✗ fail aoti in all 20 columns; export in 2.9.0, 2.9.19\n") == 1
    assert text.count("E: 0x7f") == 1
    assert page.count("\n- ✗ fail `aoti` in `all 20 columns`; `export` in `2.9.0, 2.9.19`: ") == 1


def test_another_cause_is_another_entry():
    text, _ = both(row(signature="a"), row(feature="export", reason="boom", signature="b"))
    assert "✗ fail aoti in 2.9.0\n" in text
    assert "✗ fail export in 2.9.0\n      boom\n" in text


def test_a_known_failure_says_cause_and_fix_with_its_source():
    text, page = both(row(), row("2.10.0", verdict="pass", reason=""))
    _, entry = text.split("✗ fail aoti in 2.9.0\n")
    lines = entry.split("\n\n")[0]
    assert lines.index(HOME) < lines.index("cause: the wheels bring") < lines.index("fix: install")
    assert "[measured: torch 2.11.0 cu130" in lines
    assert "\n  - cause: the wheels bring CUDA's libraries" in page
    assert "\n  - fix: install the toolkit" in page


def test_a_refusal_needs_no_explanation():
    """Its own reason says all, whatever words it has."""
    for verdict in ("unsupported", "skip"):
        text, page = both(row(verdict=verdict))
        assert HOME in text
        assert "cause:" not in text + page


def test_a_cell_that_got_no_further_is_explained_too():
    reason = "pip: OSError: [Errno 28] No space left on device"
    text, page = both(row(verdict="infra", reason=reason, test="", feature="", suite=""))
    assert "! infra torch2.9.0-cpu-py3.11 venv-cpu\n" in text
    assert "      fix: look at `df -h`" in text
    assert "\n  - fix: look at `df -h`" in page


def test_wrong_numbers_come_before_everything():
    rows = [
        row(),
        row(feature="sdpa", verdict="wrong", reason="error 0.4 > 0.1"),
        row(suite="mine", feature="", verdict="wrong", reason="off by one", test="test_b.py::t"),
        row("2.10.0", verdict="crash", reason="SIGSEGV"),
    ]
    text, page = both(*rows)
    assert text.splitlines()[0] == (
        "≠ WRONG NUMBERS from a feature, a test of yours: computed without an error, and not right."
    )
    for report in (text, page):
        wrong, others = report.index("Wrong numbers"), report.index("Features ")
        assert wrong < report.index("error 0.4 > 0.1") < others < report.index("CUDA_HOME")
        assert wrong < report.index("off by one") < others
        assert report.count("error 0.4 > 0.1") == report.count("off by one") == 1


def test_nothing_is_wrong_without_wrong_numbers():
    """Not of what is waived either; that has its place below the table."""
    waived = row(feature="sdpa", verdict="wrong", reason="error [waived: old]", waiver="old")
    for report in both(row(), waived):
        assert "WRONG NUMBERS" not in report
        assert "Wrong numbers" not in report
        assert report.index("Features ") < report.index("error [waived: old]")


def test_refusals_in_several_folders_and_lines_are_one_entry():
    """The folder is another one in each run, and says nothing."""
    rows = [
        row(f"2.{n}.0", verdict="unsupported",
            reason=f"/tmp/matrix-{n}1442-18ea8e2093bb4c6{n}/pytest-of-me/pytest-0/a.cpp:{n}:2: no")
        for n in (8, 9)
    ]  # fmt: skip
    for report in both(*rows):
        assert report.count("<work>/a.cpp") == 1
        assert "/tmp/" not in report
