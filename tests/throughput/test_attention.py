"""Attention over a whole prompt, bound by compute, and of one new token, bound by the cache."""

import math

import pytest
import torch

from matrix.inside import Refusal, assert_relative, drawn, workload

PROMPT = {"cpu": (1, 4, 512, 64), "cuda": (1, 32, 8192, 128)}
CACHE = {"cpu": (4, 2, 4, 512, 64), "cuda": (64, 8, 4, 4096, 128)}
PAGE = 16
TAIL = 32  # the last rows of the first head are checked before it is timed

ABSENT = Refusal(
    "RuntimeError",
    r"^No available kernel\. Aborting execution\.",
    "aten/src/ATen/native/transformers/sdp_utils_cpp.h: the chosen backend does not take this",
)
NO_SUCH_BACKEND = Refusal(
    "AttributeError",
    r"has no attribute '?CUDNN_ATTENTION'?|^CUDNN_ATTENTION$",
    "https://pytorch.org/docs/stable/generated/torch.nn.attention.SDPBackend.html",
)
NO_FLEX = Refusal(
    "ModuleNotFoundError",
    r"No module named 'torch\.nn\.attention(\.flex_attention)?'",
    "https://pytorch.org/blog/flexattention/: new in 2.5",
)


def last_rows(q, k, v, tail):
    """The first head's last rows in float64."""
    q, k, v = (values[:, :1].double() for values in (q, k, v))
    scores = q[:, :, tail] @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    ahead = torch.arange(k.shape[2], device=k.device) > torch.arange(
        tail.start, tail.stop, device=k.device
    ).unsqueeze(1)
    return scores.masked_fill(ahead, -math.inf).softmax(-1) @ v


def prompt(rng, device):
    """Queries, keys and values of a prompt in bfloat16."""
    return [drawn(rng, *PROMPT[device.type], device=device).to(torch.bfloat16) for _ in range(3)]


def measure_prefill(measure, attend, q, k, v, params):
    """Check ``attend(q, k, v)`` and time it; half the score matrix is masked, so half the work."""
    batch, heads, length, width = q.shape
    tail = slice(length - TAIL, length)
    out = attend(q, k, v)
    assert_relative(out[:, :1, tail], last_rows(q, k, v, tail), limit=2e-2, why="bfloat16 weights")
    shape = {"batch": batch, "heads": heads, "length": length, "width": width}
    measure(
        lambda: attend(q, k, v),
        work={"flop": 2 * batch * heads * length**2 * width},
        params={"dtype": "bfloat16", **shape, **params},
    )


@workload("prefill-attention", "Causal attention over a prompt")
def test_prefill(device, rng, measure):
    """As torch chooses the kernel (SDPA)."""
    sdpa = torch.nn.functional.scaled_dot_product_attention
    measure_prefill(
        measure,
        lambda q, k, v: sdpa(q, k, v, is_causal=True),
        *prompt(rng, device),
        {"kernel": "default"},
    )


@workload(
    "prefill-attention",
    "Causal attention over a prompt",
    needs=["accelerator"],
    refusals=[ABSENT, NO_SUCH_BACKEND],
)
@pytest.mark.parametrize("kernel", ["flash", "efficient", "cudnn"])
def test_prefill_kernel(device, rng, measure, kernel):
    """With one backend of SDPA alone."""
    from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: PLC0415 - new in 2.3

    backend = getattr(SDPBackend, f"{kernel.upper()}_ATTENTION")
    sdpa = torch.nn.functional.scaled_dot_product_attention
    with sdpa_kernel(backend):
        measure_prefill(
            measure, lambda q, k, v: sdpa(q, k, v, is_causal=True), *prompt(rng, device), {}
        )


@workload(
    "prefill-attention",
    "Causal attention over a prompt",
    needs=["accelerator", "compiler"],
    refusals=[NO_FLEX],
)
def test_prefill_flex(device, rng, measure):
    """A compiled FlexAttention with a causal block mask."""
    from torch.nn.attention.flex_attention import (  # noqa: PLC0415 - new in 2.5
        create_block_mask,
        flex_attention,
    )

    q, k, v = prompt(rng, device)
    length = q.shape[2]
    mask = create_block_mask(
        lambda _batch, _head, query, key: query >= key, None, None, length, length, device=device
    )
    compiled = torch.compile(flex_attention)
    measure.once(lambda: compiled(q, k, v, block_mask=mask), metric="first-call")
    measure_prefill(
        measure, lambda q, k, v: compiled(q, k, v, block_mask=mask), q, k, v, {"kernel": "flex"}
    )


def one_token(q, k, v):
    """The textbook's attention of one new token over all of its cache, in float64."""
    q, k, v = (values.double() for values in (q, k, v))
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1) @ v


@workload("decode-attention", "Attention of one new token over its cache")
@pytest.mark.parametrize("cache", ["dense", "paged"])
def test_decode(device, rng, measure, cache):
    """Grouped queries; ``paged`` first gathers the cache from pages of 16 tokens."""
    batch, kv_heads, group, length, width = CACHE[device.type]
    sdpa = torch.nn.functional.scaled_dot_product_attention
    # the heads that share keys are the rows of one product: grouped attention without copies
    q = drawn(rng, batch, kv_heads, group, width, device=device).to(torch.bfloat16)
    shape = (batch, kv_heads, length, width)
    if cache == "dense":
        k, v = (drawn(rng, *shape, device=device).to(torch.bfloat16) for _ in range(2))
        gather = None
    else:
        pages = batch * length // PAGE
        pool = (2, pages, PAGE, kv_heads, width)
        store = drawn(rng, *pool, device=device).to(torch.bfloat16)
        table = torch.randperm(pages, generator=rng).to(device).view(batch, length // PAGE)

        def gather():
            found = store[:, table].view(2, batch, length, kv_heads, width)
            return found.transpose(2, 3)

        k, v = gather()

    def step():
        keys, values = (k, v) if gather is None else gather()
        return sdpa(q, keys, values)

    some = slice(batch - 2, batch)
    expected = one_token(q[some], k[some], v[some])
    assert_relative(step()[some], expected, limit=2e-2, why="bfloat16 weights")
    once = 2 * 2 * batch * kv_heads * length * width  # keys and values, two bytes each
    # gathering reads and writes them once more
    measure(
        step,
        work={"bytes": once if gather is None else 3 * once},
        params={"batch": batch, "kv_heads": kv_heads, "length": length, "width": width},
    )
