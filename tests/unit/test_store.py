"""Bundles: whole or not there, never edited, found again, published."""

import itertools
import json
import os
import shutil

import pytest

from matrix.entries import Entry
from matrix.errors import InfrastructureError, InputError
from matrix.rows import Row
from matrix.store import Store, write_json

ROW = {
    "cell": "c", "torch": "2.6.0", "variant": "cpu", "accelerator": "cpu", "python": "3.11",
    "execution": "venv-cpu", "backend": "venv", "runner": "local", "device": "cpu",
}  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def keep(bundle, suite="feature", verdict="", counts=None, recipe="r", **more):
    """Commit one suite to a bundle; returns its entry."""
    entry = Entry(
        run=bundle.id, cell="c", execution="venv-cpu", suite=suite, recipe=recipe,
        verdict=verdict, counts={"pass": 1} if counts is None else counts, **more,
    )  # fmt: skip
    folder = bundle.stage("c", "venv-cpu", suite)
    place = {"run": bundle.id, "suite": suite, "test": f"{bundle.id}-{suite}"}
    bundle.commit(folder, entry, [Row(**{**ROW, **place}, verdict="pass")])
    return entry


def rows_of(store, entries):
    return [row.test for row in store.rows(entries)]


def test_what_is_committed_is_found_again(store):
    bundle = store.create({})
    entry = keep(bundle)
    bundle.finish({"id": bundle.id})
    [run] = store.runs()
    assert (run.id, run.finished, run.entries) == (bundle.id, True, (entry,))
    assert rows_of(store, run.entries) == [f"{bundle.id}-feature"]


def test_an_interrupted_run_is_still_evidence(store):
    """Without run.json its finished executions are read one by one."""
    bundle = store.create({"jobs": []})
    entry = keep(bundle)
    bundle.stage("c", "venv-cpu", "throughput").joinpath("half.txt").touch()
    [run] = store.runs()
    assert (run.finished, run.entries) == (False, (entry,))


@pytest.mark.parametrize(
    ("first", "then", "newest"),
    [
        pytest.param({}, {}, 1, id="the-later-evidence"),
        pytest.param({}, {"verdict": "infra"}, 0, id="infra-never-replaces-evidence"),
        pytest.param({}, {"counts": {"not-run": 3}}, 0, id="not-run-neither"),
        pytest.param({"verdict": "infra"}, {}, 1, id="evidence-replaces-infra"),
        pytest.param({"verdict": "infra"}, {"verdict": "infra"}, 1, id="infra-after-infra"),
    ],
)
def test_the_newest_evidence_counts(store, first, then, newest, monkeypatch):
    entries = []
    for number, more in enumerate((first, then)):
        monkeypatch.setattr("secrets.token_hex", lambda _, number=number: f"{number:06x}")
        entries.append(keep(store.create({}), **more))
    assert store.newest() == [entries[newest]]


def test_gpu_models_do_not_answer_for_each_other(store, monkeypatch):
    numbers = itertools.count()
    monkeypatch.setattr("secrets.token_hex", lambda _: f"{next(numbers):06x}")

    def on(model, **more):
        return keep(store.create({}), device_model=model, **more)

    _, second, third = on("H100"), on("H200"), on("H100")
    assert store.newest() == [third, second]
    assert store.baselines() == [second, third]
    on("", verdict="infra")
    assert store.newest() == [third, second], "a fault says nothing about any of them"
    gone = on("", verdict="uninstallable")
    assert store.newest() == [gone], "what cannot be made today can be made for none"
    assert store.baselines() == [second, third]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("{", id="cut"),
        pytest.param("[]", id="a-list"),
        pytest.param('{"executions": 5}', id="a-number-for-executions"),
        pytest.param('{"executions": [5, {"schema": 1}, {"schema": 99}]}', id="other-entries"),
        pytest.param('{"executions": [{"schema": 1, "run": "r", "cell": "c", "execution": "e", '
                     '"suite": "s", "recipe": "x", "counts": [1]}]}', id="a-list-for-counts"),
        pytest.param("[" * 100_000, id="nested"),
    ],
)  # fmt: skip
def test_a_damaged_run_costs_nothing_but_itself(store, damage):
    damaged, whole = store.create({}), store.create({})
    entry = keep(whole)
    (damaged.path / "run.json").write_text(damage)
    assert store.newest() == [entry]
    [told] = store.refusals()
    assert "run.json is damaged" in told or "is of schema 99" in told
    assert str(damaged.path) in told


def test_an_entry_of_another_run_is_none_of_this_one(store):
    """It would show that run's rows as newer than they are."""
    first, second = store.create({}), store.create({})
    old, new = keep(first), keep(second)
    first.finish({})
    second.finish({})
    path = second.path / "run.json"
    path.write_text(path.read_text().replace(new.run, old.run))
    assert store.newest() == [old]
    [told] = store.refusals()
    assert "run.json is damaged for 1 suite(s)" in told


def test_damaged_rows_leave_their_entry_without_rows(store):
    bundle = store.create({})
    damaged, whole = keep(bundle), keep(bundle, suite="throughput")
    path = bundle.path / "cells" / "c" / "venv-cpu" / "feature" / "rows.parquet"
    path.write_bytes(b"PAR1 no more")
    assert rows_of(store, [damaged, whole]) == [f"{bundle.id}-throughput"]


def test_stray_files_are_no_runs(store):
    store.create({})
    (store.folders[0] / "notes.txt").touch()
    (store.folders[0] / ".half.tmp").mkdir()
    assert len(store.runs()) == 1


def test_runs_of_one_second_are_in_the_order_in_which_they_began(store):
    """Their ids say the second and are random beyond it; the later one is `latest`."""
    ids = [store.create({}).id for _ in range(20)]

    assert ids == sorted(ids) == [path.name for path in store.paths()]


def test_a_run_is_found_by_id_or_as_the_latest(store):
    bundle = store.create({})
    assert store.run("latest").id == store.run(bundle.id).id == bundle.id


def test_an_unknown_run_is_named_with_those_there_are(store):
    with pytest.raises(InputError) as caught:
        store.run("latest")
    assert str(caught.value) == f"no run `latest` in `{store.root}`\n  - newest runs: none yet"


def test_results_that_cannot_be_written_are_infrastructure(store):
    store.root.write_text("a file where the folder should be")
    with pytest.raises(InfrastructureError, match=r"cannot be written .*; free it or use"):
        store.create({})


def test_a_suite_that_cannot_be_written_is_infrastructure(store, monkeypatch):
    bundle = store.create({})
    kept = keep(bundle)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InfrastructureError, match="what finished before is kept"):
        keep(bundle, suite="throughput")
    assert store.run(bundle.id).entries == (kept,)


def test_a_published_run_is_a_copy_among_the_tracked_ones(store):
    bundle = store.create({})
    entry = keep(bundle)
    bundle.stage("c", "venv-cpu", "throughput")
    bundle.finish({})
    target = store.publish(store.run(bundle.id))
    assert target == store.root / "runs" / bundle.id
    assert not list(target.rglob(".*"))
    assert store.publish(store.run(bundle.id)) == target
    assert rows_of(store, [entry]) == [f"{bundle.id}-feature"]
    assert [run.id for run in store.runs()] == [bundle.id], "a published run is counted once"


def test_an_unfinished_run_cannot_be_published(store):
    bundle = store.create({})
    with pytest.raises(InputError) as caught:
        store.publish(store.run(bundle.id))
    assert str(caught.value) == (
        f"run `{bundle.id}` is not whole\n  - publish a run that came to its end; "
        "`python -m matrix run` does the rest"
    )


def test_json_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_published_runs_of_other_machines_make_nothing_fresh_here(store):
    bundle = store.create({})
    entry = keep(bundle)
    bundle.finish({})
    store.publish(store.run(bundle.id))
    shutil.rmtree(store.local)
    assert store.newest() == []
    assert store.newest(published=True) == [entry]
    assert [run.id for run in store.runs()] == [bundle.id]


@pytest.mark.parametrize("damage", [lambda p: p.write_text("x"), lambda p: p.unlink()])
def test_a_damaged_file_of_rows_is_told(store, damage):
    bundle = store.create({})
    entry = keep(bundle)
    path = bundle.path / "cells" / "/".join(entry.key) / "rows.parquet"
    damage(path)
    told = []
    assert store.rows([entry], lambda *lost: told.append(lost)) == []
    [(lost, file, why)] = told
    assert (lost, file) == (entry, path)
    assert why


def test_earlier_runs_of_a_recipe_are_found_where_outcomes_differ(store):
    """Not those of another recipe, nor those that came out alike, nor the run itself."""
    kept = []
    for counts, recipe in (({"fail": 1}, "r"), ({"pass": 1}, "r"), ({"fail": 1}, "other")):
        bundle = store.create({})
        kept.append(keep(bundle, counts=counts, recipe=recipe))
        bundle.finish({"id": bundle.id})
    newest = store.create({})
    shown = keep(newest)
    newest.finish({"id": newest.id})
    assert store.earlier([shown]) == [kept[0]]
    assert store.earlier([shown], published=True) == []


PARTS = "env-tests-{}-waivers-us"


@pytest.mark.parametrize(
    ("first", "then", "shown"),
    [
        pytest.param(("a", 9), ("b", 2), [9, 2], id="a-selection-hides-nothing"),
        pytest.param(("a", 9), ("a", 2), [2], id="tests-were-deleted"),
        pytest.param(("a", 2), ("b", 9), [9], id="all-hide-a-selection"),
        pytest.param(("a", 9), ("b", 9), [9], id="as-many"),
    ],
)
def test_a_run_of_chosen_tests_does_not_hide_one_of_all(store, first, then, shown):
    for settings, tests in (first, then):
        keep(store.create({}), recipe=PARTS.format(settings), counts={"pass": tests})
    assert [entry.counts["pass"] for entry in store.shown()] == shown
    assert [entry.counts["pass"] for entry in store.newest()] == [then[1]]


def test_a_cell_that_broke_hides_what_ran_before(store):
    keep(store.create({}), recipe=PARTS.format("a"), counts={"pass": 9})
    keep(store.create({}), recipe=PARTS.format("b"), counts={}, verdict="build-failed")
    assert [entry.verdict for entry in store.shown()] == ["build-failed"]


@pytest.mark.parametrize(
    ("file", "suites", "why"),
    [
        pytest.param("run.json", 0, "is left out: run.json", id="run"),
        pytest.param("plan.json", 0, "is left out: plan.json", id="unfinished"),
        pytest.param("cells/c/venv-cpu/feature/execution.json", 1,
                     "is left out in part: execution.json", id="suite"),
    ],
)  # fmt: skip
def test_what_is_of_a_newer_schema_is_left_out_and_told(store, file, suites, why):
    bundle = store.create({})
    keep(bundle)
    keep(bundle, suite="throughput")
    if file == "run.json":
        bundle.finish({})
    path = bundle.path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    assert len(store.newest()) == suites
    tail = "is of schema 99, this version reads 1: update torch-matrix"
    assert store.refusals() == [f"{bundle.path} {why} {tail}"]
