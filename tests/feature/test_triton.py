"""Kernels in Triton: alone, tuned, inside torch.compile, and as operators."""

import pytest
import torch

from matrix.inside import Refusal, assert_close, assert_relative, feature, poisoned, randn

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = tl = None

NEEDS = ["accelerator", "module:triton"]
jit = triton.jit if triton else lambda function: function


@jit
def _scale_kernel(x_ptr, out_ptr, count, factor, BLOCK: "tl.constexpr"):  # noqa: N803 - Triton's habit
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    x = tl.load(x_ptr + at, mask=inside)
    tl.store(out_ptr + at, x * factor + 1, mask=inside)


@jit
def _dot_kernel(a_ptr, b_ptr, out_ptr, M: "tl.constexpr", N: "tl.constexpr", K: "tl.constexpr"):  # noqa: N803
    rows, columns, inner = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    a = tl.load(a_ptr + rows[:, None] * K + inner[None, :])
    b = tl.load(b_ptr + inner[:, None] * N + columns[None, :])
    tl.store(out_ptr + rows[:, None] * N + columns[None, :], tl.dot(a, b))


@jit
def _gather_kernel(
    cache_ptr,
    table_ptr,
    lengths_ptr,
    out_ptr,
    table_stride,
    out_stride,
    PAGE: "tl.constexpr",  # noqa: N803
    WIDTH: "tl.constexpr",  # noqa: N803
):
    request, position = tl.program_id(0), tl.program_id(1)
    length = tl.load(lengths_ptr + request)
    if position < length:
        page = tl.load(table_ptr + request * table_stride + position // PAGE)
        slot = page * PAGE + position % PAGE
        column = tl.arange(0, WIDTH)
        values = tl.load(cache_ptr + slot * WIDTH + column)
        tl.store(out_ptr + request * out_stride + position * WIDTH + column, values)


def scale(x, out, factor):
    """``out = x * factor + 1``; the block is no divisor of the usual count."""
    grid = (triton.cdiv(x.numel(), 256),)
    _scale_kernel[grid](x, out, x.numel(), factor, BLOCK=256)


FLOAT32 = {"rtol": 1e-5, "atol": 1e-5, "why": "float32 elementwise"}
GUARD = 64


@feature(
    "triton-kernel",
    "A Triton kernel with a masked tail",
    purpose="Runs most of the engines' own kernels.",
    needs=NEEDS,
)
@pytest.mark.parametrize("count", [1, 255, 1000])
def test_kernel(device, rng, count):
    """Every element is written, and none beyond the last."""
    x = randn(rng, count)
    room = poisoned(count + GUARD, device=device, dtype=torch.float32)
    scale(x.to(device), room[:count], 3.0)
    assert_close(room[:count], x.double() * 3 + 1, **FLOAT32)
    assert room[count:].isnan().all()


@feature(
    "triton-autotune",
    "Triton's autotuner",
    purpose="Picks the block sizes of attention and mixture-of-experts kernels on this device.",
    needs=NEEDS,
)
def test_autotune(device, rng):
    """One of two configurations is chosen, once for each size, and computes what it should."""
    configs = [triton.Config({"BLOCK": size}, num_warps=4) for size in (128, 512)]
    tuned = triton.autotune(configs=configs, key=["count"])(_scale_kernel)
    for count in (1000, 77, 1000):
        x = randn(rng, count)
        out = poisoned(count, device=device, dtype=torch.float32)
        tuned[lambda meta, count=count: (triton.cdiv(count, meta["BLOCK"]),)](
            x.to(device), out, count, 2.0
        )
        assert_close(out, x.double() * 2 + 1, **FLOAT32)
        assert tuned.best_config.kwargs["BLOCK"] in {128, 512}
    assert len(tuned.cache) == 2


def fp8_type():
    """What this device multiplies: AMD's gfx94x has its own e4m3."""
    properties = torch.cuda.get_device_properties(0)
    native = "gfx94" in getattr(properties, "gcnArchName", "")
    return torch.float8_e4m3fnuz if native else torch.float8_e4m3fn


@feature(
    "triton-dot",
    "Products in Triton (tl.dot) in bfloat16",
    purpose="Multiplies on tensor cores in attention and mixture-of-experts kernels.",
    needs=NEEDS,
)
def test_dot(device, rng):
    """Products of bfloat16 are summed in float32."""
    a, b = (randn(rng, 64, 64).bfloat16() for _ in range(2))
    out = poisoned(64, 64, device=device, dtype=torch.float32)
    _dot_kernel[(1,)](a.to(device), b.to(device), out, M=64, N=64, K=64)
    assert_close(out, a.double() @ b.double(), rtol=1e-4, atol=1e-4, why="float32 sums of 64")


@feature(
    "triton-dot-fp8",
    "Products in Triton (tl.dot) in fp8",
    purpose="Multiplies quantised experts and keys at twice the rate of bfloat16.",
    needs=NEEDS,
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch' has no attribute 'float8_e4m3",
            "https://pytorch.org/docs/stable/tensors.html: new in 2.1",
        ),
        Refusal(
            "CompilationError",
            r"type fp8e4(nv|b8) not supported in this architecture",
            "triton/language/semantic.py: fp8e4nv needs compute capability 8.9",
        ),
    ],
)
def test_dot_fp8(device, rng):
    """The products of the codes are exact; only the sum is rounded."""
    dtype = fp8_type()
    a, b = (randn(rng, 64, 64).to(dtype) for _ in range(2))
    out = poisoned(64, 64, device=device, dtype=torch.float32)
    _dot_kernel[(1,)](a.to(device), b.to(device), out, M=64, N=64, K=64)
    exact = a.float().double() @ b.float().double()
    # Tensor cores keep fewer bits than float32 while they sum fp8: 14 on Hopper.
    assert_relative(out, exact, limit=2e-3, why="fp8 sums with at least 13 bits")


@feature(
    "triton-paged-gather",
    "A gather from a paged cache in Triton",
    purpose="Reads keys and values through a page table, as paged attention does.",
    needs=NEEDS,
)
def test_gather(device, rng):
    """Each request's pages in its own order; what is beyond its length is left alone."""
    page, width, pages = 4, 32, 16
    lengths = torch.tensor([1, 13, 8], dtype=torch.int32)
    table = torch.randperm(pages, generator=rng)[:12].reshape(3, 4).to(torch.int32)
    cache = randn(rng, pages * page, width)
    out = poisoned(3, 16, width, device=device, dtype=torch.float32)
    _gather_kernel[(3, 16)](
        cache.to(device), table.to(device), lengths.to(device), out,
        table.stride(0), out.stride(0), PAGE=page, WIDTH=width,
    )  # fmt: skip
    expected = torch.full((3, 16, width), float("nan"), dtype=torch.float64)
    for request, length in enumerate(lengths.tolist()):
        for position in range(length):
            slot = int(table[request, position // page]) * page + position % page
            expected[request, position] = cache[slot].double()
    assert_close(out, expected, rtol=0, atol=0, why="a copy")


@feature(
    "triton-compile",
    "A Triton kernel inside torch.compile",
    purpose="Compiles models that call Triton kernels without a graph break.",
    needs=[*NEEDS, "compiler"],
)
def test_compile(device, rng):
    """The kernel's writes are seen by what follows it in one full graph."""

    def step(x):
        out = torch.empty_like(x)
        scale(x, out, 3.0)
        return out.sin() + x

    x = randn(rng, 9, 77)
    expected = (x.double() * 3 + 1).sin() + x.double()
    compiled = torch.compile(step, fullgraph=True)
    assert_close(compiled(x.to(device)), expected, **FLOAT32)


@feature(
    "triton-op",
    "Triton kernels as operators (torch.library.triton_op)",
    purpose="Makes a Triton kernel an operator that torch.compile can still see into.",
    needs=[*NEEDS, "compiler"],
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch\.library' has no attribute '(triton_op|wrap_triton)'",
            "https://pytorch.org/docs/stable/library.html: new in 2.6",
        )
    ],
)
def test_operator(device, rng):
    """Called eagerly and compiled, it is the same."""

    @torch.library.triton_op("matrix_feature::triton_scale", mutates_args=())
    def triton_scale(x: torch.Tensor, factor: float) -> torch.Tensor:
        out = torch.empty_like(x)
        grid = (triton.cdiv(x.numel(), 256),)
        torch.library.wrap_triton(_scale_kernel)[grid](x, out, x.numel(), factor, BLOCK=256)
        return out

    x = randn(rng, 300)
    expected = x.double() * 3 + 1
    assert_close(triton_scale(x.to(device), 3.0), expected, **FLOAT32)
    compiled = torch.compile(lambda x: triton_scale(x, 3.0) * 2, fullgraph=True)
    assert_close(compiled(x.to(device)), expected * 2, **FLOAT32)
