"""What bundles hold beside their rows is read as the untrusted text it is."""

import json
import math

import pytest

from matrix import artefacts
from matrix.artefacts import Artefacts, Detail
from matrix.entries import Entry
from matrix.store import Store

RUN = "20261122T000000Z-abcdef"
KEY = (RUN, "torch2.6.0-cpu-py3.11", "venv-cpu", "feature")
LOCK = """\
# made by uv
filelock==3.20.0 \\
    --hash=sha256:00 \\
    --hash=sha256:01
torch==2.6.0 ; python_version >= '3.8' \\
    --hash=sha256:02
"""


def entry(key=KEY):
    run, cell, execution, suite = key
    return Entry(run=run, cell=cell, execution=execution, suite=suite, recipe="r")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "results" / "runs" / RUN / "cells" / "/".join(KEY[1:])
    path.mkdir(parents=True)
    return path


def read(tmp_path, *entries):
    return artefacts.read(Store(tmp_path / "results"), entries or [entry()])


def write(folder, *events):
    lines = "\n".join(json.dumps({"event": "outcome", **event}) for event in events)
    (folder / "outcomes.jsonl").write_text(lines)


def test_tracebacks_and_numbers_come_by_test(tmp_path, folder):
    numbers = {"error": 0.5, "tolerance": 0.1, "seed": 7}
    write(folder, {"id": "t", "error": {"traceback": "line 1\nE boom"}, "numbers": numbers})
    [found] = read(tmp_path).values()
    detail = Detail(traceback="line 1\nE boom", error=0.5, tolerance=0.1, seed=7)
    assert found.tests == {"t": detail}


def test_a_lock_comes_without_its_hashes(tmp_path, folder):
    (folder / "requirements.lock").write_text(LOCK)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    [found] = read(tmp_path).values()
    assert found.lock == "filelock==3.20.0\ntorch==2.6.0 ; python_version >= '3.8'"
    assert found.dockerfile == "FROM scratch\n"


@pytest.mark.parametrize(
    "event",
    [
        {"id": "t", "error": "boom", "numbers": [1]},
        {"id": "t", "error": {"traceback": 5}, "numbers": {"error": "big", "seed": -1}},
        {"id": "t", "numbers": {"error": True, "tolerance": None, "seed": 1 << 80}},
        {},
    ],
)
def test_what_has_another_type_is_not_there(tmp_path, folder, event):
    write(folder, event)
    [found] = read(tmp_path).values()
    assert list(found.tests.values()) == [Detail()]


def test_an_error_may_be_infinite_and_a_number_of_any_size(tmp_path, folder):
    text = '{"event":"outcome","id":"t","numbers":{"error":1e999,"tolerance":1%s}}' % ("0" * 400)
    (folder / "outcomes.jsonl").write_text(text)
    [found] = read(tmp_path).values()
    assert (found.tests["t"].error, found.tests["t"].tolerance) == (math.inf, math.inf)


def test_of_a_long_traceback_the_end_is_kept(tmp_path, folder):
    write(folder, {"id": "t", "error": {"traceback": "x" * 99_999 + "E boom"}})
    [found] = read(tmp_path).values()
    assert len(found.tests["t"].traceback) == artefacts.MAX_TRACEBACK
    assert found.tests["t"].traceback.endswith("E boom")


def test_a_link_shows_no_file_of_this_machine(tmp_path, folder):
    secret = tmp_path / "secret"
    secret.write_text('{"event":"outcome","id":"t"}')
    for name in ("requirements.lock", "Dockerfile", "outcomes.jsonl"):
        (folder / name).symlink_to(secret)
    assert list(read(tmp_path).values()) == [Artefacts()]


def test_a_linked_folder_is_none_of_the_store(tmp_path, folder):
    outside = tmp_path / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)
    assert read(tmp_path) == {}


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("name", ["..", "../../x", ".hidden", "/etc", "", "a/b"])
def test_a_name_that_leaves_its_bundle_is_read_from_nowhere(tmp_path, folder, name, place):
    key = (*KEY[:place], name, *KEY[place + 1 :])
    assert read(tmp_path, entry(key)) == {}


def test_what_is_not_there_is_empty(tmp_path, folder):
    assert list(read(tmp_path).values()) == [Artefacts()]
    assert read(tmp_path, entry((*KEY[:3], "throughput"))) == {}
