"""Which rows of other runs tell chance from change."""

import threading

from stores import feature, keep

from matrix.chance import disagreeing
from matrix.store import Store


def found(store):
    rows = disagreeing(store, store.newest(), threading.Event())
    return [(row.feature, row.verdict, row.time[:10]) for row in rows]


def test_only_tests_that_disagree_with_themselves_are_read(tmp_path):
    """Of one recipe, in one place; a skip or a test that did not run says nothing."""
    keep(
        tmp_path,
        feature("chance", "fail"),
        feature("same", "fail"),
        feature("skips", "skip"),
        feature("unrun", "not-run"),
        feature("elsewhere", "fail", backend="docker"),
    )
    again = (feature(name) for name in ("chance", "skips", "unrun", "elsewhere"))
    keep(tmp_path, *again, feature("same", "fail"), night=2)
    assert found(Store(tmp_path)) == [
        ("chance", "fail", "2026-01-01"),
        ("chance", "pass", "2026-01-02"),
    ]


def test_another_recipe_is_a_change(tmp_path):
    keep(tmp_path, feature("a", "fail"), feature("b"))
    keep(tmp_path, feature("a", recipe="2"), feature("b", recipe="2"), night=2)
    assert found(Store(tmp_path)) == []


def test_published_runs_are_of_other_machines(tmp_path):
    run = keep(tmp_path, feature("a", "fail"), feature("b"))
    store = Store(tmp_path)
    store.publish(store.run(run))
    (tmp_path / "local" / "runs" / run).rename(tmp_path / "gone")
    keep(tmp_path, feature("a"), feature("b"), night=2)
    assert found(store) == []
