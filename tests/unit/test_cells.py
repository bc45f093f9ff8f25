"""Definition + facts → cells and exclusions, and the selection among them."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix import facts
from matrix.cells import Cell, expand, parse_companion, parse_id, select
from matrix.definition import parse
from matrix.errors import InputError


def refuse(torch, variant, python):
    return f"no index offers torch=={torch}+{variant} for Python {python}"


def expansion(text, offers=lambda *_: ""):
    return expand(parse(tomllib.loads(text), Path("matrix.toml")), offers)


def ids(items):
    return [item.id for item in items]


def test_cells_are_what_facts_say_exists_and_the_rest_is_excluded():
    found = expansion("""
[[torch]]
version = ["2.2.2", "2.6.0"]
variants = ["cpu", "cu121"]
python = ["3.12", "3.13"]
""")
    assert ids(found.cells) == [
        "torch2.2.2-cpu-py3.12",
        "torch2.2.2-cu121-py3.12",
        "torch2.6.0-cpu-py3.12",
        "torch2.6.0-cpu-py3.13",
    ]
    rules = {e.id: e.rule for e in found.excluded}
    assert rules == {
        "torch2.2.2-cpu-py3.13": "python",
        "torch2.2.2-cu121-py3.13": "python",
        "torch2.6.0-cu121-py3.12": "variant-not-published",
        "torch2.6.0-cu121-py3.13": "variant-not-published",
    }
    assert all(e.reason and e.source and e.date == facts.COLLECTED for e in found.excluded)


def test_every_published_build_is_a_cell_and_every_other_a_row():
    """`published` hides nothing: unconfirmed builds stand there with their status."""
    found = expansion('[[torch]]\nversion = "2.15.0"\nvariants = ["published"]\npython = ["3.12"]')
    rules = {e.id: e.rule for e in found.excluded}
    assert rules["torch2.15.0-cpu-py3.12"] == "variant-unconfirmed"
    assert rules["torch2.15.0-cu126-py3.12"] == "variant-absent"
    assert len(found.cells) + len(found.excluded) == len(facts.builds()["2.15.0"])
    assert all(facts.builds()[c.torch][c.variant].published for c in found.cells)


def test_a_build_for_an_unknown_accelerator_is_excluded():
    found = expansion('[[torch]]\nversion = "2.6.0"\nvariants = ["published"]\npython = ["3.12"]')
    [xpu] = [e for e in found.excluded if "xpu" in e.id]
    assert xpu.reason == "`xpu` is for an accelerator this project does not test"


def test_default_is_what_a_plain_install_gives():
    found = expansion('[[torch]]\nversion = "2.6.0"')
    assert ids(found.cells) == ["torch2.6.0-cu124-py3.11"]
    assert found.cells[0].device == "cuda"


FIRST = """
[[torch]]
version = "2.6.0"
variants = [{first_available = ["cpu", "default"]}]
"""


def test_the_first_available_build_is_taken():
    found = expansion(FIRST)
    assert (ids(found.cells), found.excluded) == (["torch2.6.0-cpu-py3.11"], ())


def test_a_build_that_no_index_offers_is_named_and_the_next_takes_its_place():
    """The tests still run where the first choice would have run them."""
    found = expansion(FIRST, refuse)
    [cell], [excluded] = found.cells, found.excluded
    assert (cell.id, cell.device) == ("torch2.6.0-cu124-py3.11", "cpu")
    assert (excluded.id, excluded.rule) == ("torch2.6.0-cpu-py3.11", "first_available")
    assert excluded.reason == "no index offers torch==2.6.0+cpu for Python 3.11"


def test_an_index_is_asked_only_where_it_must_choose():
    asked = []
    expansion('[[torch]]\nversion = "2.6.0"\nvariants = ["cpu"]', lambda *a: asked.append(a) or "")
    assert asked == []


def test_two_blocks_whose_choice_ends_at_one_cell_are_a_mistake():
    with pytest.raises(InputError) as caught:
        expansion(FIRST + '[[torch]]\nversion = "2.6.0"\nvariants = ["cpu"]')
    assert caught.value.problems == [
        "torch[1]: cell `torch2.6.0-cpu-py3.11` is already made by torch[0]"
    ]


def test_one_block_may_name_a_build_twice():
    found = expansion('[[torch]]\nversion = "2.6.0"\nvariants = ["default", "cu124"]')
    assert ids(found.cells) == ["torch2.6.0-cu124-py3.11"]


COMPANION = """
[[torch]]
version = ["2.0.0", "2.6.0"]
variants = ["cpu"]
[[companion]]
package = "torchvision"
version = ["0.15.1"]
"""


def test_companions_give_further_cells_and_their_pins_exclude():
    found = expansion(COMPANION)
    assert ids(found.cells) == [
        "torch2.0.0-cpu-py3.11",
        "torch2.0.0-cpu-py3.11-torchvision0.15.1",
        "torch2.6.0-cpu-py3.11",
    ]
    [excluded] = found.excluded
    assert excluded.id == "torch2.6.0-cpu-py3.11-torchvision0.15.1"
    assert excluded.reason == "torchvision 0.15.1 needs torch==2.0.0 (observed)"


def test_a_companion_may_be_for_some_releases_only():
    found = expansion(COMPANION + 'torch = ">=2.9"')
    assert (len(found.cells), found.excluded) == (2, ())


def test_what_the_user_excludes_stands_with_their_reason():
    found = expansion(COMPANION + '[[exclude]]\nselect = "torch==2.6"\nreason = "known bad"')
    own = [e for e in found.excluded if e.rule == "matrix.toml"]
    assert [(e.id, e.reason, e.source) for e in own] == [
        ("torch2.6.0-cpu-py3.11", "known bad", "exclude[0] of matrix.toml")
    ]


def test_an_exclusion_of_nothing_is_a_mistake():
    with pytest.raises(InputError) as caught:
        expansion(COMPANION + '[[exclude]]\nselect = "torch==2.5"\nreason = "r"')
    assert caught.value.problems == ["exclude[0].select: `torch==2.5` matches no cell"]


def test_selections_are_alternatives_in_the_order_of_the_cells():
    cells = expansion(COMPANION).cells
    assert ids(select(cells, ["torch==2.6", "torch2.0.0-cpu-py3.11"])) == [
        "torch2.0.0-cpu-py3.11",
        "torch2.6.0-cpu-py3.11",
    ]
    assert select(cells, []) == cells


def test_all_selections_that_cannot_be_read_are_named():
    with pytest.raises(InputError) as caught:
        select((), ["torch=1", "cpu==2"])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("torch2.13.0-cu130-py3.12", ("2.13.0", "cu130", "3.12"), id="plain"),
        pytest.param("torch2.13.0-rocm7.2-py3.14t", ("2.13.0", "rocm7.2", "3.14t"), id="threads"),
        pytest.param(
            "torch2.6.0-cpu-py3.11-torchao0.9.0", ("2.6.0", "cpu", "3.11"), id="companion"
        ),
        pytest.param("torch-cpu", None, id="no-id"),
        pytest.param("", None, id="empty"),
    ],
)
def test_an_id_can_be_read_back(text, parts):
    assert parse_id(text) == parts


@pytest.mark.parametrize(
    ("text", "companion"),
    [
        pytest.param("torch2.11.0-cu130-py3.12-torchao0.17.0", ("torchao", "0.17.0"), id="plain"),
        pytest.param("torch2.11.0-cu130-py3.12-flash-attn2.8.3.post1",
                     ("flash-attn", "2.8.3.post1"), id="hyphen"),
        pytest.param("torch2.11.0-cu130-py3.12-x", ("", "x"), id="no-version"),
        pytest.param("torch2.11.0-cu130-py3.12", None, id="none"),
        pytest.param("torch", None, id="no-id"),
    ],
)  # fmt: skip
def test_a_companion_can_be_read_back(text, companion):
    assert parse_companion(text) == companion


words = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=60)
anything = st.text(min_size=1, max_size=60)


@given(st.lists(st.tuples(anything, anything), max_size=2))
@example([("x" * 120, "1" * 120), ("..", "/../"), ("é\0\n", "🔥")])
def test_an_id_is_safe_as_a_file_name_and_an_image_tag(companions):
    """Whatever companions are called: `[a-z0-9._-]`, at most 100 characters, never `..`."""
    cell = Cell(
        torch="2.6.0",
        variant="cpu",
        python="3.11",
        device="cpu",
        companions=tuple(f"{name}=={version}" for name, version in companions),
    )
    assert re.fullmatch(r"torch2\.6\.0-cpu-py3\.11[a-z0-9._-]*", cell.id)
    assert len(cell.id) <= 100


@given(words, words)
def test_long_ids_that_differ_stay_different(one, other):
    """Past 100 characters the tail becomes a hash of all of it."""

    def cell(tail):
        companion = f"{'x' * 100}=={tail.lower()}"
        return Cell(
            torch="2.6.0", variant="cpu", python="3.11", device="cpu", companions=(companion,)
        )

    assert (cell(one).id == cell(other).id) is (one.lower() == other.lower())
