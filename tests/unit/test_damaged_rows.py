"""A suite whose rows cannot be read: a report shows that it is missing."""

import json

import pytest
from stores import feature, keep


@pytest.fixture
def damaged(tmp_path, matrix_file):
    """Leave two cells in a run, of which one's rows are cut."""
    matrix_file('[[torch]]\nversion = ["2.6.0", "2.7.0"]\nvariants = ["cpu"]')
    run = keep(tmp_path / "results", feature("a"), feature("a", torch="2.7.0"))
    folder = tmp_path / "results" / "local" / "runs" / run
    [path] = folder.glob("cells/torch2.7.0*/*/*/rows.parquet")
    path.write_bytes(b"cut")
    return path


@pytest.mark.parametrize("options", [(), ("--format", "markdown")])
def test_a_report_counts_what_is_damaged(damaged, run_cli, options):
    done = run_cli("report", *options)
    assert "1 pass (1 feature in 1 execution); without results: 1 damaged." in done.out
    assert "rows.parquet cannot be read" in done.out
    assert "torch2.7.0-cpu-py3.11" in done.out
    assert f"matrix: `{damaged}` is left out: " in done.err


def test_rows_as_json_have_a_line_for_what_is_damaged(damaged, run_cli):
    done = run_cli("report", "--json")
    found = {row["cell"]: row for row in json.loads(done.out)}
    lost = found["torch2.7.0-cpu-py3.11"]
    assert (lost["verdict"], lost["suite"], lost["device"]) == ("damaged", "feature", "cpu")
    assert f"matrix: `{damaged}` is left out: " in done.err


def test_a_run_of_damaged_rows_alone_says_so(damaged, run_cli):
    done = run_cli("report", "--select", "torch==2.7")
    assert "No results: 1 damaged." in done.out
    assert done.code == 0
