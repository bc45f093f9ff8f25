"""Room on the engine's disk: asked for before a build, made only of what is ours."""

import time
from types import SimpleNamespace

import pytest
from docker.errors import APIError

from matrix.engines import disk
from matrix.errors import CellFailed, InputError

GB = 1_000_000_000
RUNS = disk.Runs(owner="me", lives=lambda run: run in {"mine", "living"})


class Engine:
    """An engine on this machine whose removals are seen."""

    def __init__(self, images=(), records=(), busy=()):
        self.removed, self.pruned, self.busy = [], [], busy
        self.api = SimpleNamespace(
            base_url="http+docker://localhost", images=lambda filters: list(images),
            remove_image=self.remove, _url=str, _post=self.prune,
            _result=lambda answer, json: answer,
        )  # fmt: skip
        self.df = lambda: {"BuildCache": list(records)}
        self.info = lambda: {"DockerRootDir": "/"}

    def remove(self, name):
        if name in self.busy:
            response = SimpleNamespace(status_code=409, reason="conflict", url="")
            raise APIError("in use", response=response)
        self.removed.append(name)

    def prune(self, _url, params):
        self.pruned.append(params["filters"])
        return {"SpaceReclaimed": 5_000_000}


def image(number, tags=("<none>:<none>",), created=0, owner="me", **labels):
    labels |= {"owner": owner} if "run" in labels else {}
    marks = {"torch-matrix": "1", **{f"torch-matrix.{k}": v for k, v in labels.items()}}
    return {"Id": f"sha256:{number:064x}", "RepoTags": list(tags), "Labels": marks, "Size": 2 * GB,
            "Created": created}  # fmt: skip


def test_cells_of_dead_runs_and_tools_go_but_bases_and_living_runs_stay():
    engine = Engine([
        image(1, run="old"), image(2, ["torch-matrix/cell:a"], run="older"), image(3, run="mine"),
        image(7, run="living"),
        image(4, ["torch-matrix/base:py3.11-bookworm"], base="bookworm"),
        image(5, ["torch-matrix/tools:x"], tools="1"), image(6, stage="install"),
    ])  # fmt: skip
    said = disk.prune(engine, RUNS)
    assert engine.removed == [
        f"sha256:{1:064x}", "torch-matrix/cell:a", "torch-matrix/tools:x", f"sha256:{6:064x}",
    ]  # fmt: skip
    assert said[0] == "removed image 000000000000, 2000 MB"


def test_what_a_container_uses_is_left():
    engine = Engine([image(1, ["torch-matrix/cell:a"], run="old")], busy=("torch-matrix/cell:a",))
    assert disk.prune(engine, RUNS) == []


def test_what_another_run_has_just_made_is_left():
    engine = Engine([image(1, created=time.time() - 60, run="other")])
    assert disk.prune(engine, RUNS) == []


def test_another_owners_run_may_live_for_a_week():
    """Its lock lies elsewhere: on another machine, or beside another results folder."""
    now = time.time()
    engine = Engine([
        image(1, created=now - 6 * 86400, owner="you", run="r"),
        image(2, created=now - 8 * 86400, owner="you", run="r"),
    ])  # fmt: skip
    disk.prune(engine, RUNS)
    assert engine.removed == [f"sha256:{2:064x}"]


def test_only_our_own_build_records_are_pruned():
    engine = Engine(records=[
        {"ID": "a", "Description": "mount / from exec /bin/sh -c /run/build/uv pip install"},
        {"ID": "b", "Description": "somebody's step"},
        {"ID": "c", "Description": "cached mount with id torch-matrix-uv", "InUse": True},
    ])  # fmt: skip
    assert disk.prune(engine, RUNS) == ["removed build cache, 5 MB"]
    assert engine.pruned == ['{"id": {"a": true}}']


def room(monkeypatch, *free, env=None):
    """What `make_room` notes when so much is free before and after pruning."""
    answers = list(free)
    monkeypatch.setattr(disk, "free_bytes", lambda _: answers.pop(0))
    notes = []
    disk.make_room(Engine([image(1, run="old")]), RUNS, env or {}, notes.append)
    return notes


def test_nothing_is_touched_while_there_is_room(monkeypatch):
    assert room(monkeypatch, 11 * GB) == []
    assert room(monkeypatch, None) == [], "another machine's disk cannot be seen"


def test_below_the_mark_room_is_made(monkeypatch):
    assert room(monkeypatch, 9 * GB, 12 * GB) == ["removed image 000000000000, 2000 MB"]


def test_a_disk_that_stays_full_is_no_evidence(monkeypatch):
    with pytest.raises(CellFailed) as caught:
        room(monkeypatch, 9 * GB, 9 * GB)
    assert caught.value.verdict == "infra"
    assert caught.value.reason == (
        "9.0 GB are free on the engine's disk, 10.0 are wanted; `docker system prune` frees what "
        "is not ours, $MATRIX_MIN_FREE_GB asks for less"
    )


def test_the_mark_can_be_moved_with_a_number(monkeypatch):
    assert room(monkeypatch, 9 * GB, env={"MATRIX_MIN_FREE_GB": "8.5"}) == []
    with pytest.raises(InputError, match="a number of gigabytes"):
        room(monkeypatch, 9 * GB, env={"MATRIX_MIN_FREE_GB": "much"})
