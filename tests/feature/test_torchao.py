"""torchao's quantised linear layers: one row per scheme and per name that an engine calls it by.

The functions came first (`int8_weight_only()`), the configuration classes took their place; engines
that kept to the functions broke at import when these were removed.
"""

import dataclasses
import importlib

import pytest
import torch

from matrix.inside import Refusal, assert_relative, feature, randn

GROUP = 64
# scheme: function, configuration class, what it does, limit of the relative error and its reason
SCHEMES = {
    "int8dq": (
        "int8_dynamic_activation_int8_weight",
        "Int8DynamicActivationInt8WeightConfig",
        "int8 weights, activations quantised per token",
        0.02,
        "weights and activations in steps of a 127th of their row's peak, about 0.7% each",
    ),
    "int8wo": (
        "int8_weight_only",
        "Int8WeightOnlyConfig",
        "int8 weights",
        0.015,
        "weights in steps of a 127th of their row's peak, about 0.7%, and bfloat16 activations",
    ),
    "int4wo": (
        "int4_weight_only",
        "Int4WeightOnlyConfig",
        "int4 weights in groups",
        0.13,
        "15 steps between the ends of a group of 64, which are some five deviations apart: 9%",
    ),
    "fp8wo": (
        "float8_weight_only",
        "Float8WeightOnlyConfig",
        "fp8 weights",
        0.045,
        "e4m3 keeps three bits of a weight, about 2.6%",
    ),
    "fp8dq": (
        "float8_dynamic_activation_float8_weight",
        "Float8DynamicActivationFloat8WeightConfig",
        "fp8 weights and activations",
        0.055,
        "e4m3 keeps three bits of weights and activations, about 2.6% each",
    ),
}
PURPOSES = {
    "function": "An engine's --torchao-config imports {} of torchao for its linear layers.",
    "config": "An engine quantises its linear layers by handing a {} to torchao's quantize_.",
}
DEVICE_REFUSALS = {
    "fp8dq": [
        Refusal(
            "AssertionError",
            r"^Float8 dynamic (activation )?quantization (is only supported on|requires) CUDA",
            "torchao/quantization/quant_api.py, since 0.18 torchao/float8/inference.py",
        ),
    ],
    "int4wo": [
        Refusal(
            "ImportError",
            r"^Requires (fbgemm-gpu-genai|mslk) >= [\d.]+$",
            "torchao/quantization/quantize_/workflows/int4/int4_tensor.py: its plain packing,"
            " the only one left for this device, is another package's kernel",
        ),
    ],
}


def rows():
    """A parameter set for each scheme and name, with the feature it belongs to."""
    for scheme, (function, config, what, *_) in SCHEMES.items():
        for kind, name in (("function", function), ("config", config)):
            absent = Refusal(
                "AttributeError",
                rf"^module 'torchao\.quantization' has no attribute '{name}'$",
                "https://github.com/sgl-project/sglang/pull/34304: the functions left torchao",
            )
            row = feature(
                f"torchao-{scheme}-{kind}",
                f"torchao: {what} ({name})",
                purpose=PURPOSES[kind].format(name),
                refusals=[absent, *DEVICE_REFUSALS.get(scheme, ())],
                needs=["module:torchao"],
            )
            yield pytest.param(scheme, name, marks=row, id=f"{scheme}-{kind}")


def int4_options(quantization, device):
    """Group size, and how to pack for this device; torchao's default may be for another one."""
    config = quantization.Int4WeightOnlyConfig
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    formats = getattr(type(defaults.get("int4_packing_format")), "__members__", {})
    wanted = "OPAQUE" if device.type == "cpu" else "TILE_PACKED_TO_4D"
    if wanted in formats:
        return {"group_size": GROUP, "int4_packing_format": formats[wanted]}
    if device.type == "cpu" and "layout" in defaults:
        layout = importlib.import_module("torchao.dtypes").Int4CPULayout()
        return {"group_size": GROUP, "layout": layout}
    return {"group_size": GROUP}


@pytest.mark.parametrize(("scheme", "name"), rows())
def test_linear(device, rng, scheme, name):
    """A quantised layer gives nearly the product it gave before, and not the same one."""
    *_, limit, why = SCHEMES[scheme]
    quantization = importlib.import_module("torchao.quantization")
    make = getattr(quantization, name)
    options = int4_options(quantization, device) if scheme == "int4wo" else {}
    layer = torch.nn.Linear(256, 128, bias=False, dtype=torch.bfloat16)
    weight = randn(rng, 128, 256, dtype=torch.bfloat16)
    layer.load_state_dict({"weight": weight})
    values = randn(rng, 32, 256, dtype=torch.bfloat16)
    model = torch.nn.Sequential(layer).to(device)
    with torch.no_grad():
        plain = model(values.to(device))
        # its recommended settings of Inductor would stay on for every later test
        quantization.quantize_(model, make(**options, set_inductor_config=False))
        out = model(values.to(device))
    assert out.dtype == torch.bfloat16
    assert not torch.equal(out, plain), "nothing was quantised"
    assert_relative(out, values.double() @ weight.double().t(), limit=limit, why=why)
