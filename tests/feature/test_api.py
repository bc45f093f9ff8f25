"""Meanings that changed between releases: errors, defaults, gradients, and what is new."""

import builtins
import subprocess
import sys
import warnings
import zipfile

import pytest
import torch

from matrix.inside import Refusal, assert_close, assert_relative, feature, poisoned, randn

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


@pytest.fixture
def precision():
    """The switches of float32 products, put back afterwards."""
    switches = torch.backends.cuda.matmul
    if not hasattr(torch.backends, "fp32_precision"):
        yield switches
        return
    before = switches.fp32_precision
    yield switches
    switches.fp32_precision = before


NO_PRECISION = Refusal(
    "AttributeError",
    r"has no attribute 'fp32_precision'|Unknown attribute fp32_precision",
    f"{RELEASES}v2.9.0: new",
)


@feature(
    "fp32-precision",
    "Precision of float32 products (fp32_precision)",
    purpose="Engines allow TF32 for throughput or forbid it for reproducible logits.",
    refusals=[NO_PRECISION],
)
def test_fp32_precision(device, rng, precision):
    """`ieee` keeps float32's digits."""
    assert precision.fp32_precision in {"none", "ieee", "tf32"}
    precision.fp32_precision = "ieee"
    a, b = randn(rng, 96, 200), randn(rng, 200, 64)
    out = a.to(device) @ b.to(device)
    assert_relative(out, a.double() @ b.double(), limit=1e-6, why="float32; TF32 is at 3e-4")


@feature(
    "fp32-precision",
    "Precision of float32 products (fp32_precision)",
    refusals=[NO_PRECISION],
)
def test_mixing_precision(precision):
    """Who sets the new switch and reads the old one is told."""
    precision.fp32_precision = "tf32"
    with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
        _ = precision.allow_tf32


@feature(
    "fp8-qlinear",
    "fp8 linear layer on CPUs (onednn.qlinear_pointwise)",
    purpose="CPU engines run fp8 checkpoints through this operator.",
    refusals=[
        Refusal(
            "RuntimeError",
            r"qlinear with mkldnn tensor: data type of input should be uint8",
            f"{RELEASES}v2.9.0: fp8 is new",
        ),
        Refusal(
            "AttributeError",
            r"'_OpNamespace' 'onednn' object has no attribute 'qlinear_p|"
            r"module 'torch' has no attribute 'float8_e4m3fn'",
            "https://pytorch.org/docs/stable/quantization.html: not in this release",
        ),
        Refusal(
            "RuntimeError",
            r"onednn::qlinear_pointwise\(\) (expected at most|Expected a value of type)",
            "aten/src/ATen/native/quantized/cpu/qlinear.cpp: another signature before 2.2",
        ),
    ],
)
def test_fp8_qlinear(rng):
    """The product of the codes with their scale."""
    x = randn(rng, 4, 32).to(torch.float8_e4m3fn)
    weight = randn(rng, 16, 32).to(torch.float8_e4m3fn)
    scales, zeros = torch.full((16,), 0.5), torch.zeros(16, dtype=torch.int64)
    packed = torch.ops.onednn.qlinear_prepack(weight, [4, 32])
    run = torch.ops.onednn.qlinear_pointwise
    plain = (1.0, 0, torch.float32, "none", [], "")
    out = run(x, 2.0, 0, packed, scales, zeros, None, *plain)
    expected = x.float().double() @ weight.float().double().t()
    assert_relative(out, expected, limit=5e-3, why="the codes are exact, sums may be in bfloat16")


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


@feature(
    "device-module",
    "torch.get_device_module() is that of a device that is here",
    purpose="Vendor-neutral code asks it for streams and memory; SGLang had to guard it.",
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch' has no attribute 'get_device_module'",
            "https://pytorch.org/docs/stable/generated/torch.get_device_module.html: newer",
        ),
        Refusal(
            "NotImplementedError",
            r"^the device module is torch\.cuda without a device$",
            f"{RELEASES}v2.14.0: that of the accelerator it was built for",
        ),
    ],
)
def test_device_module():
    """CUDA's where there is a device, the CPU's elsewhere."""
    module = torch.get_device_module()
    if module is torch.cuda and not torch.cuda.is_available():
        raise NotImplementedError("the device module is torch.cuda without a device")
    assert module is (torch.cuda if torch.cuda.is_available() else torch.cpu)


@feature(
    "clamp-gradient",
    "clamp passes the gradient at its limits",
    purpose="Fake quantisation trains codes at the ends of the range, which clamp produces.",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^clamp stops the gradient at its limits$",
            f"{RELEASES}v2.14.0: other subgradients",
        )
    ],
)
def test_clamp_gradient(device):
    """One inside and at the limits, nought outside; at the limits newer torch has nought."""
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0], device=device, requires_grad=True)
    x.clamp(0, 1).sum().backward()
    inside = x.grad.cpu().double()
    if inside.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]:
        raise NotImplementedError("clamp stops the gradient at its limits")
    expected = torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]).double()
    assert_close(inside, expected, rtol=0, atol=0, why="the derivative, one at the limits")


@feature(
    "bcomplex32",
    "Complex numbers of two bfloat16 (bcomplex32)",
    purpose="Rotary embeddings written as complex products, in the model's own type.",
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch' has no attribute 'bcomplex32'|'torch\.dtype' object has no attribute",
            f"{RELEASES}v2.14.0: new",
        )
    ],
)
def test_bcomplex32(device, rng):
    """The complex type of bfloat16, with the bits of its parts."""
    parts = randn(rng, 40, 2, dtype=torch.bfloat16)
    assert torch.bfloat16.to_complex() == torch.bcomplex32
    values = parts.to(device).view(torch.bcomplex32)
    assert values.shape == (40, 1)
    back = values.view(torch.bfloat16)
    assert_close(back, parts.double(), rtol=0, atol=0, why="the same bits")


@feature(
    "cxx17-headers",
    "Extensions compile as C++17",
    purpose="Kernel packages that still say -std=c++17 build against this torch.",
    needs=["compiler"],
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^#error C\+\+20 or later compatible compiler is required to use ATen",
            f"{RELEASES}v2.13.0: C++20 is required",
        )
    ],
)
def test_cxx17_headers():
    """The headers' own check of the language lets C++17 pass (preprocessed, not compiled)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.utils.cpp_extension import get_cxx_compiler, include_paths  # noqa: PLC0415  slow

    folders = [f"-I{folder}" for folder in include_paths()]
    done = subprocess.run(
        [get_cxx_compiler(), "-std=c++17", "-E", "-x", "c++", *folders, "-o", "/dev/null", "-"],
        input="#include <ATen/ATen.h>\n",
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    if any("#error C++20" in line for line in errors):
        raise NotImplementedError(next(e[e.index("#error") :] for e in errors if "#error" in e))
    assert done.returncode == 0, errors[0] if errors else "the preprocessor failed"
