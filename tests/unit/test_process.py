"""What a cell's processes see of the caller's environment (starting programs: integration)."""

from pathlib import Path

import pytest

from matrix.process import Completed, cell_environment


@pytest.mark.parametrize(
    "name",
    ["PYTHONPATH", "PYTHONHOME", "PYTEST_ADDOPTS", "COVERAGE_FILE", "NOX_CURRENT_SESSION",
     "VIRTUAL_ENV", "CONDA_PREFIX", "PYENV_VERSION"],
)  # fmt: skip
def test_the_callers_python_does_not_leak_into_a_cell(name):
    assert cell_environment({name: "x", "HOME": "/h"}) == {"HOME": "/h"}


def test_a_cells_programs_come_first():
    env = cell_environment({"PATH": "/usr/bin"}, bin_dir=Path("/env/bin"))
    assert env == {"PATH": "/env/bin:/usr/bin", "VIRTUAL_ENV": "/env"}


@pytest.mark.parametrize(
    ("output", "line"),
    [
        pytest.param("a\nb\n\n  \n", "b", id="blank-lines-say-nothing"),
        pytest.param("", "", id="silence"),
    ],
)
def test_the_last_line_that_says_something(output, line):
    assert Completed(code=1, output=output, seconds=0.0, timed_out=False).last_line == line
