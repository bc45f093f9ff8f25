"""Eight-bit floating point as the scaled products take it, for feature and workload tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Tuple

from matrix.inside.marks import Refusal

if TYPE_CHECKING:
    from torch import Tensor, dtype

NO_CPU_KERNEL = Refusal(
    "NotImplementedError",
    r"Could not run 'aten::_scaled_mm(_v2)?' with arguments from the 'CPU' backend",
    "https://github.com/pytorch/pytorch/pull/139878 added it for CPUs",
)
OLD_DEVICE = Refusal(
    "RuntimeError",
    r"(only supported on|requires).*(compute capability|MI300|gfx9)",
    "aten/src/ATen/native/cuda/ScaledBlas.cpp: CC >= 8.9, or MI300 and later",
)


def lacks(*names: str) -> Refusal:
    """Refusal of a torch that has not heard of these types or functions."""
    pattern = "|".join(names)
    return Refusal(
        "AttributeError",
        rf"module 'torch(\.nn\.functional)?' has no attribute '({pattern})'",
        "https://pytorch.org/docs/stable/tensors.html: not in this release",
    )


SCALED_MM = (lacks("float8_e4m3fn", "float8_e4m3fnuz", "_scaled_mm"), NO_CPU_KERNEL, OLD_DEVICE)
"""How `torch._scaled_mm` refuses."""


def e4m3() -> dtype:
    """What this device multiplies: AMD's gfx94x has an e4m3 of its own."""
    import torch  # noqa: PLC0415 - not every user of this package has torch

    if torch.version.hip and torch.cuda.is_available():
        arch = torch.cuda.get_device_properties(0).gcnArchName
        return torch.float8_e4m3fnuz if "gfx94" in arch else torch.float8_e4m3fn
    return torch.float8_e4m3fn


def quantised(values: Tensor, kind: dtype, dim: int | None = None) -> Tuple[Tensor, Tensor]:
    """fp8 codes and the float32 scale that gives the values back, per tensor or along ``dim``."""
    import torch  # noqa: PLC0415 - not every user of this package has torch

    peak = values.abs().max() if dim is None else values.abs().amax(dim, keepdim=True)
    scale = (peak / torch.finfo(kind).max).float()
    return (values.double() / scale.double()).float().to(kind), scale


def scaled_mm(
    a: Tensor, b: Tensor, scale_a: Tensor, scale_b: Tensor, *, fast: bool = False
) -> Tensor:
    """The bfloat16 product of codes; ``b`` is laid out column by column, as the units want it.

    Before torch 2.5 the function also returned the largest magnitude of the result; before 2.2 it
    knew no ``use_fast_accum``, which is therefore named only where it is asked for.
    """
    import torch  # noqa: PLC0415 - not every user of this package has torch

    columns = b.t().contiguous().t()
    options = {"use_fast_accum": True} if fast else {}
    out = torch._scaled_mm(  # noqa: SLF001 - the name that engines call
        a, columns, scale_a=scale_a, scale_b=scale_b, out_dtype=torch.bfloat16, **options
    )
    return out[0] if isinstance(out, tuple) else out
