"""Published facts: how versions sort, what counts as published, what old releases need."""

import csv
import re
from importlib.resources import files

import pytest
from packaging.specifiers import SpecifierSet

from matrix import facts
from matrix.accelerators import ACCELERATORS
from matrix.facts import knownbad


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param("rocm7.2", "rocm7.14", id="rocm-7.14-sorts-after-7.2"),
        pytest.param("2.9.1", "2.10.0", id="torch-2.10-sorts-after-2.9"),
        pytest.param("3.9", "3.11", id="python-3.11-sorts-after-3.9"),
        pytest.param("535.104.05", "580.65.06", id="drivers"),
        pytest.param("torch2.2.2-cpu-py3.11", "torch2.15.0-cpu-py3.11", id="cell-ids"),
    ],
)
def test_versions_sort_as_integers(earlier, later):
    assert facts.natural(earlier) < facts.natural(later)


@pytest.mark.parametrize("text", ["²", "2.²", "٣", "", "...", "\0"])
def test_any_text_has_a_place_in_the_order(text):
    """Digits that are no decimal digits of ours are text, not an error."""
    assert facts.natural(text) != facts.natural("2.6.0")


@pytest.mark.parametrize("status", ["unconfirmed", "absent"])
def test_what_nobody_confirmed_is_not_published(status):
    """Unknown is a value of its own: it is in the facts, and never counts as published."""
    rows = [b for builds in facts.builds().values() for b in builds.values() if b.status == status]
    assert rows
    assert not any(build.published for build in rows)
    assert not any(build.variant in facts.published(build.torch) for build in rows)


def test_a_status_nobody_knows_is_unconfirmed():
    """A CSV that says something new says nothing yet."""
    assert facts._status({"kind": "stable", "evidence": "rumoured"}) == "unconfirmed"
    assert facts._status({"kind": "absent", "evidence": "observed"}) == "absent"


def test_every_release_has_one_default_build():
    """`default` means one variant for each release."""
    for torch, builds in facts.builds().items():
        assert sum(b.is_default and b.published for b in builds.values()) == 1, torch
        assert facts.default_variant(torch) in facts.published(torch)


def test_releases_and_variants_come_in_ascending_order():
    assert list(facts.builds()) == sorted(facts.builds(), key=facts.natural)
    variants = list(facts.builds()["2.14.0"])
    assert variants.index("rocm7.2") < variants.index("rocm7.14")


@pytest.mark.parametrize(
    ("torch", "wanted"),
    [
        pytest.param(
            "2.0.0", {"numpy<2", "setuptools<81"}, id="2.0-needs-old-numpy-and-setuptools"
        ),
        pytest.param("2.2.2", {"numpy<2", "setuptools<82"}, id="2.2-needs-old-numpy"),
        pytest.param("2.6.0", {"numpy", "setuptools<82"}, id="2.6-takes-any-numpy"),
        pytest.param("2.15.0", {"numpy"}, id="2.15-declares-setuptools-itself"),
    ],
)
def test_what_a_release_needs_beside_its_metadata(torch, wanted):
    assert {need.requirement for need in facts.needs_of(torch)} == wanted


def test_every_need_says_why_and_who_says_so():
    assert all(need.why and need.source for need in facts.needs())


@pytest.mark.parametrize(
    ("python", "there"),
    [
        pytest.param("3.9", False, id="below"),
        pytest.param("3.10", True, id="lowest"),
        pytest.param("3.12", True, id="between"),
        pytest.param("3.99", False, id="above"),
        pytest.param("3.9t", False, id="free-threaded-is-a-build-of-its-own"),
    ],
)
def test_a_build_knows_its_pythons(python, there):
    build = facts.Build(
        torch="9.9.9",
        variant="cpu",
        kind="stable",
        status="observed",
        python_min="3.10",
        python_max="3.14",
        free_threaded=("cp314t",),
        released="",
        wheel_bytes=None,
        source="here",
        notes="",
    )
    assert build.has_python(python) is there
    assert build.has_python("3.14t")
    assert build.pythons == "3.10 to 3.14, cp314t"


def test_a_build_without_a_known_range_has_no_python():
    """Unknown is never green."""
    unknown = next(b for all_ in facts.builds().values() for b in all_.values() if not b.python_min)
    assert not unknown.has_python("3.11")
    assert unknown.pythons == "none"


@pytest.mark.parametrize(
    ("name", "column", "known"),
    [
        pytest.param(
            "torch_builds.csv",
            "evidence",
            {"observed", "declared", "reported", "unconfirmed", "absent"},
            id="torch-builds",
        ),
        pytest.param(
            "companions.csv",
            "status",
            {"observed", "declared", "reported", "unconfirmed", "absent"},
            id="companions",
        ),
        pytest.param("drivers.csv", "status", {"confirmed", "unconfirmed"}, id="drivers"),
        pytest.param("breaking_changes.csv", "status", {"confirmed", "unconfirmed"}, id="changes"),
    ],
)
def test_every_fact_has_a_source_and_a_known_status(name, column, known):
    with (files("matrix.facts") / name).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    for number, row in enumerate(rows, 2):
        assert None not in row, f"{name}:{number} has more fields than the header"
        assert None not in row.values(), f"{name}:{number} has fewer fields than the header"
        assert row["source"].strip(), f"{name}:{number} has no source"
        assert row[column] in known, f"{name}:{number} has status {row[column]!r}"


def test_every_change_says_how_it_is_observed():
    """By features, by columns of the builds, or not at all and why."""
    with (files("matrix.facts") / "breaking_changes.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with (files("matrix.facts") / "torch_builds.csv").open(encoding="utf-8") as stream:
        columns = {*next(csv.reader(stream)), "variants", "default-variant"}
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        named = row["observed_by"].split("; ")
        assert row["observe"] in {"feature", "gated", "none"}, row["id"]
        assert all(named), row["id"]
        if row["observe"] == "gated":
            assert set(named) <= columns, row["id"]
        if row["observe"] == "feature":
            assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in named), row["id"]


def test_no_build_stands_twice():
    with (files("matrix.facts") / "torch_builds.csv").open(encoding="utf-8", newline="") as stream:
        keys = [(row["torch"], row["variant"]) for row in csv.DictReader(stream)]
    assert len(keys) == len(set(keys))


def test_a_companions_pin_is_its_own_metadata():
    pin = facts.pins()["torchvision", "0.15.1"]
    assert (pin.torch, pin.exact, pin.status) == ("==2.0.0", True, "observed")


def test_driver_floors_are_versions():
    floors = facts.driver_floors()
    assert facts.natural(floors["cu130"].floor) >= facts.natural("580")
    assert all(floor.source for floor in floors.values())


@pytest.mark.parametrize("bad", knownbad.known_bad(), ids=lambda bad: bad.id)
def test_a_known_bad_combination_can_be_recognised_and_says_why(bad):
    assert bad.packages or bad.rocm
    for specifier in (*bad.packages.values(), bad.rocm):
        SpecifierSet(specifier)
    for text in (bad.why, bad.fix, bad.source):
        assert text
        assert text == " ".join(text.split())
    assert bad.accelerator in {"", *ACCELERATORS}
    assert bad.basis in {"declared", "measured"}


def test_known_bad_combinations_have_ids_of_their_own():
    ids = [bad.id for bad in knownbad.known_bad()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("variant", "floor"),
    [("cu130", "580.65.06"), ("cu139", "580.65.06"), ("cu12", ""), ("cpu", "")],
)
def test_a_toolkit_without_a_row_has_the_floor_of_its_major_version(variant, floor):
    found = facts.driver_floor(variant)
    assert (found.floor if found else "") == floor
