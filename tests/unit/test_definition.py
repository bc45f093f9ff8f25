"""matrix.toml → `Definition`, or one message with every mistake in it."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix import schema
from matrix.definition import FirstAvailable, load, parse
from matrix.errors import InputError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def refusal(text, path=HERE / "matrix.toml"):
    """The problems `parse` finds in a file's text."""
    with pytest.raises(InputError) as caught:
        parse(tomllib.loads(text), path)
    return caught.value.problems


def test_one_message_lists_every_mistake_with_its_path():
    """Shapes and meanings together: nobody mends a file one error at a time."""
    text = """
[matrix]
pyton = ["3.11"]
python = ["3.x"]

[[torch]]
version = ["2.6.0", "2.66.0"]
variants = ["cpu", "cu131", "cuda"]

[[torch]]
version = "2.6.0"
variants = ["cpu"]

[[torch]]
version = "2.2.2"
python = ["3.14"]
device = "gpu"

[[torch]]
version = 2.6

[[companion]]
package = "torchao"
version = "not a version"
torch = "=>2"

[[exclude]]
select = "torch=2"
reason = "because"

[suites.mine]
tests = "no-such-folder"
requirements = ["===="]

[suites.feature]
command = ["true"]

[profiles.default]
select = ["varient==cpu"]
suites = ["featur"]
baseline = "torch>"

[runners.local]
slots = 0
"""
    with pytest.raises(InputError) as caught:
        parse(tomllib.loads(text), HERE / "matrix.toml")
    lines = str(caught.value).splitlines()
    wanted = [
        "matrix.pyton: unknown key; did you mean `python`?",
        "torch[3].version: expected a string or a list of strings, got 2.6",
        'matrix.python: `3.x` is no Python version; write "3.12" or "3.14t"',
        (
            "torch[0].version: torch 2.66.0 does not exist in the facts of 2026-11-22; "
            "did you mean `2.6.0`?"
        ),
        (
            "torch[0].variants: `cu131` was never published: torch 2.6.0 has cpu, cu118, cu124, "
            "cu126, rocm6.1, rocm6.2.4, xpu"
        ),
        "torch[0].variants: `cuda` is no variant; write `cpu`, `cu130`, `rocm7.2`, `default` …",
        "torch[2].python: no wheel for Python 3.14: torch 2.2.2 has 3.8 to 3.12",
        "torch[2].device: unknown `gpu`; did you mean `cpu`?",
        "companion[0].torch: `=>2` is no version specifier; write `>=2.9` or `>=2.6,<2.12`",
        "companion[0].version: `torchao==not a version` is no requirement (",
        (
            "exclude[0].select: expected one of == != < <= > >= ~ after `torch` at column 6 of "
            "`torch=2`"
        ),
        "suites.mine.requirements[0]: `====` is no requirement (",
        "suites.mine.tests: `no-such-folder` does not exist beside the matrix file",
        "suites.feature.command: the tests of `feature` are part of torch-matrix; name another",
        (
            "profiles.default.select[0]: unknown field `varient` (did you mean `variant`?) at "
            "column 1 of `varient==cpu`"
        ),
        "profiles.default.baseline: a value is missing after `torch>` at column 7 of `torch>`",
        "profiles.default.suites: no suite `featur`; did you mean `feature`?",
        "runners.local.slots: at least 1, got 0",
    ]
    assert lines[0] == f"`{HERE / 'matrix.toml'}` has {len(wanted)} mistake(s):"
    assert len(lines) == len(wanted) + 1
    for line, text_ in zip(lines[1:], wanted, strict=True):
        assert line.startswith(f"  - {text_}"), line


def test_two_blocks_that_make_one_cell_are_named():
    """`default` of 2.6.0 is cu124, so both blocks ask for the same environment."""
    problems = refusal("""
[[torch]]
version = "2.6.0"
variants = ["default"]
python = ["3.11", "3.12"]
[[torch]]
version = ["2.5.1", "2.6.0"]
variants = ["cu124"]
python = ["3.12"]
""")
    assert problems == ["torch[1]: cell `torch2.6.0-cu124-py3.12` is already made by torch[0]"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "torch: nothing to test; add a [[torch]] block with a `version`",
                     id="empty-file"),
        pytest.param("torch = []", "torch: nothing to test; add a [[torch]] block with a `version`",
                     id="no-torch"),
        pytest.param("[[torch]]\nversion = []", "torch[0].version: empty; name a release",
                     id="no-version"),
        pytest.param("[[torch]]\nversion = '2.6.0'\nvariants = []",
                     "torch[0].variants: empty; leave it out or name a build", id="no-variants"),
        pytest.param("[[torch]]\nversion = '2.6.0'\nvariants = [{first_available = []}]",
                     "torch[0].variants: `first_available` names no build", id="no-candidates"),
        pytest.param("[[torch]]\nversion = '2.6.0'\npython = []",
                     "torch[0].python: empty; leave it out or name a version", id="no-python"),
        pytest.param("[matrix]\npython = []\n[[torch]]\nversion = '2.6.0'",
                     "matrix.python: empty; leave it out or name a version",
                     id="no-default-python"),
        pytest.param("[matrix]\npython = ['3.99']\n[[torch]]\nversion = '2.6.0'",
                     "matrix.python: no wheel for Python 3.99: torch 2.6.0 has 3.9 to 3.13",
                     id="default-python-nobody-has"),
        pytest.param("[[torch]]\nversion = '2.6.0'\n[suites.x]",
                     "suites.x: needs either `tests` or `command`", id="suite-of-nothing"),
        pytest.param("[[torch]]\nversion = '2.6.0'\n[suites.X]\ncommand = ['true']",
                     "suites.X: a suite's name has only lower-case letters, digits, - and _",
                     id="suite-name"),
        pytest.param("[[torch]]\nversion = '2.6.0'\n[suites.x]\ncommand = []",
                     "suites.x.command: empty; name a program", id="empty-command"),
        pytest.param("[[torch]]\nversion = '2.6.0'\n[suites.x]\ntests = 't'\nsource = 'einops'",
                     "suites.x.source: `einops` needs an exact `name==version`",
                     id="source-without-version"),
        pytest.param("[[torch]]\nversion = '2.6.0'\n[suites.x]\ntests = 't'\n"
                     "source = \"einops; python_version == '3'\"",
                     "suites.x.source: `einops; python_version == '3'` needs an exact "
                     "`name==version`", id="source-with-a-marker-instead"),
        pytest.param("[[torch]]\nversion = '2.6.0'\n[suites.x]\ncommand = ['true']\ntimeout = 0",
                     "suites.x.timeout: must be more than 0, got 0", id="no-time"),
        pytest.param("[[torch]]\nversion = '2.6.0'\n[suites.x]\ncommand = ['true']\ngpus = 0",
                     "suites.x.gpus: must be more than 0, got 0", id="no-gpu"),
        pytest.param("[[torch]]\nversion = '2.6.0'\n[suites.x]\ncommand = ['true']\ntimeout = nan",
                     "suites.x.timeout: must be more than 0, got nan", id="no-number"),
        pytest.param("[[torch]]\nversion = '2.6.0'\n[suites.x]\ntests = 5",
                     "suites.x.tests: expected a string or a list of strings, got 5",
                     id="no-second-complaint-about-the-same-key"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(text, problem):
    assert refusal(text) == [problem]


def test_defaults_apply_where_a_block_says_nothing(matrix_file):
    definition = load(matrix_file("[[torch]]\nversion = '2.6.0'"))
    [block] = definition.torch
    assert (block.versions, block.variants, block.pythons) == (("2.6.0",), ("default",), ("3.11",))
    assert definition.pytorch_index == "https://download.pytorch.org/whl"
    assert set(definition.suites) == {"feature", "throughput"}
    assert definition.suites["throughput"].exclusive
    assert definition.profiles["default"].suites == ("feature", "throughput")
    assert definition.runners["local"].slots is None


def test_a_default_python_may_be_missing_from_some_releases():
    """Such combinations are excluded rows; only a Python that no release has is a mistake."""
    text = "[matrix]\npython = ['3.8', '3.12']\n[[torch]]\nversion = ['2.0.0', '2.6.0']"
    assert parse(tomllib.loads(text), HERE / "m.toml").torch[0].pythons == ("3.8", "3.12")


def test_everything_a_user_may_write_arrives(matrix_file, tmp_path):
    (tmp_path / "mine").mkdir()
    definition = load(
        matrix_file("""
[matrix]
python = ["3.12"]
pytorch_index = "https://mirror/whl/"
[[torch]]
version = ["2.6.0"]
variants = [{first_available = ["cpu", "default"]}, "cu126"]
device = "cpu"
[[companion]]
package = "TorchAO"
version = ["0.9.0"]
torch = ">=2.5"
[images]
cpu = "registry/python"
[runners.local]
slots = 3
env = {A = "1"}
[suites.mine]
tests = "mine"
requirements = ["einops"]
companions = ["triton"]
pytest_args = ["-x"]
env = {B = "2"}
timeout = 10
test_timeout = 5
exclusive = true
[suites.theirs]
source = "einops==0.8.0"
tests = ["tests/a", "tests/b"]
[profiles.gpu]
select = ["device==cuda"]
suites = ["mine"]
baseline = "torch2.6.0-*"
""")
    )
    [block] = definition.torch
    assert block.variants == (FirstAvailable(candidates=("cpu", "default")), "cu126")
    assert (block.pythons, block.device) == (("3.12",), "cpu")
    assert definition.companions[0].package == "torchao"
    assert definition.pytorch_index == "https://mirror/whl"
    assert definition.images == {"cpu": "registry/python"}
    assert (definition.runners["local"].slots, definition.runners["local"].env) == (3, {"A": "1"})
    mine, theirs = definition.suites["mine"], definition.suites["theirs"]
    assert mine.tests == (tmp_path / "mine",)
    assert (mine.timeout, mine.test_timeout, mine.exclusive) == (10.0, 5.0, True)
    assert (mine.requirements, mine.companions, mine.env) == (("einops",), ("triton",), {"B": "2"})
    assert theirs.tests == (Path("tests/a"), Path("tests/b"))
    assert definition.profiles["gpu"].baseline == "torch2.6.0-*"


def test_our_own_matrix_is_right():
    assert load(ROOT / "matrix.toml").torch


def test_no_file_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(InputError) as caught:
        load(tmp_path / "none.toml")
    assert str(caught.value) == (
        f"no matrix file at `{tmp_path / 'none.toml'}`\n  - name one with `--file`"
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"[torch", id="no-toml"),
        pytest.param(b"\xff\xfe", id="no-utf-8"),
        pytest.param(b"a = 1\na = 2", id="a-key-twice"),
        pytest.param(b"[suites.x]\ncommand=['a']\n[suites.x]\n", id="a-suite-twice"),
        pytest.param(b"a = " + b"[" * 3000, id="nested-too-deep"),
    ],
)
def test_what_is_no_toml_is_an_input_error(tmp_path, content):
    path = tmp_path / "matrix.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        load(path)


scalars = st.one_of(
    st.text(max_size=8),
    st.integers(-5, 5),
    st.floats(),
    st.booleans(),
    st.sampled_from(["2.6.0", "2.15.0", "cpu", "default", "published", "3.11", "feature", "a/b"]),
    st.just("x" * 300),
    st.just("a\0b"),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["first_available", "A", ""]), inner, max_size=2),
    ),
    max_leaves=4,
)


def _tables(keys):
    return st.dictionaries(st.sampled_from([*keys, "unknown"]), values, max_size=5)


def _section(how, keys):
    table = _tables(keys)
    if how == "array":
        return st.one_of(values, st.lists(st.one_of(values, table), max_size=3))
    if how == "named":
        names = st.sampled_from(["feature", "local", "mine", "X y", ""])
        return st.one_of(values, st.dictionaries(names, st.one_of(values, table), max_size=3))
    return st.one_of(values, table)


files = st.fixed_dictionaries(
    {},
    optional={
        **{name: _section(how, keys) for name, (how, keys) in schema.SECTIONS.items()},
        "unknown": values,
    },
)


@given(files)
def test_any_file_gives_a_definition_or_an_input_error(data):
    """Whatever stands in the file, the user gets a list of mistakes, not a traceback."""
    try:
        definition = parse(data, HERE / "matrix.toml")
    except InputError as error:
        problems = error.problems
    else:
        problems = [str(block.path) for block in definition.torch]
    assert problems
    assert all(isinstance(problem, str) and problem for problem in problems)
