"""Every expected failure is one root with one exit code, and its text is the whole message."""

import pytest

from matrix import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        pytest.param(errors.InputError, 2, id="input"),
        pytest.param(errors.NothingToRun, 3, id="nothing-to-run"),
        pytest.param(errors.InfrastructureError, 4, id="infrastructure"),
    ],
)
def test_each_kind_has_its_exit_code(kind, code):
    assert kind.exit_code == code
    assert issubclass(kind, errors.MatrixError)
    assert code in errors.EXIT_CODES


def test_an_input_error_lists_every_mistake():
    error = errors.InputError("`matrix.toml` has 2 mistake(s):", ["torch: a", "suites.x: b"])
    assert str(error) == "`matrix.toml` has 2 mistake(s):\n  - torch: a\n  - suites.x: b"
    assert error.problems == ["torch: a", "suites.x: b"]


def test_every_exit_code_is_explained():
    assert set(errors.EXIT_CODES) == {0, 1, 2, 3, 4, 130}
