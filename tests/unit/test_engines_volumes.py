"""What counts of a container's volumes, and where they can be looked into."""

import os
from types import SimpleNamespace

from matrix.engines.volumes import exceed, folders

MIB = 1 << 20


def test_all_that_lies_there_counts_and_no_more_than_that(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * MIB)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 40)
    (tmp_path / "link").symlink_to("/")
    assert exceed([tmp_path], MIB)
    assert not exceed([tmp_path], 2 * MIB)


def test_files_without_content_count_too(tmp_path):
    for number in range(300):
        (tmp_path / str(number)).touch()
    assert exceed([tmp_path], MIB)
    assert not exceed([tmp_path / "gone"], 0)


def test_volumes_of_an_engine_on_this_machine_are_looked_at(tmp_path):
    mounts = [
        {"Type": "volume", "Source": str(tmp_path)},
        {"Type": "volume", "Source": str(tmp_path / "hidden")},
        {"Type": "bind", "Source": "/usr"},
        {"Type": "tmpfs", "Source": ""},
    ]
    container = SimpleNamespace(attrs={"Mounts": mounts})
    assert folders(SimpleNamespace(is_local=True), container) == (tmp_path,)
    assert folders(SimpleNamespace(is_local=False), container) == ()
