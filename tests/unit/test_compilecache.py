"""Compiled code on a remote: found again by its key alone, refused where anything is wrong."""

import gzip
import io
import json
import tarfile
import threading
from dataclasses import asdict, replace

import fsspec
import pytest

from matrix.compilecache import archive as archives
from matrix.compilecache.archive import CacheRefused, describe, opened, pack
from matrix.compilecache.exchange import pull, push
from matrix.compilecache.key import key_of, place_of, refusal
from matrix.compilecache.remote import Remote, RemoteFailed
from matrix.compilecache.shared import SharedCache
from matrix.engines.archives import Caps, extract

PROBE = {
    "torch": "2.13.0+cu130", "triton": "3.7.0", "cuda": "13.0", "hip": None, "python": "3.11.7",
    "machine": "x86_64", "glibc": "2.36", "compiler": "g++ 12.2.0", "free_threaded": False,
    "cpu": {"model": "Test CPU", "flags": ["avx2"]}, "torch_file": "/env/torch/__init__.py",
    "devices": [{"name": "NVIDIA H200", "arch": "sm_90"}] * 2,
}  # fmt: skip
KEY = key_of(PROBE, "a model")
PLACE = place_of(PROBE)
FILES = {
    "inductor/aa/kernel.so": b"\x7fELF",
    "inductor/fxgraph/g": b"graph",
    "triton/k.cubin": b"cubin",
}


def fill(folder, files=FILES):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tree(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(params=["directory", "url"])
def remote(request, tmp_path):
    if request.param == "directory":
        return Remote(url=str(tmp_path / "remote"))
    files = fsspec.filesystem("memory")
    files.rm("/", recursive=True) if files.ls("/") else None
    return Remote(url="memory://bucket/caches")


@pytest.fixture
def compiled(tmp_path):
    return fill(tmp_path / "compiled")


@pytest.fixture
def packed(compiled, tmp_path):
    path = tmp_path / "cache.tar.gz"
    pack(compiled, describe(compiled, KEY, PLACE), path)
    return path


def test_what_one_machine_pushed_another_one_pulls(remote, compiled, tmp_path):
    pushed = push(remote, KEY, PLACE, compiled)
    got = pull(remote, KEY, PLACE, tmp_path / "new")
    assert (pushed.new, got.manifest.content, got.files, got.note) == (True, pushed.content, 3, "")
    assert tree(tmp_path / "new") == FILES
    assert remote.names() == [KEY.name]
    assert KEY.name.startswith("torch2.13.0_cu130-cuda13.0-sm_90-py3.11-")


def test_what_is_hardly_more_than_was_pulled_is_not_sent_again(remote, compiled):
    fill(compiled, {"inductor/large": bytes(1000), "headers/h": bytes(10)})
    known = describe(compiled, KEY, PLACE)
    assert push(remote, KEY, PLACE, compiled).new
    fill(compiled, {"triton/more": bytes(100), "headers/h": bytes(10_000)})
    assert not push(remote, KEY, PLACE, compiled, known).new
    fill(compiled, {"triton/more": bytes(200)})
    assert push(remote, KEY, PLACE, compiled, known).new


def test_what_is_half_written_locked_or_a_link_stays_at_home(compiled, tmp_path):
    names = ["inductor/locks/a.lock", "inductor/.12.tmp", "triton/tmp.pid_3/k", "inductor/x.tmp"]
    fill(compiled, dict.fromkeys(names, b""))
    (tmp_path / "secret").write_text("s")
    (compiled / "inductor" / "link").symlink_to(tmp_path / "secret")
    (compiled / "away").symlink_to(tmp_path)
    assert describe(compiled, KEY, PLACE).files.keys() == FILES.keys()


def test_equal_folders_make_equal_archives(compiled, packed, tmp_path):
    again = tmp_path / "again.tar.gz"
    pack(compiled, describe(compiled, KEY, PLACE), again)
    assert again.read_bytes() == packed.read_bytes()


def test_what_is_there_stays_as_it_is(remote, compiled, tmp_path):
    push(remote, KEY, PLACE, compiled)
    here = fill(tmp_path / "here", {"triton/k.cubin": b"mine"})
    assert pull(remote, KEY, PLACE, here).files == 2
    assert tree(here)["triton/k.cubin"] == b"mine"
    assert not list(here.rglob("*.part"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("torch", "2.14.1+cu130"),
        ("triton", "3.8.0"),
        ("cuda", "12.9"),
        ("python", "3.12.1"),
        ("glibc", "2.31"),
        ("compiler", None),
        ("cpu", {"model": "Test CPU", "flags": ["avx2", "avx512f"]}),
        ("devices", [{"name": "NVIDIA H100", "arch": "sm_90"}]),
        ("devices", [{"name": "NVIDIA B200", "arch": "sm_100"}]),
        ("devices", []),
    ],
)
def test_any_other_environment_misses(remote, compiled, tmp_path, field, value):
    push(remote, KEY, PLACE, compiled)
    other = key_of({**PROBE, field: value}, "a model")
    got = pull(remote, other, PLACE, tmp_path / "new")
    assert (got.manifest, got.files, (tmp_path / "new").exists()) == (None, 0, False)
    assert got.note


def test_another_source_misses_and_two_gpus_of_a_kind_are_one(remote, compiled, tmp_path):
    push(remote, KEY, PLACE, compiled)
    assert pull(remote, key_of(PROBE, "another"), PLACE, tmp_path / "new").manifest is None
    one = {**PROBE, "devices": PROBE["devices"][:1], "torch_file": "/elsewhere"}
    assert key_of(one, "a model") == KEY


def test_a_miss_says_what_is_there(remote, compiled, tmp_path):
    target = tmp_path / "new"
    assert pull(remote, KEY, PLACE, target).note == "nothing is there yet"
    push(remote, KEY, PLACE, compiled)
    newer = key_of({**PROBE, "torch": "2.14.1+cu130"}, "a model")
    assert pull(remote, newer, PLACE, target).note == (
        "only of torch2.13.0_cu130, and this is torch2.14.1_cu130: "
        "no torch uses another one's compiled code"
    )
    same_torch = key_of({**PROBE, "glibc": "2.41"}, "a model")
    assert pull(remote, same_torch, PLACE, target).note == (
        "1 archive(s), none of this key; `cache verify` shows their keys"
    )


def test_headers_are_left_and_said_so_where_torch_lies_elsewhere(remote, compiled, tmp_path):
    fill(compiled, {"headers/c.h.gch": b"large"})
    push(remote, KEY, PLACE, compiled)
    assert pull(remote, KEY, PLACE, tmp_path / "same").files == 4
    got = pull(remote, KEY, "elsewhere", tmp_path / "other")
    assert (got.files, "C++ kernels not" in got.note) == (3, True)


@pytest.mark.parametrize("torch", ["2.1.2+cpu", "2.3.1", "nonsense"])
def test_code_that_cannot_be_moved_is_neither_pushed_nor_pulled(remote, compiled, tmp_path, torch):
    old = replace(KEY, torch=torch)
    for action in (lambda: push(remote, old, PLACE, compiled),
                   lambda: pull(remote, old, PLACE, tmp_path / "new")):  # fmt: skip
        with pytest.raises(CacheRefused, match=r"absolute paths|no version"):
            action()
    assert remote.names() == []


@pytest.mark.parametrize("torch", ["2.4.0", "2.4.0a0+git1", "2.15.0.dev20261101+cu130"])
def test_others_can_be_moved(torch):
    assert refusal(replace(KEY, torch=torch)) == ""


def rewritten(path, change):
    """The archive with its members changed, still well-formed."""
    with tarfile.open(path) as tar:
        members = [(m, tar.extractfile(m).read() if m.isreg() else b"") for m in tar]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for member, data in change(members):
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    path.write_bytes(gzip.compress(made.getvalue()))
    return path


def edited(name, new):
    def change(members):
        return [(m, new(data) if m.name == name else data) for m, data in members]

    return change


def manifest(**more):
    return edited("manifest.json", lambda data: json.dumps({**json.loads(data), **more}).encode())


def extra(**about):
    def change(members):
        member = tarfile.TarInfo("inductor/extra")
        for name, value in about.items():
            setattr(member, name, value)
        return [*members, (member, b"")]

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            edited("triton/k.cubin", lambda _: b"other"), r"`triton/k.cubin` is damaged", id="hash"
        ),
        pytest.param(
            lambda members: [m for m in members if m[0].name != "triton/k.cubin"],
            r"`triton/k.cubin` is missing", id="missing"
        ),
        pytest.param(extra(), r"`inductor/extra` is not in the manifest", id="not-listed"),
        pytest.param(
            extra(name="triton/k.cubin"), r"triton/k.cubin' was refused: it is there", id="twice"
        ),
        pytest.param(extra(name="a\x1b[2J"), r"characters that no name needs", id="escape"),
        pytest.param(extra(name="../out"), r"its name leads elsewhere", id="outside"),
        pytest.param(extra(name="/tmp/out"), r"its name leads elsewhere", id="absolute"),
        pytest.param(
            extra(type=tarfile.SYMTYPE, linkname="/etc/passwd"), r"no regular file", id="link"
        ),
        pytest.param(
            extra(type=tarfile.LNKTYPE, linkname="triton/k.cubin"), r"no regular file", id="hard"
        ),
        pytest.param(extra(type=tarfile.CHRTYPE), r"no regular file", id="device"),
        pytest.param(manifest(schema=9), r"schema 9, this version reads 1", id="newer"),
        pytest.param(manifest(schema=None), r"manifest.json is damaged", id="no-schema"),
        pytest.param(manifest(key={"torch": "2"}), r"manifest.json is damaged", id="half-a-key"),
        pytest.param(manifest(files={}), r"manifest.json is damaged", id="no-files"),
        pytest.param(
            manifest(files={"../x": [1, "a"]}), r"manifest.json is damaged", id="listed-outside"
        ),
        pytest.param(manifest(content="0"), r"manifest.json is damaged", id="content"),
        pytest.param(
            edited("manifest.json", lambda _: b"{"), r"no readable manifest.json", id="no-json"
        ),
        pytest.param(
            lambda members: [m for m in members if m[0].name != "manifest.json"],
            r"no readable manifest.json", id="something-else"
        ),
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_archive_is_refused(remote, packed, tmp_path, change, reason):
    with pytest.raises(CacheRefused, match=reason), opened(str(rewritten(packed, change))):
        raise AssertionError("it was opened")
    remote.put(packed, KEY.name)
    with pytest.raises(CacheRefused, match=reason):
        pull(remote, KEY, PLACE, tmp_path / "new")
    assert not (tmp_path / "new").exists(), "nothing of it is used"


def test_an_archive_that_is_cut_short_is_refused(packed):
    data = packed.read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 9):
        packed.write_bytes(data[:size])
        with pytest.raises(CacheRefused), opened(str(packed)):
            raise AssertionError("it was opened")


def test_a_folder_is_no_archive(remote, packed, tmp_path):
    extract([gzip.decompress(packed.read_bytes())], tmp_path / KEY.name)
    with pytest.raises(CacheRefused, match="it is a folder"), opened(str(tmp_path / KEY.name)):
        raise AssertionError("it was opened")


def test_an_archive_that_is_not_there_is_not_refused(remote):
    with pytest.raises(RemoteFailed), opened(remote.source(KEY.name)):
        raise AssertionError("it was opened")


def test_a_manifest_too_large_to_read_is_refused(packed, monkeypatch):
    monkeypatch.setattr(archives, "MANIFEST_MAX", 99)
    with pytest.raises(CacheRefused, match=r"manifest.json is larger"), opened(str(packed)):
        raise AssertionError("it was opened")


def test_a_storage_that_does_not_answer_is_no_miss(remote, monkeypatch):
    def info(self, path, **_more):
        raise FileNotFoundError(path) from ConnectionRefusedError("port 9")

    monkeypatch.setattr(type(fsspec.core.url_to_fs(remote.url)[0]), "info", info)
    with pytest.raises(RemoteFailed, match="ConnectionRefusedError: port 9"):
        remote.has(KEY.name)


def test_a_folder_of_the_archives_name_is_not_filled(remote, compiled):
    files, root = fsspec.core.url_to_fs(remote.url)
    files.makedirs(f"{root}/{KEY.name}")
    with pytest.raises(RemoteFailed, match="is a folder there: remove it"):
        push(remote, KEY, PLACE, compiled)
    assert files.find(root) == []


def test_what_a_url_asks_for_stays_behind_its_path():
    assert Remote(url="https://h/d/?sig=a/b").source("x") == "https://h/d/x?sig=a/b"
    assert Remote(url="d?/e").source("x") == "d?/e/x"


def test_an_archive_of_another_key_is_refused_under_this_ones_name(remote, packed, tmp_path):
    other = replace(KEY, torch="2.12.0", gpu="NVIDIA H100")
    remote.put(packed, other.name)
    with pytest.raises(CacheRefused) as refused:
        pull(remote, other, PLACE, tmp_path / "new")
    assert refused.value.problems == [
        "it is of another key: torch is 2.12.0 here and 2.13.0+cu130 there",
        "it is of another key: gpu is NVIDIA H100 here and NVIDIA H200 there",
    ]


def test_what_is_too_large_is_neither_packed_nor_unpacked(compiled, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "CAPS", Caps(file=4, total=1 << 20, files=100))
    with pytest.raises(CacheRefused, match="larger than"), opened(str(packed)):
        raise AssertionError("it was opened")
    with pytest.raises(CacheRefused, match="larger than"):
        pack(compiled, describe(compiled, KEY, PLACE), tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CacheRefused, match="nothing compiled"):
        pack(tmp_path / "empty", describe(tmp_path / "empty", KEY, PLACE), tmp_path / "no")


def test_a_remote_that_fails_says_why_and_keeps_its_password():
    with pytest.raises(RemoteFailed) as failed:
        Remote(url="nosuch://me:secret@host/x?token=secret").names()
    assert "nosuch" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_a_push_that_fails_leaves_nothing_half(remote, compiled, monkeypatch):
    files = fsspec.core.url_to_fs(remote.url)[0]

    def fail(*_args, **_more):
        raise OSError("no space")

    monkeypatch.setattr(type(files), "mv", fail)
    with pytest.raises(RemoteFailed, match="no space"):
        push(remote, KEY, PLACE, compiled)
    assert files.ls(fsspec.core.url_to_fs(remote.url)[1]) == []


def shared(remote, **more):
    return SharedCache(remote=remote, **more)


def test_a_run_pulls_into_an_empty_folder_and_pushes_what_is_new(remote, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    miss = shared(remote).bring(first, PROBE, "s")
    assert (miss.state, miss.note) == ("miss", "nothing is there yet")
    fill(first)
    pushed = shared(remote).give(miss).pushed
    hit = shared(remote).bring(second, PROBE, "s")
    assert (hit.state, hit.told["content"], tree(second)) == ("pulled", pushed, FILES)
    assert shared(remote).give(hit).pushed == "nothing: hardly more than was pulled"
    kept = shared(remote).bring(second, PROBE, "s")
    assert (kept.state, shared(remote).give(kept).pushed) == ("kept", "nothing: it is there")
    other = shared(remote).bring(second, PROBE, "t")
    assert (other.state, len(shared(remote).give(other).pushed)) == ("kept", len(pushed))
    told = hit.told
    assert (told["key"], told["state"], told["content"]) == (hit.key.name, "pulled", pushed)
    assert "warning" not in told


def test_a_cold_run_pulls_nothing_and_a_reader_pushes_nothing(remote, compiled, tmp_path):
    push(remote, key_of(PROBE, "s"), PLACE, compiled)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert shared(remote).bring(empty, PROBE, "s", cold=True).state == "cold"
    assert not list(empty.iterdir())
    reader = shared(remote, writable=False)
    other = reader.bring(compiled, PROBE, "another")
    assert (reader.give(other).pushed, len(remote.names())) == ("", 1)


@pytest.mark.parametrize("old", [False, True])
def test_what_fails_is_a_warning(compiled, tmp_path, old):
    there = tmp_path / "file"
    there.write_text("no folder")
    cache = shared(Remote(url=str(there / "deeper") if not old else str(tmp_path / "r")))
    probe = {**PROBE, "torch": "2.2.2"} if old else PROBE
    given = cache.give(cache.bring(compiled, probe, "s"))
    assert given.warning.startswith("the compile cache was not pushed: ")
    empty = tmp_path / "empty"
    empty.mkdir()
    if old:
        assert "absolute paths" in cache.bring(empty, probe, "s").warning


def test_a_storage_that_hangs_is_not_waited_for(remote, tmp_path, monkeypatch):
    goes_on = threading.Event()
    empty = tmp_path / "empty"
    empty.mkdir()
    push(remote, key_of(PROBE, "s"), PLACE, fill(tmp_path / "c"))
    real, done = Remote.has, threading.Event()

    def hang(self, name):
        goes_on.wait(30)
        found = real(self, name)
        done.set()
        return found

    monkeypatch.setattr(Remote, "has", hang)
    late = shared(remote, deadline=0.05).bring(empty, PROBE, "s")
    assert (late.state, late.warning) == (
        "failed", "the compile cache was not pulled: it took more than 0.05 s",
    )  # fmt: skip
    goes_on.set()
    assert done.wait(30)
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            thread.join(10)
    assert not list(empty.iterdir()), "what comes late is left"


def test_a_key_is_read_as_it_was_written(packed):
    with opened(str(packed)) as (_, found):
        assert asdict(found.key) == asdict(KEY)
        assert (found.place, found.size) == (PLACE, sum(map(len, FILES.values())))
