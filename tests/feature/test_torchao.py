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
# scheme: limit of the relative error and its reason
LIMITS = {
    "int8dq": (
        0.02,
        "weights and activations in steps of a 127th of their row's peak, about 0.7% each",
    ),
    "int8wo": (
        0.015,
        "weights in steps of a 127th of their row's peak, about 0.7%, and bfloat16 activations",
    ),
    "int4wo": (
        0.13,
        "15 steps between the ends of a group of 64, which are some five deviations apart: 9%",
    ),
    "fp8wo": (
        0.045,
        "e4m3 keeps three bits of a weight, about 2.6%",
    ),
    "fp8dq": (
        0.055,
        "e4m3 keeps three bits of weights and activations, about 2.6% each",
    ),
}
NEEDS = ["module:torchao"]
FUNCTION = "An engine's --torchao-config imports this function of torchao for its linear layers."
CONFIG = "An engine quantises its linear layers by handing this class to torchao's quantize_."
FP8_DEVICES = [
    Refusal(
        "AssertionError",
        r"^Float8 dynamic (activation )?quantization (is only supported on|requires) CUDA",
        "torchao/quantization/quant_api.py, since 0.18 torchao/float8/inference.py",
    ),
]
INT4_DEVICES = [
    Refusal(
        "ImportError",
        r"^Requires (fbgemm-gpu-genai|mslk) >= [\d.]+$",
        "torchao's int4_tensor.py: its plain packing, the only one left for this device, is"
        " another package's kernel",
    ),
]


def absent(name):
    """How torchao refuses a name that it does not have: not yet, or no more."""
    return Refusal(
        "AttributeError",
        rf"^module 'torchao\.quantization' has no attribute '{name}'$",
        "https://github.com/sgl-project/sglang/pull/34304: the functions left torchao",
    )


# The features stand here as they are, so that they are found without torch and pytest.
ROWS = [
    pytest.param(
        "int8dq",
        "int8_dynamic_activation_int8_weight",
        id="int8dq-function",
        marks=feature(
            "torchao-int8dq-function",
            "torchao: int8 weights, activations quantised per token"
            " (int8_dynamic_activation_int8_weight)",
            purpose=FUNCTION,
            refusals=[absent("int8_dynamic_activation_int8_weight")],
            needs=NEEDS,
        ),
    ),
    pytest.param(
        "int8dq",
        "Int8DynamicActivationInt8WeightConfig",
        id="int8dq-config",
        marks=feature(
            "torchao-int8dq-config",
            "torchao: int8 weights, activations quantised per token"
            " (Int8DynamicActivationInt8WeightConfig)",
            purpose=CONFIG,
            refusals=[absent("Int8DynamicActivationInt8WeightConfig")],
            needs=NEEDS,
        ),
    ),
    pytest.param(
        "int8wo",
        "int8_weight_only",
        id="int8wo-function",
        marks=feature(
            "torchao-int8wo-function",
            "torchao: int8 weights (int8_weight_only)",
            purpose=FUNCTION,
            refusals=[absent("int8_weight_only")],
            needs=NEEDS,
        ),
    ),
    pytest.param(
        "int8wo",
        "Int8WeightOnlyConfig",
        id="int8wo-config",
        marks=feature(
            "torchao-int8wo-config",
            "torchao: int8 weights (Int8WeightOnlyConfig)",
            purpose=CONFIG,
            refusals=[absent("Int8WeightOnlyConfig")],
            needs=NEEDS,
        ),
    ),
    pytest.param(
        "int4wo",
        "int4_weight_only",
        id="int4wo-function",
        marks=feature(
            "torchao-int4wo-function",
            "torchao: int4 weights in groups (int4_weight_only)",
            purpose=FUNCTION,
            refusals=[absent("int4_weight_only"), *INT4_DEVICES],
            needs=NEEDS,
        ),
    ),
    pytest.param(
        "int4wo",
        "Int4WeightOnlyConfig",
        id="int4wo-config",
        marks=feature(
            "torchao-int4wo-config",
            "torchao: int4 weights in groups (Int4WeightOnlyConfig)",
            purpose=CONFIG,
            refusals=[absent("Int4WeightOnlyConfig"), *INT4_DEVICES],
            needs=NEEDS,
        ),
    ),
    pytest.param(
        "fp8wo",
        "float8_weight_only",
        id="fp8wo-function",
        marks=feature(
            "torchao-fp8wo-function",
            "torchao: fp8 weights (float8_weight_only)",
            purpose=FUNCTION,
            refusals=[absent("float8_weight_only")],
            needs=NEEDS,
        ),
    ),
    pytest.param(
        "fp8wo",
        "Float8WeightOnlyConfig",
        id="fp8wo-config",
        marks=feature(
            "torchao-fp8wo-config",
            "torchao: fp8 weights (Float8WeightOnlyConfig)",
            purpose=CONFIG,
            refusals=[absent("Float8WeightOnlyConfig")],
            needs=NEEDS,
        ),
    ),
    pytest.param(
        "fp8dq",
        "float8_dynamic_activation_float8_weight",
        id="fp8dq-function",
        marks=feature(
            "torchao-fp8dq-function",
            "torchao: fp8 weights and activations (float8_dynamic_activation_float8_weight)",
            purpose=FUNCTION,
            refusals=[absent("float8_dynamic_activation_float8_weight"), *FP8_DEVICES],
            needs=NEEDS,
        ),
    ),
    pytest.param(
        "fp8dq",
        "Float8DynamicActivationFloat8WeightConfig",
        id="fp8dq-config",
        marks=feature(
            "torchao-fp8dq-config",
            "torchao: fp8 weights and activations (Float8DynamicActivationFloat8WeightConfig)",
            purpose=CONFIG,
            refusals=[absent("Float8DynamicActivationFloat8WeightConfig"), *FP8_DEVICES],
            needs=NEEDS,
        ),
    ),
]


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


@pytest.mark.parametrize(("scheme", "name"), ROWS)
def test_linear(device, rng, scheme, name):
    """A quantised layer gives nearly the product it gave before, and not the same one."""
    limit, why = LIMITS[scheme]
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
