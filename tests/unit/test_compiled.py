"""Where a cell's feature suite keeps compiled code."""

import os

import pytest

from matrix.backends.compiled import KEPT, CompileCaches
from matrix.cells import Cell
from matrix.definition import Suite
from matrix.plan import Job

FEATURE = Suite(name="feature")


def job(backend="venv"):
    cell = Cell(torch="2.6.0", variant="cpu", python="3.11", device="cpu")
    return Job(cell=cell, execution=f"{backend}-cpu", backend=backend, runner="local",
               environment="e", suites=())  # fmt: skip


def test_the_same_environment_finds_its_own_code_and_another_one_does_not(tmp_path):
    caches = CompileCaches(root=tmp_path)
    first = caches.folder(job(), FEATURE, "one")
    (first / "code").touch()
    assert (caches.folder(job(), FEATURE, "one") / "code").exists()
    assert not list(caches.folder(job(), FEATURE, "two").iterdir())
    assert not list(caches.folder(job("host"), FEATURE, "one").iterdir())


def test_cold_begins_with_an_empty_one(tmp_path):
    (CompileCaches(root=tmp_path).folder(job(), FEATURE, "one") / "code").touch()
    folder = CompileCaches(root=tmp_path, cold=True).folder(job(), FEATURE, "one")
    assert not list(folder.iterdir())


def test_environments_long_gone_lose_theirs(tmp_path):
    caches = CompileCaches(root=tmp_path)
    made = [caches.folder(job(), FEATURE, f"e{number}") for number in range(KEPT)]
    for age, folder in enumerate(made):
        os.utime(folder, (1000 + age, 1000 + age))
    newest = caches.folder(job(), FEATURE, "new")
    assert sorted(newest.parent.iterdir()) == sorted([*made[1:], newest])


@pytest.mark.parametrize(
    ("suite", "backend"),
    [
        pytest.param("throughput", "venv", id="cold-compilation-is-measured-there"),
        pytest.param("mine", "venv", id="the-users-business"),
        pytest.param("feature", "docker", id="a-container-keeps-nothing"),
        pytest.param("feature", "replay", id="nothing-is-compiled"),
    ],
)
def test_others_keep_nothing(tmp_path, suite, backend):
    assert CompileCaches(root=tmp_path).folder(job(backend), Suite(name=suite), "one") is None
    assert not list(tmp_path.iterdir())


def test_what_containers_compile_is_kept_where_it_is_shared(tmp_path):
    caches = CompileCaches(root=tmp_path, containers=True)
    assert caches.folder(job("docker"), FEATURE, "one").is_dir()
    assert caches.folder(job("replay"), FEATURE, "one") is None
