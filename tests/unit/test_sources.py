"""Source archives of other projects: fetched once, unpacked safely."""

import io
import tarfile

import pytest

from matrix import sources
from matrix.engines.archives import Caps
from matrix.sources import SourceError, unpacked


def archive(folder, name, members):
    """Write a source archive; a member is text, or a ready TarInfo."""
    with tarfile.open(folder / name, "w:gz") as tar:
        for path, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(path)
                info.size = len(content.encode())
                tar.addfile(info, io.BytesIO(content.encode()))


def env(tmp_path):
    return {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": str(tmp_path)}


def test_an_archive_is_found_by_name_and_unpacked_once(tmp_path):
    archive(tmp_path, "my_pkg-1.0.tar.gz", {"my_pkg-1.0/tests/test_a.py": "x = 1\n"})
    root = unpacked("my-pkg==1.0", tmp_path / "work", env(tmp_path))
    assert (root / "tests" / "test_a.py").read_text() == "x = 1\n"
    (tmp_path / "my_pkg-1.0.tar.gz").unlink()
    assert unpacked("my-pkg==1.0", tmp_path / "work", env(tmp_path)) == root


def test_an_archive_of_several_folders_is_its_own_root(tmp_path):
    archive(tmp_path, "a-1.tar.gz", {"one/x": "", "two/y": ""})
    assert {p.name for p in unpacked("a==1", tmp_path / "w", env(tmp_path)).iterdir()} == {
        "one", "two",
    }  # fmt: skip


def _link(target):
    info = tarfile.TarInfo("a-1/link")
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_an_archive_cannot_write_outside(tmp_path):
    archive(tmp_path, "a-1.tar.gz", {"../evil": "x"})
    with pytest.raises(SourceError, match="the source archive of `a==1` cannot be had: "):
        unpacked("a==1", tmp_path / "w" / "deep", env(tmp_path))
    assert not (tmp_path / "w" / "evil").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "x"])
def test_links_in_an_archive_are_passed_over(tmp_path, target):
    """Some projects have such beside their tests; none is needed, and none leads elsewhere."""
    archive(tmp_path, "a-1.tar.gz", {"a-1/x": "", "a-1/link": _link(target)})
    root = unpacked("a==1", tmp_path / "w", env(tmp_path))
    assert [path.name for path in root.iterdir()] == ["x"]


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CAPS", Caps(file=10, total=99999))
    archive(tmp_path, "a-1.tar.gz", {"a-1/x": "x" * 11})
    with pytest.raises(SourceError, match="a-1/x is larger than 0 MiB"):
        unpacked("a==1", tmp_path / "w", env(tmp_path))


def test_what_is_no_archive_is_said(tmp_path):
    (tmp_path / "a-1.tar.gz").write_text("no")
    with pytest.raises(SourceError, match="cannot be had: it is no zip or tar archive"):
        unpacked("a==1", tmp_path / "w", env(tmp_path))


def test_a_failure_is_not_remembered(tmp_path):
    (tmp_path / "a-1.tar.gz").write_text("no")
    with pytest.raises(SourceError):
        unpacked("a==1", tmp_path / "w", env(tmp_path))
    archive(tmp_path, "a-1.tar.gz", {"a-1/x": ""})
    assert unpacked("a==1", tmp_path / "w", env(tmp_path)).name == "a-1"
