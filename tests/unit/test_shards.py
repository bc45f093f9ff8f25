"""Shards: every cell is in exactly one, whoever cuts them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.cells import Cell
from matrix.errors import InputError
from matrix.shards import Part, cells_of, read_part, split

FILE = """
[[torch]]
version = ["2.6.0", "2.9.0", "2.10.0", "2.11.0"]
variants = ["cpu"]
python = ["3.11"]
[[torch]]
version = "2.11.0"
variants = ["cu130"]
python = ["3.11"]
[profiles.default]
suites = ["feature"]
"""


def cell(number, device="cpu"):
    variant = "cpu" if device == "cpu" else "cu130"
    return Cell(torch=f"2.{number}.0", variant=variant, python="3.11", device=device)


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["cpu", "cuda"])), unique=True),
       st.integers(1, 12))  # fmt: skip
def test_every_cell_is_in_one_shard_of_its_device(chosen, count):
    cells = [cell(*one) for one in chosen]
    shards = split(cells, count)
    assert sorted(c.id for shard in shards for c in shard.cells) == sorted(c.id for c in cells)
    assert len({shard.name for shard in shards}) == len(shards)
    for shard in shards:
        assert {c.device for c in shard.cells} == {shard.device}
        assert shard.part.count <= count
        alike = [len(s.cells) for s in shards if s.device == shard.device]
        assert max(alike) - min(alike) <= 1


@given(st.permutations(range(12)), st.integers(1, 15))
def test_the_order_in_which_cells_come_is_nothing(numbers, count):
    cells = [cell(number) for number in numbers]
    parts = [cells_of(Part(number=n, count=count), cells) for n in range(1, count + 1)]
    again = [cells_of(Part(number=n, count=count), sorted(cells, key=lambda c: c.id))
             for n in range(1, count + 1)]  # fmt: skip
    assert parts == again


def test_neighbours_are_dealt_in_turn():
    [first, second] = split([cell(n) for n in (10, 9, 6, 11)], 2)
    assert [c.torch for c in first.cells] == ["2.6.0", "2.10.0"]
    assert [c.torch for c in second.cells] == ["2.9.0", "2.11.0"]


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "-1/3", "a/b", "1/3/5", "1/99999"])
def test_what_is_no_part_is_named(text):
    with pytest.raises(InputError) as caught:
        read_part(text)
    assert str(caught.value) == f"--shard:\n  - `{text}` is no part such as 1/3, 2/3, 3/3"


def test_more_shards_than_a_workflow_can_have_are_refused():
    cells = [cell(n) for n in range(300)]
    assert len(split(cells, 256)) == 256
    with pytest.raises(InputError, match="300 shards; a workflow has at most 256 jobs"):
        split(cells, 300)


def test_plan_and_run_cut_the_same(run_cli, matrix_file, record, world):
    matrix_file(FILE)
    recording = record(world.outcome("t"))
    options = ("--backend", "replay", "--recording", recording)
    told = json.loads(run_cli("plan", *options, "--shards", "3", "--json").out)
    assert [(s["name"], s["shard"]) for s in told["shards"]] == [
        ("cpu-1-of-3", "1/3"), ("cpu-2-of-3", "2/3"), ("cpu-3-of-3", "3/3"), ("cuda-1-of-1", "1/1"),
    ]  # fmt: skip
    for shard in told["shards"][:3]:
        chosen = ("--select", "device==cpu", "--shard", shard["shard"])
        plan = json.loads(run_cli("plan", *options, *chosen, "--json").out)
        assert sorted(job["cell"] for job in plan["jobs"]) == sorted(shard["cells"])
    text = run_cli("plan", *options, "--shards", "1").out
    assert "shard  cuda-1-of-1: torch2.11.0-cu130-py3.11\n" in text


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        pytest.param(("--shard", "3/2"), 2, "`3/2` is no part", id="no-part"),
        pytest.param(("--shard", "6/6"), 3, "shard 6/6 of 5 cell(s) is empty", id="empty"),
        pytest.param(("--shards", "0"), 2, "at least 1, got 0", id="none"),
        pytest.param(("--shard", "1/2", "--python", "/bin/x", "--backend", "host"), 2,
                     "`--shard` needs several cells", id="one-interpreter"),
    ],
)  # fmt: skip
def test_shards_that_cannot_be(run_cli, matrix_file, record, world, options, code, said):
    matrix_file(FILE)
    recording = record(world.outcome("t"))
    backend = () if "host" in options else ("--backend", "replay", "--recording", recording)
    done = run_cli("plan", *backend, *options)
    assert done.code == code
    assert said in done.err
