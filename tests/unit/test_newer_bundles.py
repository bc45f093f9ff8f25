"""Bundles of a newer version: each command that reads evidence names them."""

import json

import pytest
from stores import feature, keep

WHY = "run.json is of schema 99, this version reads 1: update torch-matrix"


@pytest.fixture
def newer(tmp_path, matrix_file):
    """Leave a bundle of a newer version."""
    matrix_file('[[torch]]\nversion = "2.6.0"\nvariants = ["cpu"]')

    def make(**more):
        run = keep(tmp_path / "results", feature("b"), **more)
        path = tmp_path / "results" / "local" / "runs" / run / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
        return path.parent

    return make


COMMANDS = [("report",), ("query", "select * from rows"), ("claims",), ("history", "a"), ("guide",)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_bundle_of_a_newer_schema_is_named_beside_others(tmp_path, run_cli, newer, command):
    keep(tmp_path / "results", feature("a"))
    path = newer(night=2)
    done = run_cli(*command)
    assert f"matrix: {path} is left out: {WHY}\n" in done.err
    assert "b" not in done.out.split()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_store_of_newer_bundles_alone_is_not_empty(tmp_path, run_cli, newer, command):
    path = newer()
    done = run_cli(*command)
    assert done.code == 3
    assert done.err == (
        f"matrix: {path} is left out: {WHY}\n"
        f"matrix: none of the results in `{tmp_path / 'results'}` could be read\n"
    )


def test_runs_that_cannot_be_read_are_not_compared(tmp_path, run_cli, newer):
    first = keep(tmp_path / "results", feature("a"))
    path = newer(night=2)
    done = run_cli("diff", first, path.name)
    assert done.code == 2
    assert WHY in done.err
