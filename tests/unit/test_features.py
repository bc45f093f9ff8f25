"""Features are read from their source, as they were written."""

import ast
import json

import pytest

from matrix import resources
from matrix.errors import InputError
from matrix.features import Case, catalogue

SOURCE = '''
"""A file that could not be imported here."""

import a_module_that_is_nowhere
from matrix.inside import feature

NEEDS = ["compiler"]
OLD = [lacks("a"), lacks("b")]
GONE = helper()
shared = feature("shared", "Named once", needs=[*NEEDS, "module:x"])


@feature(
    "one",
    "The first "
    "feature",
    purpose="An engine does something with it.",
    refusals=[lacks("c"), *OLD, *GONE],
    needs=NEEDS,
)
@pytest.mark.parametrize("n", [1, 2])
def test_one(n):
    """What it
    shows.

    Not shown.
    """


@feature("one", "The first feature", needs=["devices:2"])
def test_one_more():
    pass


@shared
def test_shared():
    """By a name."""


class TestIt:
    @marks.feature(id="method", title="In a class")
    async def test_method(self):
        """Of a class."""


ROW = feature("row", "Marks a set", purpose="By a name, too.")
SETS = [
    pytest.param(1, marks=feature("set", "Marks a set", needs=NEEDS)),
    pytest.param(2, marks=[pytest.mark.slow, ROW]),
    pytest.param(3),
    4,
]


@pytest.mark.parametrize("n", SETS)
def test_sets(n):
    """Of each set."""


@feature(f"computed-{1}", "Not to be known")
def test_computed():
    pass


@workload("w", "No feature")
def test_workload():
    pass


def test_plain():
    pass
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "test_group.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "helper.py").write_text("@feature('helper', 'No test')\ndef f(): pass\n")
    return tmp_path


def test_what_is_literal_is_read_and_what_must_be_run_is_counted(folder):
    found = {one.id: one for one in catalogue(folder)}
    assert list(found) == ["method", "one", "row", "set", "shared"]
    one = found["one"]
    assert (one.group, one.title) == ("group", "The first feature")
    assert one.purpose == "An engine does something with it."
    assert one.needs == ("compiler", "devices:2")
    assert one.refusals == 4
    assert one.tests == (
        Case(name="test_one", doc="What it shows."),
        Case(name="test_one_more", doc=""),
    )


def test_a_decorator_may_have_a_name_and_a_test_a_class(folder):
    found = {one.id: one for one in catalogue(folder)}
    assert found["shared"].needs == ("compiler", "module:x")
    assert found["shared"].tests == (Case(name="test_shared", doc="By a name."),)
    assert found["method"].tests == (Case(name="test_method", doc="Of a class."),)


def test_a_set_of_parameters_may_be_a_feature(folder):
    found = {one.id: one for one in catalogue(folder)}
    assert found["set"].needs == ("compiler",)
    assert found["row"].purpose == "By a name, too."
    case = Case(name="test_sets", doc="Of each set.")
    assert found["set"].tests == found["row"].tests == (case,)


def test_a_single_file_is_a_place_too(folder):
    assert catalogue(folder / "test_group.py") == catalogue(folder)


def test_a_file_that_is_no_python_is_the_users_mistake(tmp_path):
    (tmp_path / "test_bad.py").write_text("def (:\n")
    with pytest.raises(InputError, match=r"test_bad\.py` cannot be read"):
        catalogue(tmp_path)


def test_every_feature_of_our_own_suite_is_found():
    """As many as there are decorators, each with an id, a title and a documented test."""
    ids = set()
    for path in resources.files_under(resources.suite_tests("feature")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "feature":
                ids.add(ast.literal_eval(node.args[0]))
    found = catalogue()
    assert {one.id for one in found} == ids
    assert len(found) == len(ids) > 30
    assert all(one.title and one.tests and any(t.doc for t in one.tests) for one in found)


def test_the_command_lists_them(run_cli, matrix_file, world):
    matrix_file(world.TWO_CELLS)
    done = run_cli("features")
    assert done.code == 0
    assert "attention\n" in done.out
    assert "  sdpa: Scaled dot product attention\n" in done.out
    assert "measured: nowhere yet" in done.out
    listed = json.loads(run_cli("features", "--json").out)
    assert [one["id"] for one in listed] == [one.id for one in catalogue()]


def test_evidence_is_counted(run_cli, matrix_file, world, record):
    matrix_file(world.TWO_CELLS)
    fields = {"feature": "sdpa", "title": "t"}
    recording = record(world.outcome("test_attention.py::t", "wrong", **fields))
    run_cli("run", "--backend", "replay", "--recording", recording, "--suite", "feature", "--json")
    listed = {one["id"]: one for one in json.loads(run_cli("features", "--json").out)}
    assert listed["sdpa"]["verdicts"] == {"wrong": 1}
    assert listed["matmul"]["verdicts"] == {}


def test_a_suite_of_the_users_is_read_too(run_cli, matrix_file, world, folder):
    matrix_file(
        world.TWO_CELLS + f'\n[suites.mine]\ntests = ["{folder}"]\n[suites.c]\ncommand = ["true"]\n'
    )
    done = run_cli("features", "--suite", "mine", "--json")
    assert [one["id"] for one in json.loads(done.out)] == ["method", "one", "row", "set", "shared"]
    done = run_cli("features", "--suite", "c")
    assert done.code == 2
    assert "it is no folder of pytest's tests" in done.err
