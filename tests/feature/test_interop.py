"""Sharing memory with other libraries: DLPack and NumPy."""

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, randn


@feature(
    "dlpack-bf16",
    "DLPack exchange of bfloat16",
    purpose="Handing tensors to kernels of other libraries (FlashInfer, TVM, CuTe) without a copy.",
)
def test_dlpack(device, rng):
    """The consumer sees the same memory, not a copy."""
    values = randn(rng, 32, 5, device=device, dtype=torch.bfloat16)
    shared = torch.from_dlpack(values)
    assert shared.data_ptr() == values.data_ptr()
    assert shared.dtype == torch.bfloat16
    values.mul_(2)
    assert_close(shared, values.cpu().double(), rtol=0, atol=0, why="the same memory")


@feature(
    "dlpack-fp8",
    "DLPack exchange of fp8",
    purpose="An fp8 KV cache handed to attention kernels of other libraries.",
    refusals=[
        Refusal(
            "RuntimeError",
            r"float8 types are not supported by dlpack",
            "aten/src/ATen/DLConvertor.cpp: DLPack had no fp8 before 1.1",
        ),
        Refusal(
            "BufferError",
            r"float8 types are not supported by dlpack",
            "the same, as the array API standard names it",
        ),
    ],
)
def test_dlpack_fp8(device, rng):
    """The same for fp8, which kernels in CuTe DSL are handed this way."""
    values = randn(rng, 32, 5).to(torch.float8_e4m3fn).to(device)
    shared = torch.from_dlpack(values)
    assert shared.data_ptr() == values.data_ptr()
    assert_close(shared.float(), values.cpu().double(), rtol=0, atol=0, why="the same memory")


@feature(
    "numpy",
    "NumPy bridge",
    purpose="Token ids, images and sampling parameters reach the model through NumPy.",
    needs=["module:numpy"],
)
def test_numpy_shares_memory(rng):
    """Both ways without a copy; a torch built for another NumPy fails here."""
    import numpy as np  # noqa: PLC0415 - a precondition of this test alone

    values = randn(rng, 6, 7)
    array = values.numpy()
    array *= 2
    assert_close(torch.tensor(array.tolist()), values.double(), rtol=0, atol=0, why="same memory")
    back = torch.from_numpy(np.arange(5.0))
    assert_close(back, torch.arange(5).double(), rtol=0, atol=0, why="the same numbers")
    assert back.dtype == torch.float64


@feature("numpy", "NumPy bridge", needs=["module:numpy"])
def test_tensor_from_list_of_arrays():
    """What data loaders do."""
    import numpy as np  # noqa: PLC0415 - a precondition of this test alone

    stacked = torch.as_tensor(np.stack([np.full(3, row) for row in range(4)]))
    expected = torch.arange(4)[:, None].expand(4, 3)
    assert_close(stacked, expected.double(), rtol=0, atol=0, why="the same numbers")


@feature(
    "nested",
    "Jagged batches (torch.nested, layout=torch.jagged)",
    purpose="Prompts of unlike length through one layer without padding.",
    refusals=[
        Refusal(
            "AttributeError",
            r"^module 'torch' has no attribute 'jagged'$",
            "torch/__init__.py: the jagged layout is new in 2.2",
        )
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_jagged(device, rng):
    """Sequences of unlike length in one tensor, each computed as if alone."""
    parts = [randn(rng, length, 16) for length in (3, 11, 6)]
    nested = torch.nested.nested_tensor([part.to(device) for part in parts], layout=torch.jagged)
    weight = randn(rng, 16, 8)
    out = torch.nn.functional.linear(nested, weight.t().contiguous().to(device))
    for got, part in zip(out.unbind(), parts):
        expected = part.double() @ weight.double()
        assert_close(got, expected, rtol=1e-5, atol=1e-5, why="float32, sums over 16 terms")
