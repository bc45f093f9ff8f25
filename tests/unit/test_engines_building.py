"""A builder is chosen by what it builds, and what was refused is said."""

import threading
from types import SimpleNamespace

import pytest

from matrix.engines import building
from matrix.engines.builder import BuildRefused, BuildTimeout, Listener, StepFailed
from matrix.engines.building import choose
from matrix.engines.commandline import _Lines
from matrix.errors import InputError


class Candidate:
    def __init__(self, name, outcome="sha256:x"):
        self.name, self.outcome = name, outcome
        self.mounts = name != "classic"
        self.seen = []

    def build(self, request, listener, timeout):
        self.seen.append(request)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


API, CLI, CLASSIC = building.BUILDERS


def chosen(monkeypatch, *candidates, wanted="", removed=None):
    monkeypatch.setattr(building, "_candidates", lambda *_: iter(candidates))
    removed = [] if removed is None else removed
    client = SimpleNamespace(
        api=SimpleNamespace(remove_image=lambda image, noprune: removed.append(image))
    )
    env = {"MATRIX_BUILDER": wanted} if wanted else {}
    return choose(client, "base@sha256:1", env=env, work=None, stop=threading.Event())


def test_the_first_that_builds_is_taken(monkeypatch):
    first, second = Candidate(API), Candidate(CLASSIC)
    removed = []
    assert chosen(monkeypatch, first, second, removed=removed) == (first, ())
    assert second.seen == []
    assert removed == ["sha256:x"], "the probe leaves nothing"
    assert first.seen[0].labels == {"torch-matrix": "1"}


def test_the_probe_needs_what_cells_need(monkeypatch):
    """A builder that takes mounts for nothing else is no BuildKit."""
    first, last = Candidate(API, StepFailed("RUN", ("no",), 1)), Candidate(CLASSIC)
    chosen(monkeypatch, first, last)
    texts = [candidate.seen[0].files["Dockerfile"].decode() for candidate in (first, last)]
    assert "--mount=type=cache" in texts[0]
    assert texts[1] == "FROM base@sha256:1\nRUN true\n"


def test_why_the_better_ones_were_not_taken_is_kept(monkeypatch):
    builder, refusals = chosen(
        monkeypatch, Candidate(API, BuildRefused("no BuildKit")),
        Candidate(CLI, StepFailed("RUN", ("no buildx",), 1)), Candidate(CLASSIC),
    )  # fmt: skip
    assert builder.name == CLASSIC
    assert refusals == (
        "buildkit-api: no BuildKit", "buildkit-cli: `RUN` ended with code 1: no buildx",
    )  # fmt: skip


def test_a_busy_builder_is_not_swapped_for_another(monkeypatch):
    with pytest.raises(BuildRefused, match="buildkit-api has not built one line within 60 s"):
        chosen(monkeypatch, Candidate(API, BuildTimeout()), Candidate(CLASSIC))


def test_a_builder_that_the_user_names_is_the_only_one(monkeypatch):
    api, classic = Candidate(API), Candidate(CLASSIC)
    assert chosen(monkeypatch, api, classic, wanted=CLASSIC) == (classic, ())
    with pytest.raises(BuildRefused, match="classic: broken"):
        chosen(monkeypatch, api, Candidate(CLASSIC, BuildRefused("broken")), wanted=CLASSIC)


def test_an_unknown_builder_is_the_users_mistake(monkeypatch):
    with pytest.raises(InputError, match="one of buildkit-api, buildkit-cli, classic"):
        chosen(monkeypatch, wanted="kaniko")


def test_a_command_line_says_the_same_of_a_failed_step():
    """Recorded from `docker build --progress=plain` of 20.10.24."""
    heard, stages = [], []
    lines = _Lines(Listener(write=heard.append, stage=stages.append))
    for line in (
        "#4 [1/2] FROM docker.io/torch-matrix/base:1", "#4 sha256:826b8ce0b333", "#4 CACHED", "",
        "#5 [2/2] RUN echo hello; exit 37", "#5 sha256:8157", "#5 0.406 hello",
        "#5 ERROR: executor failed running [/bin/sh -c echo hello; exit 37]: exit code: 37",
        "------", " > [2/2] RUN echo hello; exit 37:", "------",
    ):  # fmt: skip
        lines.tell(line)
    assert lines.failed == ("[2/2] RUN echo hello; exit 37", ("hello",))
    assert lines.error.endswith("exit code: 37")
    assert len(heard) == 11
