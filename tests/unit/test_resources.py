"""Where files lie that travel into cells, and their hashes."""

from matrix import resources


def test_what_travels_into_cells_is_there():
    assert (resources.inside() / "supervise.py").is_file()
    for suite in ("feature", "throughput"):
        assert list(resources.suite_tests(suite).glob("test_*.py")), suite
    assert resources.templates().is_dir()


def test_an_installed_package_carries_its_own(tmp_path, monkeypatch):
    (tmp_path / "_data" / "tests").mkdir(parents=True)
    monkeypatch.setattr(resources, "PACKAGE", tmp_path)
    assert resources._data.__wrapped__("tests") == tmp_path / "_data" / "tests"  # past the cache


def test_sources_come_in_a_stable_order_without_caches(tmp_path):
    for name in ("b.py", "a.py", "c.pyc", "__pycache__/d.py", "e/f.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    names = [str(p.relative_to(tmp_path)) for p in resources.files_under(tmp_path)]
    assert names == ["a.py", "b.py", "e/f.txt"]


def test_a_hash_knows_names_and_contents(tmp_path):
    hashes = set()
    for name, content in (("a", "bc"), ("ab", "c"), ("a", "bd")):
        folder = tmp_path / str(len(hashes))
        folder.mkdir()
        (folder / name).write_text(content)
        hashes.add(resources.tree_hash(folder))
    assert len(hashes) == 3


def test_a_hash_does_not_know_where_the_folder_lies(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("b")
    assert resources.tree_hash(tmp_path / "one") == resources.tree_hash(tmp_path / "two")
