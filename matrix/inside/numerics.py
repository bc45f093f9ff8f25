"""Reference numerics: what makes an outcome `pass` rather than only "it ran"."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor, dtype
    from torch import device as Device  # noqa: N812 - beside parameters called device


class WrongNumbers(AssertionError):  # noqa: N818 - the verdict is called `wrong`
    """The test ran, but its numbers are not those of the reference."""

    def __init__(self, message: str, *, error: float, tolerance: float) -> None:
        super().__init__(message)
        self.error = error
        self.tolerance = tolerance


class Ledger:
    """The check that came nearest to its tolerance in the running test; the plugin reports it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin a test."""
        self.error: float | None = None
        self.tolerance: float | None = None

    def note(self, error: float, tolerance: float) -> None:
        """Remember a check if it is the nearest to its tolerance so far."""
        if self.error is None or _share(error, tolerance) > _share(self.error, self.tolerance):
            self.error, self.tolerance = error, tolerance


LEDGER = Ledger()


def assert_close(
    actual: Tensor, expected: Tensor, *, rtol: float, atol: float, why: str = ""
) -> None:
    """Require ``|actual - expected| <= atol + rtol * |expected|`` for every element.

    ``expected`` is the float64 (or exact integer) reference, of the same shape. A NaN or an
    infinity is right only where the reference has the same one. ``why`` says in the message where
    the tolerance comes from. Raises :class:`WrongNumbers`.
    """
    got, want = _float64(actual), _float64(expected)
    _same_shape(got, want)
    if got.numel() == 0:
        return
    odd = _first_odd(got, want)
    if odd is not None:
        at, count = odd
        _fail(
            f"{count} of {got.numel()} elements are not finite where the reference is (or the other"
            f" way round), first at {at}: got {got[at].item()}, expected {want[at].item()}",
            error=math.inf, tolerance=atol, why=why,
        )  # fmt: skip
    finite = want.isfinite()
    error = (got - want).abs().where(finite, want.new_zeros(()))
    allowed = (atol + rtol * want.abs()).where(finite, want.new_full((), math.inf))
    share = (error / allowed).where(error > 0, want.new_zeros(()))
    worst = int(share.flatten().argmax().item())
    worst_error, worst_allowed = error.flatten()[worst].item(), allowed.flatten()[worst].item()
    LEDGER.note(worst_error, worst_allowed)
    bad = int((error > allowed).sum().item())
    if bad:
        at = _index(worst, tuple(got.shape))
        _fail(
            f"{bad} of {got.numel()} elements are off, worst at {at}: got {got[at].item():.9g},"
            f" expected {want[at].item():.9g}, error {worst_error:.3g} > {worst_allowed:.3g}"
            f" (rtol {rtol:g}, atol {atol:g})",
            error=worst_error, tolerance=worst_allowed, why=why,
        )  # fmt: skip


def assert_relative(actual: Tensor, expected: Tensor, *, limit: float, why: str = "") -> None:
    """Require ``||actual - expected|| / ||expected|| <= limit`` in the Frobenius norm.

    For arithmetic such as fp8 whose single elements may be far off while the product as a whole
    is sound. Raises :class:`WrongNumbers`.
    """
    got, want = _float64(actual), _float64(expected)
    _same_shape(got, want)
    scale = want.norm().item()
    error = (got - want).norm().item() / scale if scale else got.norm().item()
    if math.isnan(error):
        error = math.inf
    LEDGER.note(error, limit)
    if error > limit:
        _fail(
            f"relative error {error:.3g} > {limit:g} over {got.numel()} elements",
            error=error, tolerance=limit, why=why,
        )  # fmt: skip


def randn(
    rng: Generator, *shape: int, device: Device | str = "cpu", dtype: dtype | None = None
) -> Tensor:
    """Standard normal values of ``rng`` (always drawn on the CPU, so alike on every device)."""
    import torch  # noqa: PLC0415 - not every user of this package has torch

    values = torch.randn(*shape, generator=rng, dtype=torch.float64)
    return values.to(dtype=dtype or torch.float32).to(device)


def drawn(rng: Generator, *shape: int, device: Device | str, dtype: dtype | None = None) -> Tensor:
    """Standard normal values drawn on the device itself: for inputs too large to bring there.

    ``rng`` seeds them; the same seed gives other values on another device.
    """
    import torch  # noqa: PLC0415 - not every user of this package has torch

    seed = int(torch.randint(2**31, (), generator=rng))
    own = torch.Generator(device).manual_seed(seed)
    return torch.randn(*shape, generator=own, device=device, dtype=dtype or torch.float32)


def poisoned(*shape: int, device: Device | str, dtype: dtype) -> Tensor:
    """An output buffer full of NaN (or the smallest integer), so that unwritten parts show."""
    import torch  # noqa: PLC0415 - not every user of this package has torch

    floating = dtype.is_floating_point or dtype.is_complex
    fill = math.nan if floating else torch.iinfo(dtype).min
    return torch.full(shape, fill, device=device, dtype=dtype)


def _float64(values: Tensor) -> Tensor:
    import torch  # noqa: PLC0415 - not every user of this package has torch

    return torch.as_tensor(values).detach().cpu().to(torch.float64)


def _same_shape(got: Tensor, want: Tensor) -> None:
    if got.shape != want.shape:
        message = f"shape is {tuple(got.shape)}, expected {tuple(want.shape)}"
        _fail(message, error=math.inf, tolerance=0.0, why="")


def _first_odd(got: Tensor, want: Tensor) -> tuple[tuple[int, ...], int] | None:
    same = (got == want) | (got.isnan() & want.isnan())
    odd = ~(got.isfinite() & want.isfinite()) & ~same
    if not odd.any():
        return None
    first = int(odd.flatten().int().argmax().item())
    return _index(first, tuple(got.shape)), int(odd.sum().item())


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    at: list[int] = []
    for size in reversed(shape):
        flat, rest = divmod(flat, size)
        at.append(rest)
    return tuple(reversed(at))


def _share(error: float | None, tolerance: float | None) -> float:
    if error is None or tolerance is None:
        return -1.0
    if tolerance:
        return error / tolerance
    return math.inf if error else 0.0


def _fail(message: str, *, error: float, tolerance: float, why: str) -> None:
    LEDGER.note(error, tolerance)
    text = f"{message}: {why}" if why else message
    raise WrongNumbers(text, error=error, tolerance=tolerance)
