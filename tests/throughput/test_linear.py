"""The linear layers of decoding: few rows against a large weight, bound by memory bandwidth."""

import pytest
import torch

from matrix.inside import Refusal, assert_relative, drawn, poisoned, workload
from matrix.inside.fp8 import SCALED_MM, e4m3, quantised

HIDDEN = {"cpu": (2048, 5632), "cuda": (8192, 28672)}
COLUMNS = 256  # of the result are checked before it is timed
GROUP = 128

NO_INT4 = [
    Refusal(
        "RuntimeError", r"int4pack\w* is not available for build", "ATen/native/cuda/int4mm.cu"
    ),
    Refusal(
        "RuntimeError",
        r"int4pack\w* is only supported on AMD gpu arch",
        "ATen/native/cuda/int4mm.cu: CDNA2 and later",
    ),
    Refusal(
        "NotImplementedError",
        r"Could not run 'aten::_(convert_weight_to_int4pack|weight_int4pack_mm)'",
        "aten/src/ATen/native/native_functions.yaml: its dispatch",
    ),
]


def weights(rng, device, dtype=torch.bfloat16):
    """The up projection, inner x hidden."""
    hidden, inner = HIDDEN[device.type]
    return hidden, inner, (drawn(rng, inner, hidden, device=device) / hidden**0.5).to(dtype)


@workload("decode-linear", "Linear layer of one decoding step")
@pytest.mark.parametrize("batch", [1, 8, 64])
def test_bfloat16(device, rng, measure, batch):
    """batch x hidden times the up projection; the bytes are those of weight, input and output."""
    hidden, inner, weight = weights(rng, device)
    x = drawn(rng, batch, hidden, device=device).to(torch.bfloat16)
    out = poisoned(batch, inner, device=device, dtype=torch.bfloat16)
    torch.mm(x, weight.t(), out=out)
    columns = slice(inner - COLUMNS, inner)
    expected = x.double() @ weight[columns].double().t()
    assert_relative(out[:, columns], expected, limit=5e-3, why="bfloat16 result")
    moved = 2 * (weight.numel() + x.numel() + out.numel())
    measure(
        lambda: torch.mm(x, weight.t(), out=out),
        work={"bytes": moved},
        params={"hidden": hidden, "inner": inner, "dtype": "bfloat16"},
    )


@workload("decode-linear", "Linear layer of one decoding step", refusals=SCALED_MM,
          needs=["accelerator"])  # fmt: skip
def test_fp8(device, rng, measure):
    """Sixteen rows, the fewest that the fp8 unit takes without padding."""
    batch = 16
    hidden, inner, weight = weights(rng, device, torch.float32)
    codes, scale = quantised(weight, e4m3())
    x, scale_x = quantised(drawn(rng, batch, hidden, device=device), e4m3())

    def product():
        out = torch._scaled_mm(x, codes.t(), scale_a=scale_x, scale_b=scale,
                               out_dtype=torch.bfloat16)  # fmt: skip
        return out[0] if isinstance(out, tuple) else out  # two results before 2.5

    columns = slice(inner - COLUMNS, inner)
    meant = codes[columns].float().double() * scale.double()
    exact = (x.float().double() * scale_x.double()) @ meant.t()
    assert_relative(product()[:, columns], exact, limit=0.01, why="bfloat16 result")
    measure(
        product,
        work={"bytes": codes.numel() + x.numel() + 2 * batch * inner},
        params={"batch": batch, "hidden": hidden, "inner": inner, "dtype": "e4m3"},
    )


@workload("decode-linear", "Linear layer of one decoding step", refusals=NO_INT4,
          needs=["accelerator"])  # fmt: skip
def test_int4_weight(device, rng, measure):
    """One row of bfloat16 against int4 weights in groups of 128 (torch._weight_int4pack_mm)."""
    hidden, inner, _ = weights(rng, device)
    shape = (inner, hidden)
    codes = torch.randint(0, 16, shape, device=device, dtype=torch.int32)
    packed = torch._convert_weight_to_int4pack((codes[:, ::2] << 4 | codes[:, 1::2])
                                               .to(torch.uint8), 8)  # fmt: skip
    pairs = torch.rand(hidden // GROUP, inner, 2, device=device).to(torch.bfloat16)
    x = drawn(rng, 1, hidden, device=device).to(torch.bfloat16)

    def product():
        return torch._weight_int4pack_mm(x, packed, GROUP, pairs)

    columns = slice(inner - COLUMNS, inner)
    scale, zero = (pairs[:, columns, n].double().t()[..., None] for n in (0, 1))
    groups = codes[columns].double().view(COLUMNS, hidden // GROUP, GROUP)
    exact = x.double() @ ((groups - 8) * scale + zero).view(COLUMNS, hidden).t()
    assert_relative(product()[:, columns], exact, limit=0.02, why="bfloat16 weights and result")
    moved = packed.numel() * packed.element_size() + 2 * (pairs.numel() + hidden + inner)
    measure(
        product,
        work={"bytes": moved},
        params={"batch": 1, "hidden": hidden, "inner": inner, "dtype": "int4"},
    )


@workload("copy", "Copy within memory: the bandwidth ceiling")
def test_copy(device, rng, measure):
    """A copy larger than the caches; bytes read and written both count."""
    megabytes = {"cpu": 128, "cuda": 4096}[device.type]
    source = drawn(rng, megabytes << 18, device=device)
    target = poisoned(source.numel(), device=device, dtype=torch.float32)
    target.copy_(source)
    assert torch.equal(target, source)
    measure(
        lambda: target.copy_(source),
        work={"bytes": 2 * source.numel() * 4},
        params={"megabytes": megabytes},
    )
