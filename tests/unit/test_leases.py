"""Who may have which GPU: decided from records, in one process; other processes are integration."""

import json
import os
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from matrix import leases
from matrix.accelerators import Gpu
from matrix.errors import InfrastructureError
from matrix.leases import Lease, folder, lease, living
from matrix.process import Stopped

GPUS = tuple(Gpu(uuid=f"GPU-{n}", index=n, name="GPU") for n in range(2))
RECORD = Lease(
    run="r", pid=1, boot="b", since=100.0, beat=1e12, exclusive=True, wanted=1,
    among=("GPU-0", "GPU-1"),
)  # fmt: skip
WAITS = replace(RECORD, since=200.0)
WAITS_SHARED = replace(WAITS, exclusive=False)


def others(*records):
    return {Path(str(n)): record for n, record in enumerate(records)}


def holding(*uuids, exclusive=True):
    return replace(RECORD, held=uuids, exclusive=exclusive)


SHARES_0 = holding("GPU-0", exclusive=False)


@pytest.mark.parametrize(
    ("request_", "held", "free"),
    [
        pytest.param(WAITS, [], ["GPU-0", "GPU-1"], id="nobody-there"),
        pytest.param(WAITS, [holding("GPU-0")], ["GPU-1"], id="one-taken"),
        pytest.param(WAITS, [SHARES_0], ["GPU-1"], id="alone-beside-none-who-share"),
        pytest.param(WAITS_SHARED, [SHARES_0], ["GPU-1", "GPU-0"], id="the-idle-one-first"),
        pytest.param(WAITS_SHARED, [SHARES_0, SHARES_0], ["GPU-1"], id="two-sharers-are-all"),
        pytest.param(WAITS_SHARED, [holding("GPU-0", "GPU-1")], [], id="none-beside-one-alone"),
        pytest.param(replace(WAITS, among=("GPU-9",)), [holding("GPU-0")], ["GPU-9"], id="others"),
    ],
)
def test_which_gpus_are_free(request_, held, free):
    assert leases._free(request_, others(*held), sharers=2) == free


@pytest.mark.parametrize(
    ("other", "first"),
    [
        pytest.param(RECORD, True, id="came-before"),
        pytest.param(replace(RECORD, since=300.0), False, id="came-later"),
        pytest.param(holding("GPU-0"), False, id="holds-already"),
        pytest.param(replace(RECORD, among=("GPU-9",)), False, id="wants-others"),
        pytest.param(replace(RECORD, beat=0.0), False, id="frozen"),
    ],
)
def test_who_comes_first(other, first):
    """In the order in which they came: sharers must not starve one who wants it alone."""
    assert bool(leases._before(WAITS_SHARED, others(other))) == first


def test_a_lease_is_recorded_while_it_is_held(tmp_path):
    with lease(GPUS, run="r1", stop=threading.Event(), place=tmp_path / "new") as held:
        [record] = living(tmp_path / "new").values()
        assert held == GPUS[:1]
        assert (record.run, record.held, record.exclusive) == ("r1", ("GPU-0",), True)
    assert living(tmp_path / "new") == {}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["gate.lock"]


def test_a_lease_is_given_back_after_an_error(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        lease(GPUS, run="r1", stop=threading.Event(), place=tmp_path),
    ):
        _ = 1 / 0
    assert living(tmp_path) == {}


def test_the_rest_is_given_out_and_then_one_waits_and_hears_for_whom(tmp_path):
    stop = threading.Event()
    heard = []

    def hear(text):
        heard.append(text)
        stop.set()

    with (
        lease(GPUS, run="r1", stop=stop, place=tmp_path) as first,
        lease(GPUS, run="r2", stop=stop, place=tmp_path, exclusive=False) as second,
        pytest.raises(Stopped),
        lease(GPUS, run="r3", stop=stop, place=tmp_path, on_wait=hear),
    ):
        pass
    assert (first, second) == (GPUS[:1], GPUS[1:])
    [text] = heard
    assert text.startswith("waiting for 1 GPU(s) alone: GPU-0 held by run r1 (pid ")
    assert ", alone, for 0 s); GPU-1 held by run r2 (pid " in text


def test_several_gpus_are_taken_at_once_or_not_at_all(tmp_path):
    """One who waits for two keeps none: two such would wait for each other for ever."""
    stop = threading.Event()

    def look(_):
        assert {r.run: r.held for r in living(tmp_path).values()} == {"r1": ("GPU-0",), "r2": ()}
        stop.set()

    with (
        lease(GPUS, run="r1", stop=stop, place=tmp_path),
        pytest.raises(Stopped),
        lease(GPUS, run="r2", stop=stop, place=tmp_path, gpus=2, on_wait=look),
    ):
        pass


def test_more_gpus_than_there_are_is_an_error_at_once(tmp_path):
    with (
        pytest.raises(InfrastructureError, match="3 GPUs are wanted, the runner has 2"),
        lease(GPUS, run="r", stop=threading.Event(), place=tmp_path, gpus=3),
    ):
        pass


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InfrastructureError, match=r"file` cannot hold .* name another: MATRIX_LEA"),
        lease(GPUS, run="r", stop=threading.Event(), place=tmp_path / "file"),
    ):
        pass


def test_what_is_not_a_record_is_passed_over(tmp_path):
    """A record of another release that someone holds."""
    path = tmp_path / "1-a.json"
    path.write_text('{"run": "r"}')
    with leases.FileLock(path.with_suffix(".lock")):
        assert living(tmp_path) == {}
        assert path.exists()
    assert living(tmp_path) == {}
    assert not path.exists()


def test_what_a_kill_left_between_two_files_is_swept_up(tmp_path):
    """A lock without a record is young while its owner writes the record."""
    for name in ("1-old.lock", "1-old.new", "2-young.lock", "gate.lock"):
        (tmp_path / name).touch()
    for name in ("1-old.lock", "1-old.new", "gate.lock"):
        os.utime(tmp_path / name, (0, 0))
    assert living(tmp_path) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2-young.lock", "gate.lock"]


def test_a_record_of_a_later_release_counts_too(tmp_path):
    path = tmp_path / "1-a.json"
    path.write_text(json.dumps({**asdict(holding("GPU-0")), "colour": "green"}))
    with leases.FileLock(path.with_suffix(".lock")):
        assert list(living(tmp_path).values()) == [holding("GPU-0")]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        pytest.param(replace(RECORD, beat=199.0, exclusive=False), "pid 1, shared, for 100 s",
                     id="shares"),
        pytest.param(replace(RECORD, beat=110.0), "pid 1, alone, for 100 s; no sign of life for "
                     "90 s: frozen? `kill 1` ends it", id="frozen"),
        pytest.param(replace(RECORD, beat=110.0, boot="x"), "pid 1 of another machine, alone, for "
                     "100 s; no sign of life for 90 s: frozen?", id="elsewhere"),
    ],
)  # fmt: skip
def test_a_holder_is_described_so_that_one_finds_it(monkeypatch, record, text):
    monkeypatch.setattr(leases, "_boot", lambda: "b")
    assert record.describe(200.0) == f"run r ({text})"


def test_a_gate_that_nobody_opens_is_named(tmp_path, monkeypatch):
    """A process that was stopped just while it decided."""
    monkeypatch.setattr(leases, "FROZEN", 0.0)
    stop = threading.Event()
    heard = []
    with (
        leases.FileLock(tmp_path / "gate.lock"),
        pytest.raises(Stopped),
        lease(GPUS, run="r", stop=stop, place=tmp_path,
              on_wait=lambda text: heard.append(text) or stop.set()),
    ):  # fmt: skip
        pass
    assert heard == [f"`{tmp_path / 'gate.lock'}` is held by a process that does not go on: end it"]


def test_leases_lie_where_all_users_of_the_machine_look(tmp_path, monkeypatch):
    wide = tmp_path / "lock" / "torch-matrix"
    monkeypatch.setattr(leases, "_MACHINE_WIDE", wide)
    monkeypatch.setattr(leases.tempfile, "gettempdir", lambda: str(tmp_path))
    own = tmp_path / f"torch-matrix-leases-{leases.os.getuid()}"
    assert folder({"MATRIX_LEASES": "/elsewhere"}) == Path("/elsewhere")
    assert folder({}) == own  # no place for locks on this system
    wide.parent.mkdir()
    assert folder({}) == wide
    assert wide.stat().st_mode & 0o7777 == 0o1777
    monkeypatch.setattr(leases.os, "access", lambda *_: False)
    assert folder({}) == own
