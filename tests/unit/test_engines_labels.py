"""What is reaped: what this owner's dead runs left, and nothing else."""

import re
from types import SimpleNamespace

import docker
import pytest

from matrix.engines.connection import Engine, EngineLost
from matrix.engines.labels import JOB, OURS, OWNER, RUN, labels, owner_of, reap


class Thing:
    """A container or a volume of a run."""

    def __init__(self, run, gone, error=None):
        self.id = self.name = f"{run}-0123456789"
        self.attrs = {"Labels": labels("me", run)}
        self.gone, self.error = gone, error

    def remove(self, **options):
        if self.error:
            raise self.error
        self.gone.append((self.name, options))


def refusal(status):
    response = SimpleNamespace(status_code=status, reason="", url="", headers={})
    kind = docker.errors.NotFound if status == 404 else docker.errors.APIError
    return kind("no", response=response, explanation="no")


@pytest.fixture
def engine():
    """An engine that remembers how it was asked, and what was removed."""
    asked, gone = [], []

    def listing(items):
        def answer(**options):
            asked.append(options["filters"])
            return items

        return answer

    containers, volumes = [], []
    client = SimpleNamespace(
        containers=SimpleNamespace(list=listing(containers)),
        volumes=SimpleNamespace(list=listing(volumes)),
    )
    made = Engine("tcp://x:1", client, None)
    return SimpleNamespace(engine=made, asked=asked, gone=gone, containers=containers,
                           volumes=volumes)  # fmt: skip


def test_labels_say_whose_it_is():
    assert labels("me", "r1", "cell/x") == {OURS: "1", OWNER: "me", RUN: "r1", JOB: "cell/x"}
    assert JOB not in labels("me", "r1")


def test_an_owner_is_a_results_folder_on_a_machine(tmp_path):
    """Whatever the machine and the folder are called: others may be called the same."""
    here = owner_of(tmp_path / "here")
    assert re.fullmatch(r"[0-9a-f]{16}", here)
    assert here == owner_of(tmp_path / "here")
    assert here != owner_of(tmp_path / "there")
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["owner"]


def test_dead_runs_are_reaped_and_living_ones_not(engine):
    engine.containers += [Thing("dead", engine.gone), Thing("alive", engine.gone)]
    engine.volumes += [Thing("dead", engine.gone), Thing("alive", engine.gone)]
    asked = []

    def lives(run):
        asked.append(run)
        return run == "alive"

    assert reap(engine.engine, "me", lives) == ("dead-0123456", "dead-0123456789")
    assert sorted(asked) == ["alive", "dead"], "once for each run: a lock is taken for it"
    assert [name for name, _ in engine.gone] == ["dead-0123456789"] * 2
    assert engine.gone[0][1] == {"v": True, "force": True}, "its volumes go with it"


def test_only_what_is_the_owners_is_asked_for(engine):
    """An engine may serve others, whose locks lie elsewhere."""
    reap(engine.engine, "me", lambda _run: False)
    assert engine.asked == [{"label": [f"{OURS}=1", f"{OWNER}=me", RUN]}] * 2


@pytest.mark.parametrize("status", [404, 409])
def test_what_another_removes_meanwhile_is_no_error(engine, status):
    engine.containers.append(Thing("dead", engine.gone, refusal(status)))
    engine.containers.append(Thing("dead", engine.gone))
    reap(engine.engine, "me", lambda _run: False)
    assert [name for name, _ in engine.gone] == ["dead-0123456789"], "and it goes on"


def test_other_refusals_are_errors(engine):
    engine.containers.append(Thing("dead", engine.gone, refusal(500)))
    with pytest.raises(docker.errors.APIError):
        reap(engine.engine, "me", lambda _run: False)


def test_a_lost_engine_is_said(engine):
    engine.containers.append(Thing("dead", engine.gone, ConnectionResetError("reset")))
    with pytest.raises(EngineLost, match="the engine at `tcp://x:1` went away: reset"):
        reap(engine.engine, "me", lambda _run: False)
