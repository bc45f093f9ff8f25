"""The checks on numbers: what passes, what is wrong, and what the message says."""

import math

import pytest

from matrix.inside.numerics import (
    LEDGER,
    WrongNumbers,
    assert_close,
    assert_relative,
    poisoned,
    randn,
)

torch = pytest.importorskip("torch")


def double(*values: float):
    return torch.tensor(values, dtype=torch.float64)


def test_within_the_tolerance() -> None:
    """Absolute and relative parts add up, and the worst element is remembered."""
    LEDGER.clear()
    assert_close(double(1.05, 100.5), double(1.0, 100.0), rtol=0.01, atol=0.05)

    assert LEDGER.error == pytest.approx(0.05)
    assert LEDGER.tolerance == pytest.approx(0.06)


def test_the_message_names_the_worst_element() -> None:
    got, want = double(1, 2, 3, 9).reshape(2, 2), double(1, 2, 3, 4).reshape(2, 2)

    with pytest.raises(WrongNumbers) as caught:
        assert_close(got, want, rtol=0, atol=0.5, why="three bits")

    assert str(caught.value) == (
        "1 of 4 elements are off, worst at (1, 1): got 9, expected 4, error 5 > 0.5"
        " (rtol 0, atol 0.5): three bits"
    )
    assert (caught.value.error, caught.value.tolerance) == (5.0, 0.5)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        pytest.param(math.nan, 1.0, id="nan for a number"),
        pytest.param(1.0, math.nan, id="number for nan"),
        pytest.param(math.inf, 1.0, id="overflow"),
        pytest.param(-math.inf, math.inf, id="sign of infinity"),
        pytest.param(math.nan, math.inf, id="nan for infinity"),
    ],
)
def test_what_is_not_finite_must_be_the_same(got: float, want: float) -> None:
    with pytest.raises(WrongNumbers, match="1 of 3 elements are not finite") as caught:
        assert_close(double(0, got, 1), double(0, want, 1), rtol=1, atol=math.inf)
    assert caught.value.error == math.inf

    with pytest.raises(WrongNumbers):
        assert_relative(double(0, got, 1), double(0, want, 1), limit=1e9)


def test_equal_infinities_and_nans_are_right() -> None:
    values = double(math.nan, math.inf, -math.inf, 1)

    assert_close(values, values.clone(), rtol=0, atol=0)


def test_exact_integers() -> None:
    assert_close(torch.tensor([1, 2]), torch.tensor([1, 2]), rtol=0, atol=0)
    with pytest.raises(WrongNumbers, match="1 of 2 elements are off"):
        assert_close(torch.tensor([1, 2]), torch.tensor([1, 3]), rtol=0, atol=0)


def test_the_shape_counts() -> None:
    """No broadcasting: it would hide a missing dimension."""
    with pytest.raises(WrongNumbers, match=r"^shape is \(1,\), expected \(2,\)$"):
        assert_close(double(1), double(1, 1), rtol=0, atol=0)


def test_an_empty_tensor_is_right() -> None:
    assert_close(double(), double(), rtol=0, atol=0)


def test_relative_error() -> None:
    assert_relative(double(3, 4.1), double(3, 4), limit=0.03)
    with pytest.raises(WrongNumbers, match=r"^relative error 0\.02 > 0\.01 over 2 elements"):
        assert_relative(double(3, 4.1), double(3, 4), limit=0.01)
    with pytest.raises(WrongNumbers):
        assert_relative(double(1, 0), double(0, 0), limit=0.01)


def test_unwritten_output_shows() -> None:
    """Poison is never a plausible result."""
    assert poisoned(2, 3, device="cpu", dtype=torch.bfloat16).isnan().all()
    assert (poisoned(4, device="cpu", dtype=torch.int32) == -(2**31)).all()


def test_random_data_is_reproducible() -> None:
    one, two = (randn(torch.Generator().manual_seed(5), 3, dtype=torch.float16) for _ in "ab")

    assert torch.equal(one, two)
    assert one.dtype == torch.float16
