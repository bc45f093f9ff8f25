"""Meanings that changed between releases: errors, defaults and arguments."""

import builtins
import sys
import zipfile

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, poisoned, randn

RELEASES = "https://github.com/pytorch/pytorch/releases/tag/"


@feature(
    "dlpack-versioned",
    "DLPack 1 capsules (__dlpack__(max_version=...))",
    purpose="Kernels in CuTe DSL and TVM FFI ask for versioned capsules, which carry flags.",
    refusals=[
        Refusal(
            "TypeError",
            r"__dlpack__\(\) got an unexpected keyword argument 'max_version'",
            "torch/_tensor.py: no such argument in older releases",
        )
    ],
)
def test_dlpack_versioned(device, rng):
    """The capsule is of the new kind, and holds the same memory."""
    values = randn(rng, 12, 5, device=device)
    capsule = values.__dlpack__(max_version=(1, 0))
    assert "dltensor_versioned" in repr(capsule)
    shared = torch.utils.dlpack.from_dlpack(capsule)
    values.mul_(2)
    assert shared.data_ptr() == values.data_ptr()
    assert_close(shared, values.cpu().double(), rtol=0, atol=0, why="the same memory")


def kernel(device):
    """A kernel that has no integers, chosen by a macro over types."""
    image = torch.ones(1, 1, 4, dtype=torch.int32, device=device)
    torch.nn.functional.avg_pool1d(image, 2)


def check(device):
    """A check of the input's type before any kernel is chosen."""
    torch.linalg.inv(torch.ones(2, 2, dtype=torch.int32, device=device))


def plain_error(text):
    """The error that is no NotImplementedError: how older releases say it."""
    return Refusal("RuntimeError", text, f"{RELEASES}v2.8.0: NotImplementedError since then")


@feature(
    "dtype-error",
    "A kernel without this type raises NotImplementedError",
    purpose="Dispatch code tries a kernel and takes another one at NotImplementedError.",
    refusals=[plain_error(r"\"avg_pool\w*\" not implemented for 'Int'")],
)
def test_dtype_error(device):
    """The class of the error says that there is no such kernel."""
    with pytest.raises(NotImplementedError):
        kernel(device)


@feature(
    "dtype-error-checks",
    "A check that refuses a type raises NotImplementedError",
    purpose="The same, where a function looks at the type before it chooses a kernel.",
    refusals=[plain_error(r"linalg\.inv: Expected a floating point or complex tensor as input")],
)
def test_dtype_error_of_checks(device):
    """The class of the error is that of missing kernels."""
    with pytest.raises(NotImplementedError):
        check(device)


@feature(
    "cat-errors",
    "torch.cat raises ValueError and TypeError",
    purpose="Batch assembly tells an empty batch from a wrong type by the class of the error.",
    refusals=[
        Refusal(
            "RuntimeError",
            r"torch\.cat\(\): (expected a non-empty list|input types can't be cast)",
            f"{RELEASES}v2.9.0: RuntimeError before",
        )
    ],
)
def test_cat_errors(device):
    """An empty list is a ValueError, an output of the wrong type a TypeError."""
    with pytest.raises(ValueError, match="non-empty"):
        torch.cat([])
    ones = torch.ones(2, device=device)
    with pytest.raises(TypeError, match="cast"):
        torch.cat((ones, ones), out=poisoned(4, device=device, dtype=torch.int32))


@feature(
    "varlen-causal-flag",
    "varlen_attn takes is_causal",
    purpose="Packed prefill without padding; the causal flag was how to ask for it at first.",
    refusals=[
        Refusal(
            "ModuleNotFoundError",
            r"No module named 'torch\.nn\.attention(\.varlen)?'",
            "https://pytorch.org/docs/stable/nn.attention.varlen.html: new in 2.10",
        ),
        Refusal(
            "TypeError",
            r"varlen_attn\(\) got an unexpected keyword argument 'is_causal'",
            f"{RELEASES}v2.11.0: window_size=(-1, 0) instead",
        ),
    ],
)
def test_varlen_causal_flag(device, rng):
    """Two packed sequences on a GPU; elsewhere, where it has no kernel, its shapes alone."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415  absent in old torch

    place = device if device.type == "cuda" else torch.device("meta")
    q, k, v = (randn(rng, 10, 2, 64, dtype=torch.bfloat16) for _ in range(3))
    starts = torch.tensor([0, 4, 10], dtype=torch.int32, device=place)
    out = varlen_attn(q.to(place), k.to(place), v.to(place), starts, starts, 6, 6, is_causal=True)
    assert out.shape == (10, 2, 64)
    if place.type == "meta":
        return
    for begin, end in ((0, 4), (4, 10)):
        q_, k_, v_ = (part[begin:end].double().transpose(0, 1) for part in (q, k, v))
        scores = q_ @ k_.transpose(1, 2) / 8
        hidden = torch.ones(end - begin, end - begin, dtype=torch.bool).triu(1)
        expected = (scores.masked_fill(hidden, -float("inf")).softmax(-1) @ v_).transpose(0, 1)
        why = "weights and result rounded to bfloat16"
        assert_close(out[begin:end], expected, rtol=2e-2, atol=2e-2, why=why)


class Broken(torch.nn.Module):
    """A model that Dynamo cannot trace in one piece."""

    def forward(self, x):
        """Twice the input."""
        torch._dynamo.graph_break()
        return x * 2


@feature(
    "export-nonstrict-default",
    "torch.export traces with Python by default",
    purpose="Models with code that Dynamo refuses leave for AOTInductor without a flag.",
    refusals=[
        Refusal(
            "Unsupported",
            r"graph_break",
            f"{RELEASES}v2.8.0: strict=False became the default",
        ),
        Refusal(
            "AttributeError",
            r"module 'torch' has no attribute 'export'|'torch\.export' has no attribute 'export'",
            "https://pytorch.org/docs/stable/export.html: new in 2.1",
        ),
    ],
)
def test_export_nonstrict_default(rng):
    """What Dynamo would break is exported, and computes the same."""
    import torch._dynamo  # noqa: PLC0415  slow, and not loaded by torch itself

    x = randn(rng, 5)
    program = torch.export.export(Broken(), (x,))
    out = program.module()(x) if hasattr(program, "module") else program(x)
    assert_close(out, x.double() * 2, rtol=0, atol=0, why="exact in float32")


@feature(
    "hub-asks",
    "torch.hub asks before it runs a stranger's code",
    purpose="A model name from a request must not run a repository's code.",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^torch\.hub ran the code of an untrusted repository$",
            f"{RELEASES}v2.11.0: trust_repo became strict",
        )
    ],
)
@pytest.mark.filterwarnings("ignore:You are about to download and run code")
def test_hub_asks(tmp_path, monkeypatch):
    """Without trust in it, a repository's hubconf.py does not run; nothing is downloaded."""

    def download(_url, path, **_options):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model-main/", "")  # torch takes the first entry for the folder
            archive.writestr("model-main/hubconf.py", "def answer():\n    return 42\n")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(builtins, "input", lambda _question: "n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    try:
        found = torch.hub.load("stranger/model:main", "answer", skip_validation=True)
    except Exception as error:  # torch raises the bare class
        if "Untrusted repository" not in str(error):
            raise
        return
    assert found == 42
    raise NotImplementedError("torch.hub ran the code of an untrusted repository")
