"""Archives from containers are a stranger's: whatever they hold, nothing leaves its folder."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.engines.archives import Caps, extract, pack


def archive(*members, form=tarfile.PAX_FORMAT):
    """A tar of (name, data or type, link target) members, in small pieces."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for name, what, *target in members:
            entry = tarfile.TarInfo(name)
            data = what if isinstance(what, bytes) else b""
            entry.size = len(data)
            if not isinstance(what, bytes):
                entry.type = what.encode()
                entry.linkname = target[0] if target else ""
            tar.addfile(entry, io.BytesIO(data))
    whole = made.getvalue()
    return [whole[at : at + 700] for at in range(0, len(whole), 700)]


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_regular_files_come_in(tmp_path):
    got = extract(archive(("a", b"1"), ("d/b", b"2" * 2000), ("d", "5")), tmp_path)
    assert files(tmp_path) == {"a": b"1", "d/b": b"2" * 2000}
    assert got.files == (tmp_path / "a", tmp_path / "d" / "b")
    assert got.complaints == ()


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        pytest.param(("/etc/x", b"1"), "its name leads elsewhere", id="absolute"),
        pytest.param(("../x", b"1"), "its name leads elsewhere", id="parent"),
        pytest.param(("a/../../x", b"1"), "its name leads elsewhere", id="parent-within"),
        pytest.param((".", b"1"), "its name leads elsewhere", id="no-name"),
        pytest.param(("x", "2", "/etc/passwd"), "it is no regular file", id="symlink"),
        pytest.param(("x", "1", "../../x"), "it is no regular file", id="hard-link"),
        pytest.param(("x", "3"), "it is no regular file", id="character-device"),
        pytest.param(("x", "4"), "it is no regular file", id="block-device"),
        pytest.param(("x", "6"), "it is no regular file", id="fifo"),
        pytest.param(("x\x1b[2J", b"1"), "its name has characters that no name needs", id="escape"),
        pytest.param(("a\\b", b"1"), "its name has characters that no name needs", id="backslash"),
        pytest.param(("x" * 300, b"1"), "its name is too long", id="long"),
        pytest.param(("/".join("a" * 20), b"1"), "its name is too long", id="deep"),
    ],
)
def test_what_is_refused_is_said_and_the_rest_comes_in(tmp_path, member, reason):
    folder = tmp_path / "in"
    folder.mkdir()
    got = extract(archive(member, ("good", b"1")), folder)
    assert files(tmp_path) == {"in/good": b"1"}
    assert got.complaints == (f"{ascii(member[0])[:200]} was refused: {reason}",)


def test_nothing_that_is_there_is_replaced(tmp_path):
    (tmp_path / "a").write_text("mine")
    got = extract(archive(("a", b"1"), ("a/b", b"1"), ("c", b"1"), ("c", b"2")), tmp_path)
    assert files(tmp_path) == {"a": b"mine", "c": b"1"}
    assert got.complaints == tuple(
        f"'{name}' was refused: it is there already" for name in ("a", "a/b", "c")
    )


def test_a_link_that_is_there_is_not_followed(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path / "out")
    extract(archive(("a", b"1")), folder)
    assert not (tmp_path / "out").exists()


def test_a_large_file_is_cut(tmp_path):
    got = extract(archive(("a", b"1" * (3 << 20)), ("b", b"2")), tmp_path, Caps(file=1 << 20))
    assert {name: len(data) for name, data in files(tmp_path).items()} == {"a": 1 << 20, "b": 1}
    assert got.complaints == ("a is larger than 1 MiB; cut there",)


def test_too_many_files_and_too_many_bytes(tmp_path):
    many = [(f"{n}", b"x") for n in range(10)]
    got = extract(archive(*many), tmp_path / "n", Caps(files=4))
    assert len(got.files) == 4
    assert got.complaints == ("more than 4 files; the rest was left",)
    got = extract(archive(("a", b"1" * (3 << 20))), tmp_path / "b", Caps(total=1 << 20))
    assert got.complaints == ("more than 1 MiB; the rest was left",)


def test_a_header_that_promises_gigabytes_costs_no_memory(tmp_path):
    """The size of an extended header is the stranger's; only what is there is ever read."""
    entry = tarfile.TarInfo("pax")
    entry.type, entry.size = b"x", 1 << 40
    header = entry.tobuf(tarfile.GNU_FORMAT)
    got = extract([header, b"\0" * (2 << 20)], tmp_path, Caps(total=1 << 20))
    assert got.complaints == ("more than 1 MiB; the rest was left",)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_larger_than_headers_are_is_not_read(tmp_path, kind):
    """Names and attributes are read into memory, and zeros compress well."""
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 2 << 20
    read = []

    def chunks():
        for chunk in [header.tobuf(), *[bytes(1 << 16)] * 32]:
            read.append(chunk)
            yield chunk

    found = extract(chunks(), tmp_path)
    assert (found.files, found.complaints) == (
        (), ("a header is larger than 1 MiB; the rest was left",),
    )  # fmt: skip
    assert len(read) < 4


def test_what_goes_on_after_the_end_is_said(tmp_path):
    made = pack({"x": b"1"})
    assert not extract([made, bytes(1000)], tmp_path / "padded").complaints
    found = extract([made, *[bytes(1 << 20)] * 2], tmp_path / "more")
    assert len(found.files) == 1
    assert found.complaints == ("more than 1 MiB follow its end; the rest was left",)


def test_sparse_files_are_refused(tmp_path):
    """A few bytes of them become as many as they like."""
    entry = tarfile.TarInfo("sparse")
    entry.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"00000000000 00000001000 "
    header[483:495] = b"77777777777\0"
    header[148:156] = b"        "
    header[148:156] = f"{sum(header[:512]):06o}\0 ".encode()
    got = extract([bytes(header) + b"\0" * 2048], tmp_path)
    assert files(tmp_path) == {}
    assert len(got.complaints) == 1


@given(st.binary(max_size=4000))
def test_garbage_is_no_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("x")
    assert extract([data], folder).files == ()


@given(st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 255)), max_size=20))
def test_a_damaged_archive_writes_nowhere_else(tmp_path_factory, damage):
    top = tmp_path_factory.mktemp("x")
    whole = bytearray(b"".join(archive(("name", b"data"), ("d/name", b"data"))))
    for at, value in damage:
        whole[at] = value
    extract([bytes(whole)], top / "in")
    assert not [path for path in top.iterdir() if path.name != "in"]


def test_what_is_packed_comes_out_again(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh")
    script.chmod(0o755)
    made = pack({"d/e/script": script, "job.json": b"{}"}, owner=10001, folders=("out",))
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        assert [(m.name, m.mode, m.uid, m.gid) for m in tar] == [
            ("out", 0o755, 10001, 10001),
            ("d", 0o755, 10001, 10001),
            ("d/e", 0o755, 10001, 10001),
            ("d/e/script", 0o755, 10001, 10001),
            ("job.json", 0o644, 10001, 10001),
        ]
    extract([made], tmp_path / "again")
    assert files(tmp_path / "again") == {"d/e/script": b"#!/bin/sh", "job.json": b"{}"}


def test_packed_archives_have_no_pax_header():
    """BuildKit takes the first one for a Dockerfile."""
    assert b"PaxHeader" not in pack({"x" * 200: b"", "ü": b""})
