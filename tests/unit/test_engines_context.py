"""Contexts that are equal byte for byte whenever what they hold is equal."""

import os
import stat
import tarfile
from pathlib import Path

import pytest

from matrix.engines.context import folder_files, pack, unpack


@pytest.fixture
def payload(tmp_path):
    folder = tmp_path / "payload"
    (folder / "suites").mkdir(parents=True)
    (folder / "suites" / "test_a.py").write_text("a = 1\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o700)
    return folder


def packed(folder, tmp_path):
    with pack({"Dockerfile": b"FROM x\n", **folder_files(folder, "payload")}, tmp_path) as stream:
        return stream.read()


def test_times_rights_and_order_do_not_change_a_context(payload, tmp_path):
    """A fresh clone under another umask must find every step cached."""
    before = packed(payload, tmp_path)
    os.utime(payload / "suites" / "test_a.py", (1, 1))
    (payload / "suites" / "test_a.py").chmod(0o664)
    (payload / "suites").chmod(0o775)
    assert packed(payload, tmp_path) == before


def test_an_edited_file_does(payload, tmp_path):
    before = packed(payload, tmp_path)
    (payload / "suites" / "test_a.py").write_text("a = 2\n")
    assert packed(payload, tmp_path) != before


def test_the_format_is_one_that_buildkit_takes(tmp_path):
    """A leading PAX header would be read as the Dockerfile: long names and Unicode included."""
    with pack({"payload/" + "x" * 150 + "é.py": b"1"}, tmp_path) as stream:
        data = stream.read()
        stream.seek(0)
        with tarfile.open(fileobj=stream) as archive:
            names = archive.getnames()
    assert b"PaxHeader" not in data
    assert data[257:263] == b"ustar "
    assert names == ["payload", "payload/" + "x" * 150 + "é.py"]


def test_members_belong_to_root_and_keep_only_whether_they_run(payload, tmp_path):
    files = folder_files(payload, "payload")
    with pack(files, tmp_path) as stream, tarfile.open(fileobj=stream) as archive:
        members = {member.name: member for member in archive}
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 0)}
    assert (members["payload/run.sh"].mode, members["payload/suites/test_a.py"].mode) == (
        0o755, 0o644,
    )  # fmt: skip


def test_caches_and_links_stay_behind(payload, tmp_path):
    (payload / "__pycache__").mkdir()
    (payload / "__pycache__" / "a.pyc").write_bytes(b"x")
    (payload / "link").symlink_to("/etc/passwd")
    assert sorted(folder_files(payload, "p")) == ["p/run.sh", "p/suites/test_a.py"]


def test_a_builder_that_wants_a_folder_gets_the_same(payload, tmp_path):
    unpack({"Dockerfile": b"FROM x\n", **folder_files(payload, "payload")}, tmp_path / "out")
    assert (tmp_path / "out" / "payload" / "suites" / "test_a.py").read_text() == "a = 1\n"
    assert stat.S_IMODE(Path(tmp_path / "out" / "payload" / "run.sh").stat().st_mode) == 0o755
