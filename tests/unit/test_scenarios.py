"""Scenarios of matrix.toml: what they start from, and every mistake with its path."""

import tomllib
from pathlib import Path

import pytest

from matrix import schema, shape
from matrix.definition import parse
from matrix.errors import InputError
from matrix.scenarios import CRITERIA, LIMITS, builtin, scenarios

NOTHING = f"nothing counts; give a weight to {', '.join(CRITERIA)}"
NOWHERE = "nothing is required on `cpu`; name features in `require` or `require_cpu`"
TORCH = '[[torch]]\nversion = "2.6.0"\nvariants = ["cpu"]\n'


def own(text):
    return parse(tomllib.loads(TORCH + text), Path("matrix.toml")).scenarios


def test_everybody_has_three():
    assert list(own("")) == ["development", "production", "edge"]
    for scenario in builtin().values():
        assert scenario.required
        assert scenario.reasons
        assert set(scenario.weights) <= set(CRITERIA)
        assert set(scenario.limits) <= set(LIMITS)


def test_a_scenario_starts_from_another():
    made = own("""
[scenarios.llm]
like = "production"
require = ["sdpa-mask"]
require_cuda = ["fp8-scaled-mm"]
devices = ["cuda"]
weights = { size = 0, throughput = 9 }
limits = { wrong = 0 }
""")["llm"]
    base = builtin()["production"]
    assert made.required == (*base.required, "sdpa-mask")
    assert made.requires("cuda")[-1] == "fp8-scaled-mm"
    assert made.weights == {**base.weights, "size": 0, "throughput": 9}
    assert (made.limits, made.devices) == ({"wrong": 0}, ("cuda",))
    assert made.workloads == base.workloads


def test_one_of_the_same_name_takes_the_place():
    made = own('[scenarios.edge]\nrequire = ["sdpa"]\nweights = { size = 1 }\n')["edge"]
    assert (made.required, made.limits) == (("sdpa",), {})


def test_every_mistake_is_told_with_its_path():
    text = """
[scenarios.Mine]
require = ["sdpa"]
weights = { sped = 1, size = -1, memory = nan, soak = 1e308, recent = 1%s, sound = "3" }
limits = { install = 2, wrong = true }

[scenarios.other]
like = "prodution"
devices = ["tpu"]
select = ["torch>"]
workloads = ["gemm", "gemm"]

[scenarios.empty]
weights = { size = 0 }

[scenarios.shape]
require = "sdpa"
requires = ["sdpa"]
weights = ["size"]

[scenarios.nowhere]
require_cuda = ["sdpa"]
devices = ["cpu"]
weights = { size = 1 }
""" % ("0" * 400)
    with pytest.raises(InputError) as caught:
        own(text)
    assert caught.value.problems == [
        "scenarios.Mine.weights.sound: expected a number, got '3'",
        "scenarios.Mine.limits.wrong: expected a number, got True",
        "scenarios.shape.requires: unknown key; did you mean `require`?",
        "scenarios.shape.require: expected a list of strings, got 'sdpa'",
        "scenarios.shape.weights: expected a table of numbers, got ['size']",
        "scenarios.Mine: a scenario's name has only lower-case letters, digits, - and _",
        f"scenarios.Mine.weights.sped: unknown; known: {', '.join(CRITERIA)}",
        "scenarios.Mine.weights.size: must be a number from 0 to 1000000000, got -1",
        "scenarios.Mine.weights.memory: must be a number from 0 to 1000000000, got nan",
        "scenarios.Mine.weights.soak: must be a number from 0 to 1000000000, got 1e+308",
        f"scenarios.Mine.weights.recent: must be a number from 0 to 1000000000, got 1{'0' * 19}…",
        "scenarios.Mine.limits.install: unknown; did you mean `install_gb`?",
        "scenarios.other.like: no built-in scenario `prodution`; did you mean `production`?",
        "scenarios.other.workloads: `gemm` stands there twice",
        "scenarios.other.devices: unknown `tpu`; did you mean `cpu`?",
        "scenarios.other.select[0]: a value is missing after `torch>` at column 7 of `torch>`",
        "scenarios.empty.require: missing; name the features that must pass",
        f"scenarios.empty.weights: {NOTHING}",
        f"scenarios.nowhere.devices: {NOWHERE}",
    ]


def test_the_built_in_ones_are_written_as_users_write_theirs():
    text = (Path(schema.__file__).parent / "scenarios.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    assert shape.check(data) == []
    assert scenarios(data["scenarios"]) == builtin()
    parse({**tomllib.loads(TORCH), **data}, Path("matrix.toml"))
