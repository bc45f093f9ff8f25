"""What indexes list, on snapshots recorded from a registry on 2026-11-23: parts of its pages."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from pypi_simple import ProjectPage

from matrix import registry, resources
from matrix.facts.listings import (
    File,
    Listing,
    read_table,
    torch_metadata,
    wheels,
    write_table,
)
from matrix.facts.sync import sync_companion, sync_torch

SNAPSHOTS = Path(__file__).with_name("snapshots")
FACTS = resources.PACKAGE / "facts"
DAY = "2026-11-23"


def snapshot(name):
    return (SNAPSHOTS / name).read_text(encoding="utf-8")


def metadata(url):
    """What is recorded of a wheel's METADATA."""
    release = "-".join(url.rpartition("/")[2].split("-")[:2])
    path = SNAPSHOTS / f"{release}.METADATA"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def json_listing(read=metadata):
    page = ProjectPage.from_json_data(json.loads(snapshot("torch.json")))
    return registry.listing("index 1", page, read)


def html_listing(read=metadata):
    page = ProjectPage.from_html("torchvision", snapshot("torchvision.html"))
    return registry.listing("index 1", page, read)


def text_of(name):
    return (FACTS / f"{name}.csv").read_bytes().decode()


def facts(name):
    return read_table(text_of(name))


def states(done):
    return {(seen.version, seen.variant): seen.state for seen in done.seen}


@pytest.mark.parametrize("name", ["torch_builds", "companions"])
def test_a_table_is_written_as_it_was(name):
    assert write_table(facts(name)) == text_of(name)


def test_a_new_release_becomes_the_row_that_was_collected_by_hand():
    """All columns that a listing and METADATA can tell."""
    rows = facts("torch_builds")
    by_hand = next(r for r in rows if (r["torch"], r["variant"]) == ("2.15.0", "cu132"))
    without = [row for row in rows if row["torch"] != "2.15.0"]
    done = sync_torch(without, [json_listing()], DAY)
    [new] = [row for row in done.rows if row["torch"] == "2.15.0"]
    told = {name: value for name, value in new.items() if value}
    assert told.pop("source") == "index listing and wheel METADATA, 2026-11-23"
    assert told.pop("machines") == "x86_64", "another machine's default may be another variant"
    told.pop("matrix_tier")
    assert len(told) == 17
    assert told == {name: by_hand[name] for name in told}
    assert [seen.version for seen in done.seen if seen.new] == ["2.15.0"]
    assert done.rows.index(new) == max(
        place for place, row in enumerate(done.rows) if row["torch"] == "2.14.1"
        and row["kind"] != "absent"
    ) + 1  # fmt: skip


def test_facts_that_say_it_already_stay_as_they_are():
    rows = facts("torch_builds")
    done = sync_torch(rows, [json_listing()], DAY)
    assert list(done.rows) == rows
    found = states(done)
    assert found["2.15.0", "cu132"] == found["2.4.1", "cu121"] == "seen"
    assert found["2.13.0", "cu130"] == "absent", "a part of the page was recorded"
    assert found["2.15.0", "cpu"] == "unknown", "no such builds are on this index"
    assert not any(seen.new for seen in done.seen)


def test_an_index_that_does_not_answer_leaves_things_unknown():
    rows = facts("torch_builds")
    done = sync_torch(rows, [Listing(place="index 1", error="cannot be reached")], DAY)
    assert list(done.rows) == rows
    assert {seen.state for seen in done.seen} == {"unknown"}
    assert {seen.why for seen in done.seen} == {"index 1: cannot be reached"}


def test_a_release_whose_variant_nobody_tells_is_unknown_and_no_row():
    rows = [row for row in facts("torch_builds") if row["torch"] != "2.15.0"]
    done = sync_torch(rows, [json_listing(lambda _url: None)], DAY)
    assert list(done.rows) == rows
    [new] = [seen for seen in done.seen if seen.new]
    assert (new.version, new.state) == ("2.15.0", "unknown")
    assert new.why == "its METADATA, which names the CUDA it is for, cannot be had"


def wheel(version, python="cp311", machine="x86_64", **more):
    name = f"torch-{version}-{python}-{python}-manylinux_2_28_{machine}.whl"
    return File(filename=name, **more)


def row_of(done, torch, variant):
    [row] = [r for r in done.rows if (r["torch"], r["variant"]) == (torch, variant)]
    return row


def test_a_variant_of_its_own_index_is_a_row_without_metadata():
    files = [wheel("2.16.0+cu134", python) for python in ("cp311", "cp39", "cp314")]
    files.append(wheel("2.16.0+cu134", machine="aarch64", uploaded="2026-12-01"))
    done = sync_torch(facts("torch_builds"), [Listing(place="x", files=tuple(files))], DAY)
    row = row_of(done, "2.16.0", "cu134")
    assert (row["python_min"], row["python_max"]) == ("3.9", "3.14")
    assert (row["kind"], row["evidence"], row["machines"]) == (
        "stable",
        "observed",
        "aarch64;x86_64",
    )
    assert row["source"] == "index listing, 2026-11-23"
    assert row["release_date"] == "2026-12-01"


def test_ranges_are_widened_gaps_filled_and_nothing_taken_away():
    """2.15.0's CPU build is unconfirmed in the facts; a mirror may have a part of its wheels."""
    files = (wheel("2.15.0+cpu", "cp311", size=7), wheel("2.15.0+cpu", "cp316"))
    before = facts("torch_builds")
    done = sync_torch(before, [Listing(place="x", files=files)], DAY)
    row = row_of(done, "2.15.0", "cpu")
    assert (row["python_min"], row["python_max"]) == ("3.11", "3.16")
    assert (row["wheel_bytes"], row["evidence"]) == ("7", "observed")
    assert row["source"].endswith("; index listing, 2026-11-23")
    assert row["free_threaded"] == "cp314t;cp315t"
    assert len(done.rows) == len(before)


def test_what_differs_is_told_and_stays():
    files = (wheel("2.15.0", "cp311", size=7),)
    before = facts("torch_builds")
    done = sync_torch(before, [Listing(place="x", files=files)], DAY)
    assert list(done.rows) == before
    assert done.differs == ("torch 2.15.0 cu132: wheel_bytes is 539136850, listed 7",)


def test_a_folder_of_wheels_says_nothing_of_what_it_lacks():
    folder = Listing(place="wheels 1", files=(wheel("2.13.0+cpu"),), complete=False)
    found = states(sync_torch(facts("torch_builds"), [folder], DAY))
    assert found["2.13.0", "cpu"] == "seen"
    assert found["2.12.0", "cpu"] == "unknown"


@pytest.mark.parametrize(
    "name",
    [
        "torch-2.16.0rc1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "torch-2.16.0-cp311-cp311-win_amd64.whl",
        "torch-2.16.0-cp311-none-macosx_11_0_arm64.whl",
        "torch-2.16.0-nonsense.whl",
        "torch-<script>-cp311-cp311-manylinux_2_28_x86_64.whl",
        "torch-2.16.0.tar.gz",
        "",
    ],
)
def test_what_is_no_final_wheel_for_linux_is_none(name):
    assert list(wheels([File(filename=name)])) == []


def test_a_yanked_wheel_is_none():
    assert list(wheels([wheel("2.16.0", yanked=True)])) == []


def test_old_metadata_tells_the_same():
    assert torch_metadata(snapshot("torch-2.4.1.METADATA")) == {
        "variant": "cu121", "cudnn": "9.1.0.70", "nccl": "2.20.5", "triton": "3.0.0",
    }  # fmt: skip


def test_a_new_companion_becomes_the_row_that_was_collected_by_hand():
    rows = facts("companions")
    by_hand = next(r for r in rows if (r["package"], r["version"]) == ("torchvision", "0.29.2"))
    without = [row for row in rows if row is not by_hand]
    done = sync_companion("torchvision", without, [html_listing()], DAY)
    [new] = [r for r in done.rows if (r["package"], r["version"]) == ("torchvision", "0.29.2")]
    assert {**new, "source": ""} == {**by_hand, "source": "", "other": ""}
    assert [row for row in done.rows if row is not new] == without
    assert done.rows[done.rows.index(new) - 1]["version"] == "0.29.1"
    assert states(done)["0.15.0", ""] == "absent"


def test_a_companion_without_metadata_is_unknown():
    rows = [r for r in facts("companions") if r["version"] != "0.29.2"]
    done = sync_companion("torchvision", rows, [html_listing(lambda _url: None)], DAY)
    assert list(done.rows) == rows
    assert states(done)["0.29.2", ""] == "unknown"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Facts of one's own, in a folder that looks like a checkout."""
    package = tmp_path / "checkout" / "matrix"
    shutil.copytree(FACTS, package / "facts", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (package.parent / "pyproject.toml").touch()
    monkeypatch.setattr(resources, "PACKAGE", package)
    return package / "facts"


@pytest.fixture
def index(tmp_path, env):
    """An index on this machine, which pip's configuration names; all else is unreachable."""
    root = tmp_path / "index"
    (root / "torch").mkdir(parents=True)
    names = ["torch-2.16.0-cp311-cp311-manylinux_2_28_x86_64.whl"]
    with zipfile.ZipFile(root / "torch" / names[0], "w") as file:
        told = snapshot("torch-2.15.0.METADATA").replace("13.2.2", "13.4.0")
        file.writestr("torch-2.16.0.dist-info/METADATA", told)
    links = "".join(f'<a href="{name}">{name}</a>' for name in names)
    (root / "torch" / "index.html").write_text(f"<html><body>{links}</body></html>")
    env.pop("PIP_CONFIG_FILE")
    env |= {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": root.as_uri()}
    return root


NO_PYTORCH = """
[matrix]
pytorch_index = "/nowhere"
[[torch]]
version = "2.6.0"
variants = ["cpu"]
"""


def test_the_command_shows_a_diff_and_writes_on_demand(run_cli, matrix_file, checkout, index):
    matrix_file(NO_PYTORCH)
    before = {path.name: path.read_bytes() for path in checkout.iterdir()}
    shown = run_cli("sync", "--package", "torch")
    assert shown.code == 0, shown.err
    assert shown.out.startswith("--- matrix/facts/torch_builds.csv\n+++ ")
    [line] = [line for line in shown.out.splitlines() if line.startswith("+2")]
    assert line.startswith("+2.16.0,cu134,pypi-default,3.11,3.11,~=3.9.0,9.26.0.51,2.30.7,")
    assert "new     torch 2.16.0 cu134\n" in shown.err
    assert "PyTorch index: it does not have the project\n" in shown.err
    assert {path.name: path.read_bytes() for path in checkout.iterdir()} == before
    assert run_cli("sync", "--package", "torch", "--write").code == 0
    text = (checkout / "torch_builds.csv").read_bytes()
    assert set(before["torch_builds.csv"].splitlines()) < set(text.splitlines())
    again = run_cli("sync", "--package", "torch", "--json")
    assert json.loads(again.out)["changed"] == {}


def test_the_command_reads_the_flags_of_a_new_release(run_cli, matrix_file, checkout, index):
    """Out of a wheel of a serving engine; and what cannot be read is told as unknown."""
    matrix_file(NO_PYTORCH)
    (index / "sglang").mkdir()
    names = [f"sglang-0.99.{patch}-py3-none-any.whl" for patch in (0, 1)]
    with zipfile.ZipFile(index / "sglang" / names[0], "w") as file:
        call = 'parser.add_argument("--of-tomorrow", choices=["a", "b"])'
        text = f"class ServerArgs:\n    def add_cli_args(parser):\n        {call}\n"
        file.writestr("sglang/srt/server_args.py", text)
    (index / "sglang" / names[1]).write_bytes(b"no zip")
    links = "".join(f'<a href="{name}">{name}</a>' for name in names)
    (index / "sglang" / "index.html").write_text(f"<html><body>{links}</body></html>")
    before = (checkout / "sglang_flags.csv").read_bytes()
    done = run_cli("sync", "--package", "sglang", "--write")
    assert done.code == 0, done.err
    assert "+--of-tomorrow,0.99.0,0.99.0,str,,a b,yes,,,\n" in done.out
    assert "new     sglang 0.99.0 flags\n" in done.err
    assert "unknown sglang 0.99.1 flags: no definitions of flags can be read out of" in done.err
    assert "\nsglang,0.99.0," in (checkout / "engine_releases.csv").read_text()
    lines = (checkout / "sglang_flags.csv").read_bytes().splitlines()
    assert set(before.splitlines()) < set(lines)
    assert run_cli("sync", "--package", "sglang").out == ""


def test_facts_of_an_installed_package_are_not_written(run_cli, matrix_file, checkout, index):
    matrix_file(NO_PYTORCH)
    (checkout.parent.parent / "pyproject.toml").unlink()
    done = run_cli("sync", "--package", "torch", "--write")
    assert done.code == 2
    assert "these are of an installed package; run it in a checkout" in done.err


def test_where_no_index_answers_it_is_infrastructure(run_cli, matrix_file, checkout, index):
    matrix_file(NO_PYTORCH)
    shutil.rmtree(index)
    done = run_cli("sync", "--package", "torch")
    assert done.code == 4
    assert "no index answered" in done.err


def test_an_unknown_package_is_named(run_cli, matrix_file, checkout):
    matrix_file(NO_PYTORCH)
    done = run_cli("sync", "--package", "torchvison")
    assert done.code == 2
    assert done.err.endswith("no facts about `torchvison`; did you mean `torchvision`?\n")
