"""`report --html` and `--picture`: what is written where, and every mistake at once."""

import json

import pytest

from matrix import errors
from matrix.reports.page import vega

ONE_CELL = """
[[torch]]
version = ["2.6.0", "2.7.0"]
variants = ["cpu"]
python = ["3.11"]
[profiles.default]
suites = ["feature"]
"""


@pytest.fixture(autouse=True)
def _no_library(monkeypatch):
    """Its JavaScript takes seconds to make."""
    monkeypatch.setattr(vega, "library", lambda: "window.vegaEmbed = 1;")


@pytest.fixture
def ran(run_cli, record, matrix_file, world):
    """Run the commands after a run of one feature."""
    matrix_file(ONE_CELL)
    recording = record(world.outcome("test_a.py::t", feature="bf16", title="bfloat16"))
    run_cli("run", "--backend", "replay", "--recording", recording, "--select", "torch==2.6.0")
    return run_cli


def test_a_page_is_written_instead_of_printed(ran, tmp_path):
    path = tmp_path / "new" / "page.html"
    done = ran("report", "--html", path)
    assert (done.code, done.out) == (errors.OK, "")
    assert done.err.startswith(f"page: {path} (0.")
    text = path.read_text()
    assert "bfloat16" in text
    assert '"word":"not-run"' in text  # 2.7.0 is in the matrix file
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_with_json_and_out_all_of_them_are_made(ran, tmp_path):
    done = ran("report", "--json", "--html", tmp_path / "p.html", "--out", tmp_path / "out")
    assert [row["feature"] for row in json.loads(done.out)] == ["bf16"]
    assert (tmp_path / "p.html").is_file()
    assert (tmp_path / "out" / "README.md").is_file()


def test_a_page_of_one_run_says_so(ran, tmp_path):
    ran("report", "latest", "--html", tmp_path / "p.html")
    assert "Only run 2" in (tmp_path / "p.html").read_text()


def test_all_mistakes_are_told_at_once(ran, tmp_path):
    done = ran("report", "--html", tmp_path, "--picture", "x.gif", "--profile", "nope")
    assert done.code == errors.InputError.exit_code
    for said in (f"`{tmp_path}` is a folder", "`x.gif` must end with .svg or .png", "`nope`"):
        assert said in done.err


def test_a_chart_needs_a_picture(ran):
    done = ran("report", "--chart", "ratios")
    assert done.code == errors.InputError.exit_code
    assert "`--chart` needs `--picture`" in done.err


def test_without_anything_to_draw_there_is_no_picture(ran, tmp_path):
    done = ran("report", "--picture", tmp_path / "x.svg", "--chart", "curves")
    assert done.code == errors.NothingToRun.exit_code
    assert "nothing that the chart `curves` could show" in done.err
    assert not (tmp_path / "x.svg").exists()


def test_a_place_that_cannot_be_written_is_told(ran, tmp_path):
    (tmp_path / "file").write_text("")
    done = ran("report", "--html", tmp_path / "file" / "p.html")
    assert done.code == errors.InfrastructureError.exit_code
    assert str(tmp_path / "file") in done.err


def test_published_results_keep_what_was_flaky(ran, tmp_path, monkeypatch, record, world):
    """Without results of this machine, published ones are shown with their earlier runs."""
    from matrix import plan  # noqa: PLC0415

    monkeypatch.setattr(plan, "recipe", lambda *_: "the same")
    for verdict in ("pass", "fail"):
        recording = record(world.outcome("test_a.py::t", verdict, feature="bf16", title="b"))
        ran("run", "--backend", "replay", "--recording", recording, "--rerun", "all",
            "--select", "torch==2.6.0")  # fmt: skip
        ran("report", "--publish", "latest")
    (tmp_path / "results" / "local").rename(tmp_path / "elsewhere")
    assert "flaky" in ran("report", "--format", "markdown").out
