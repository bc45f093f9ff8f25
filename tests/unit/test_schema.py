"""The keys of matrix.toml: one table gives the checker, its hints and the editors' schema."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from matrix import schema, shape

ROOT = Path(__file__).parents[2]


def test_the_schema_in_the_repository_is_the_generated_one():
    """`python -m matrix schema > matrix/matrix.schema.json` makes it again."""
    path = ROOT / "matrix" / "matrix.schema.json"
    assert path.read_text(encoding="utf-8") == json.dumps(schema.json_schema(), indent=1) + "\n"


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())


def test_the_schema_accepts_our_own_matrix():
    data = tomllib.loads((ROOT / "matrix.toml").read_text(encoding="utf-8"))
    jsonschema.validate(data, schema.json_schema())
    assert shape.check(data) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[matrix]\npyton = []", "matrix.pyton: unknown key; did you mean `python`?",
                     id="unknown-key"),
        pytest.param("[zzz]", "zzz: unknown section; known: matrix, torch, companion, exclude, "
                     "images, cache, runners, suites, profiles, scenarios", id="unknown-section"),
        pytest.param("[torch]\nversion = 'x'",
                     "torch: expected an array of tables, written [[torch]]", id="table-for-array"),
        pytest.param("torch = [1]", "torch[0]: expected a table, got int", id="number-for-table"),
        pytest.param("[[torch]]", "torch[0].version: missing; it is torch release or releases, "
                     "as published", id="missing-key"),
        pytest.param("[[torch]]\nversion = 2.6",
                     "torch[0].version: expected a string or a list of strings, got 2.6",
                     id="number-for-version"),
        pytest.param("[[torch]]\nversion = '2.6.0'\nvariants = [{first = []}]",
                     "torch[0].variants: expected a list of variants or "
                     "`{first_available = [...]}`, got [{'first': []}]", id="bad-variant"),
        pytest.param("suites = 1", "suites: expected tables, written [suites.NAME]",
                     id="number-for-suites"),
        pytest.param("[suites.x]\ntimeout = true",
                     "suites.x.timeout: expected a number, got True", id="boolean-for-number"),
        pytest.param("[runners.local]\nslots = 1.5",
                     "runners.local.slots: expected an integer, got 1.5", id="fraction-for-slots"),
        pytest.param("[runners.local]\nenv = {A = 1}",
                     "runners.local.env: expected a table of strings, got {'A': 1}",
                     id="number-in-env"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_named_with_its_path(text, message):
    """And the editors' schema refuses what the checker refuses."""
    data = tomllib.loads(text)
    assert shape.check(data) == [message]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema.json_schema())


def test_what_is_sound_is_kept_in_its_place():
    """A table that cannot be read leaves a hole, so that the others keep their numbers."""
    data = tomllib.loads("""
        [matrix]
        pyton = ["3.11"]
        [[torch]]
        version = 2
        [[torch]]
        version = "2.6.0"
        pithon = ["3.11"]
        [suites.x]
        tests = "t"
        timeout = "long"
    """)
    assert shape.sound(data) == {
        "matrix": {},
        "torch": [None, {"version": "2.6.0"}],
        "suites": {"x": {"tests": "t"}},
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("pythn", "did you mean `python`?", id="near"),
        pytest.param("qqq", "known: python, variants", id="far"),
    ],
)
def test_a_hint_is_a_near_name_or_all_names(name, text):
    assert schema.hint(name, ["python", "variants"]) == text
