"""Old interfaces that code still calls: whether they are there, and whether they warn.

A warning is an error here, so a release that deprecates one is `unsupported` with its text.
"""

import warnings

import pytest
import torch

from matrix.inside import Refusal, assert_close, assert_relative, feature, randn

RELEASES = "https://github.com/pytorch/pytorch/releases/tag/"


@feature(
    "old-linalg",
    "torch.cholesky and torch.qr",
    purpose="Calibration code of quantisers (GPTQ's Hessian) was written with these names.",
    refusals=[
        Refusal(
            "RuntimeError",
            r"deprecated since version 1\.9 and is now removed",
            f"{RELEASES}v2.14.0: removed; torch.linalg has both",
        ),
        Refusal(
            "AttributeError",
            r"module 'torch' has no attribute '(cholesky|qr)'",
            f"{RELEASES}v2.14.0: removed; torch.linalg has both",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.cholesky is deprecated", "ignore:torch.qr is deprecated")
def test_old_linalg(device, rng):
    """Factors whose product is the matrix."""
    a = randn(rng, 6, 6)
    square = a @ a.t() + 6 * torch.eye(6)
    lower = torch.cholesky(square.to(device))
    why = "float32 factors of a well conditioned matrix"
    assert_relative(lower @ lower.t(), square.double(), limit=1e-5, why=why)
    q, r = torch.qr(a.to(device))
    assert_relative(q @ r, a.double(), limit=1e-5, why="float32 factors")


@feature(
    "named-tensors",
    "Named tensors",
    purpose="Some model code names dimensions; it stops importing where names are gone.",
    refusals=[
        Refusal(
            "TypeError",
            r"unexpected keyword argument 'names'|got an unexpected keyword argument: names",
            f"{RELEASES}v2.13.0: removed",
        )
    ],
)
@pytest.mark.filterwarnings("ignore:Named tensors and all their")
def test_named_tensors(device, rng):
    """A sum over a dimension by name."""
    values = randn(rng, 3, 5)
    named = torch.zeros(3, 5, names=("batch", "width"), device=device)
    named.copy_(values.to(device))
    out = named.sum("batch").rename(None)
    assert_close(out, values.double().sum(0), rtol=1e-6, atol=1e-6, why="float32, three terms")


@feature(
    "profiler-use-cuda",
    "Profiler with use_cuda",
    purpose="Engines' profiling endpoints were written with this flag.",
    refusals=[
        Refusal(
            "TypeError",
            r"profile\.__init__\(\) got an unexpected keyword argument 'use_cuda'",
            f"{RELEASES}v2.14.0: removed; use_device instead",
        ),
        Refusal(
            "FutureWarning",
            r"use_cuda.*(deprecated|removed)",
            "torch/autograd/profiler.py: deprecated",
        ),
    ],
)
def test_profiler_use_cuda(rng):
    """The operators of a block are listed; a deprecation would raise."""
    values = randn(rng, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        with torch.autograd.profiler.profile(use_cuda=False) as profile:
            torch.mm(values, values)
    assert "aten::mm" in {event.name for event in profile.function_events}


def gated(x: torch.Tensor) -> torch.Tensor:
    """A SiLU gate."""
    return x * torch.sigmoid(x)


def scripted(rng, *, shown):
    """TorchScript computes the gate; a warning of the class ``shown`` raises."""
    x = randn(rng, 50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", shown)
        out = torch.jit.script(gated)(x)
    expected = x.double() * x.double().sigmoid()
    assert_close(out, expected, rtol=1e-5, atol=1e-6, why="float32 elementwise")


@feature(
    "torchscript",
    "TorchScript without a warning to users",
    purpose="Voice detectors and vision towers come as TorchScript; users see FutureWarnings.",
    refusals=[
        Refusal(
            "FutureWarning",
            r"`torch\.jit\.script` is deprecated",
            f"{RELEASES}v2.14.0: FutureWarning",
        )
    ],
)
def test_torchscript(rng):
    """Right numbers, and nothing printed by default."""
    scripted(rng, shown=FutureWarning)


@feature(
    "torchscript-undeprecated",
    "TorchScript without a DeprecationWarning",
    purpose="Test suites that turn warnings into errors stop here first.",
    refusals=[
        Refusal(
            "DeprecationWarning",
            r"`torch\.jit\.script` is (deprecated|not supported)",
            f"{RELEASES}v2.10.0: deprecated",
        ),
        Refusal(
            "NotImplementedError",
            r"^torch\.jit\.script warns its users$",
            f"{RELEASES}v2.14.0: FutureWarning",
        ),
    ],
)
def test_torchscript_undeprecated(rng):
    """Right numbers, and nothing said to developers."""
    try:
        scripted(rng, shown=DeprecationWarning)
        scripted(rng, shown=FutureWarning)
    except FutureWarning:
        raise NotImplementedError("torch.jit.script warns its users") from None


@feature(
    "quantized-dtypes",
    "Quantized tensors (qint8) without a warning",
    purpose="Older int8 checkpoints hold tensors of these types.",
    refusals=[
        Refusal(
            "UserWarning",
            r"quantized tensor creation functions|torch\.(qint8|quint8)",
            f"{RELEASES}v2.13.0: deprecated",
        )
    ],
)
def test_quantized_dtypes(rng):
    """Codes of a step of 1/8, exact."""
    codes = torch.randint(-100, 100, (40,), generator=rng)
    values = codes.float() / 8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # torch warns once per process; a later warning would hide the first
        warnings.filterwarnings("error", message=".*quantized tensor")
        quantized = torch.quantize_per_tensor(values, 0.125, 0, torch.qint8)
    assert_close(quantized.dequantize(), values.double(), rtol=0, atol=0, why="multiples of 1/8")
    assert_close(quantized.int_repr(), codes.double(), rtol=0, atol=0, why="the codes")


@feature(
    "ao-quantization",
    "torch.ao.quantization without a warning",
    purpose="Dynamic int8 of CPU servers; it moves to torchao.",
    refusals=[
        Refusal(
            "DeprecationWarning",
            r"torch\.ao\.quantization is deprecated",
            f"{RELEASES}v2.8.0: deprecated",
        )
    ],
)
@pytest.mark.filterwarnings("ignore:.*quantized tensor", "ignore:.*TypedStorage")
def test_ao_quantization(rng):
    """A dynamically quantised layer stays near the one in float64."""
    from torch.ao.quantization import quantize_dynamic  # noqa: PLC0415  slow

    layer = torch.nn.Sequential(torch.nn.Linear(64, 32))
    x = randn(rng, 9, 64)
    weight, bias = layer[0].weight.detach().double(), layer[0].bias.detach().double()
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        quantized = quantize_dynamic(layer, {torch.nn.Linear})
    assert "Dynamic" in type(quantized[0]).__module__ + type(quantized[0]).__qualname__ or (
        "dynamic" in type(quantized[0]).__module__
    )
    out = quantized(x)
    assert_relative(out, x.double() @ weight.t() + bias, limit=0.03, why="eight bits for both")


def traced_for_quantisation(layer, example):
    """The graph that a quantiser annotates, by the name that this release has for it."""
    import torch._export  # noqa: PLC0415  slow, and not loaded by torch itself
    import torch.export  # noqa: PLC0415  the same

    for name in ("export_for_training", "export"):
        if name == "export" and hasattr(torch._export, "capture_pre_autograd_graph"):
            return torch._export.capture_pre_autograd_graph(layer, example)
        if hasattr(torch.export, name):
            # the quantiser finds layers by what only Dynamo notes in the graph
            return getattr(torch.export, name)(layer, example, strict=True).module()
    raise AssertionError("no export in this torch")


@feature(
    "pt2e-quantization",
    "PT2E quantisation in torch.ao",
    purpose="Static int8 for Inductor on CPUs; recipes written against torch.ao need it here.",
    refusals=[
        Refusal(
            "ModuleNotFoundError",
            r"No module named 'torch\.ao\.quantization\.(quantize_pt2e|quantizer)",
            f"{RELEASES}v2.11.0: removed; torchao has it",
        )
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_pt2e(rng):
    """Calibrated and converted, a layer quantises its inputs and stays near float64."""
    from torch.ao.quantization.quantize_pt2e import convert_pt2e, prepare_pt2e  # noqa: PLC0415
    from torch.ao.quantization.quantizer import x86_inductor_quantizer as x86  # noqa: PLC0415

    layer = torch.nn.Sequential(torch.nn.Linear(64, 32)).eval()
    x = randn(rng, 9, 64)
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    try:
        prepared = prepare_pt2e(traced_for_quantisation(layer, (x,)), quantizer)
    except ValueError as error:
        if "is not an aten addmm/mm operator" not in str(error):
            raise
        # 2.1's quantiser still wants the graphs of the exporter before
        prepared = prepare_pt2e(torch._dynamo.export(layer, aten_graph=True)(x)[0], quantizer)
    prepared(x)
    converted = convert_pt2e(prepared)
    assert any("quantize_per" in str(node.target) for node in converted.graph.nodes)
    weight, bias = layer[0].weight.detach().double(), layer[0].bias.detach().double()
    with torch.no_grad():
        out = converted(x)
    assert_relative(out, x.double() @ weight.t() + bias, limit=0.03, why="eight bits for both")
