"""`cache`: what is printed, and with which exit code."""

import json
from pathlib import Path

import fsspec
import pytest
from test_compilecache import FILES, PROBE, fill, tree

from matrix import host, running
from matrix.compilecache.remote import Remote
from matrix.execution import Site


@pytest.fixture
def call(run_cli, monkeypatch):
    probe = dict(PROBE)
    monkeypatch.setattr(host, "probe_of", lambda _python, _workspace: probe)

    def run(*words, **more):
        probe.update(more)
        done = run_cli("cache", *words)
        return done.code, done.out, done.err

    return run


@pytest.fixture
def compiled(tmp_path):
    return fill(tmp_path / "compiled")


def test_push_and_pull(call, compiled, tmp_path):
    code, out, _ = call("push", compiled, tmp_path / "remote")
    assert (code, out.startswith("pushed torch2.13.0_cu130-cuda13.0-sm_90-py3.11-")) == (0, True)
    code, out, err = call("pull", tmp_path / "remote", tmp_path / "new")
    assert (code, tree(tmp_path / "new")) == (0, FILES)
    assert f"3 of 3 files (0.0 MB) new in {tmp_path / 'new'}" in out
    assert f"export TORCHINDUCTOR_CACHE_DIR={tmp_path / 'new'}/inductor" in err
    code, out, err = call(
        "pull", tmp_path / "remote", tmp_path / "newer", torch="2.14.1", torch_file="x"
    )
    assert (code, out) == (3, "")
    assert "a miss: no torch2.14.1-" in err
    assert "no torch uses another one's compiled code" in err
    assert not (tmp_path / "newer").exists()


def test_pack_and_verify(call, compiled, tmp_path):
    folder = tmp_path / "remote"
    folder.mkdir()
    code, out, _ = call("pack", compiled, folder, "--json")
    archive = json.loads(out)["archive"]
    code, out, _ = call("verify", archive)
    assert (code, "torch: 2.13.0+cu130" in out) == (0, True)
    data = Path(archive).read_bytes()
    Path(archive).write_bytes(data[:40] + b"damage" + data[46:])
    code, out, _ = call("verify", folder)
    assert (code, out.startswith("REFUSED")) == (1, True)
    code, _, err = call("pull", folder, tmp_path / "new")
    assert (code, "was refused" in err) == (2, True)


def test_a_name_that_is_not_its_keys_is_refused_on_a_remote(call, compiled, tmp_path):
    folder = tmp_path / "remote"
    folder.mkdir()
    call("pack", compiled, folder / "other.tar.gz")
    code, out, _ = call("verify", folder, "--json")
    [found] = json.loads(out)
    assert (code, "its name is not its key's" in found["problems"][0]) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("push", "nowhere", "x"), 2, "`nowhere` is no folder"),
        (("push", "nowhere"), 2, "`cache push` needs FROM and TO"),
        (("verify", "a", "b"), 2, "`cache verify` takes FROM alone"),
        (("verify", "a", ""), 2, "`cache verify` takes FROM alone"),
        (("verify", "s4://x?key=secret"), 2, "FROM: `s4://x?…` is of no scheme that fsspec has"),
        (("pull", "s4://x", "y"), 2, "FROM: `s4://x` is of no scheme that fsspec has"),
        (("verify", "missing.tar.gz"), 2, "FROM: there is no file `missing.tar.gz`"),
        (("verify", ""), 2, "FROM: it is empty"),
        (("pull", "x", ""), 2, "TO: it is empty"),
        (("pull", " ", "y"), 2, "FROM: it is empty"),
        (("pull", "x", "memory://y"), 2, "TO: `memory://y` is a URL, and here it has to be a path"),
        (("pull", "x", "y", "--python", ""), 2, "--python: it is empty"),
        (("verify", "empty"), 3, "no archive in `empty`"),
        (("pull", "x", "y", "--label", "a\nb"), 2, "--label"),
    ],
)
def test_what_is_wrong_is_said_with_its_code(call, words, code, said):
    got, out, err = call(*words)
    assert (got, out) == (code, "")
    assert said in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("push", "c", ""), "TO: it is empty"),
        (("push", "c", "file"), "TO: `file` is a file: name a folder"),
        (("push", "c", "file/x"), "file` is a file: name a folder"),
        (("push", "c", "file://"), "TO: `file://` names no place"),
        (("push", "memory://c", "x"), "FROM: `memory://c` is a URL"),
        (("pull", "x", "file"), "TO: `file` is a file: name a folder"),
        (("pull", "file", "x"), "FROM: `file` is a file: name a folder"),
        (("pack", "c", ""), "TO: it is empty"),
        (("pack", "c", "no/x.tar.gz"), "TO: `no` is no folder: make it first"),
        (("pack", "c", "file:///x.tar.gz"), "TO: `file:///x.tar.gz` is a URL"),
        (
            ("pack", "", "", "--label", "\n"),
            "an archive or a URL\n  - --label",
        ),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_before_anything_is_written(
    call, compiled, tmp_path, monkeypatch, words, said
):
    compiled.rename(tmp_path / "c")
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    code, out, err = call(*words)
    assert (code, out, tree(tmp_path)) == (2, "", before)
    assert said in err
    assert err.startswith(f"matrix: `cache {words[0]}` cannot be done:\n  - ")


def test_a_scheme_without_its_package_says_which_one_it_needs(call, compiled, monkeypatch):
    def missing(_scheme):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    code, _, err = call("push", compiled, "s3://b")
    assert (code, "not installed: Install s3fs to access S3" in err) == (2, True)


def test_a_file_in_the_way_is_named_and_nothing_is_pulled(call, compiled, tmp_path):
    call("push", compiled, tmp_path / "remote")
    fill(tmp_path / "there", {"inductor": b"", "triton/k.cubin/x": b""})
    code, _, err = call("pull", tmp_path / "remote", tmp_path / "there")
    assert (code, len(tree(tmp_path / "there"))) == (2, 2)
    assert f"`{tmp_path / 'there' / 'inductor'}` is a file, and a folder is needed there" in err
    assert "k.cubin` is a folder, and a file is needed there" in err


HOSTILE = "a\x1b]0;title\x07\x1b[31m\nwhole  b\u202e.tar.gz"


def test_names_on_a_remote_are_printed_without_what_a_terminal_obeys(call, compiled, tmp_path):
    call("pack", compiled, tmp_path / "x.tar.gz")
    remote = tmp_path / "remote"
    remote.mkdir()
    (tmp_path / "x.tar.gz").rename(remote / HOSTILE)
    code, out, _ = call("verify", remote)
    assert (code, out.splitlines()[0]) == (
        1, f"REFUSED  {remote}/a whole b .tar.gz 3 files (0.0 MB)",
    )  # fmt: skip
    (remote / f"torch\x1b[2J{HOSTILE}").touch()
    (remote / "torch2.1.0_cpu-x.tar.gz").touch()
    code, _, err = call("pull", remote, tmp_path / "new")
    assert (code, "only of torch2.1.0_cpu, and" in err) == (3, True)
    assert not {"\x1b", "\x07", "\u202e"} & set(out + err)


@pytest.mark.parametrize("words", [("verify", "x\x1b[31m"), ("push", "x\x1b[31m", "y")])
def test_messages_are_printed_without_what_a_terminal_obeys(call, words):
    _, _, err = call(*words)
    assert "`x`" in err


def test_what_cannot_be_reached_is_not_refused(call, compiled, tmp_path, monkeypatch):
    url = "memory://key:secret@nowhere/x.tar.gz?X-Amz-Signature=secret"
    code, out, _ = call("verify", url)
    assert (code, out.splitlines()[0]) == (4, "UNREAD   memory://…@nowhere/x.tar.gz?…")
    code, json_out, _ = call("verify", url, "--json")
    [found] = json.loads(json_out)
    assert (code, found["state"], found["source"]) == (4, "unread", "memory://…@nowhere/x.tar.gz?…")
    assert "secret" not in out + json_out
    call("pack", compiled, tmp_path / "bad.tar.gz")
    monkeypatch.setattr(Remote, "names", lambda _: ["gone.tar.gz", "bad.tar.gz"])
    code, out, _ = call("verify", tmp_path)
    words = [line.split()[0] for line in out.splitlines() if line[0] != " "]
    assert (code, words) == (1, ["UNREAD", "REFUSED"])


ONE_CELL = """
[[torch]]
version = "2.6.0"
variants = ["cpu"]
[profiles.default]
suites = ["feature"]
"""


@pytest.fixture
def site(run_cli, record, matrix_file, world, monkeypatch):
    """Where a run's jobs run."""

    def call(more, *options):
        seen = []
        matrix_file(ONE_CELL + more)
        monkeypatch.setattr(running, "Site", lambda **about: seen.append(about) or Site(**about))
        recording = record(world.outcome("t"))
        run_cli("run", "--backend", "replay", "--recording", recording, "--rerun", "all", *options)
        return Site(**seen[0])

    return call


@pytest.fixture
def used(site):
    """The remote that a run uses."""
    return lambda *words: site(*words).shared


def test_a_run_shares_with_the_remote_of_the_file_or_of_the_option(used, tmp_path, monkeypatch):
    assert used("") is None
    found = used('[cache]\nremote = "there"\npush = false')
    assert (found.remote.url, found.writable) == (str(tmp_path / "there"), False)
    monkeypatch.chdir(tmp_path)
    assert used('[cache]\nremote = "there"', "--cache", "x").remote.url == str(tmp_path / "x")
    assert used('[cache]\nremote = "x"', "--cache", "memory://b").remote.url == "memory://b"
    assert used('[cache]\nremote = "x"', "--cache", "") is None


@pytest.mark.parametrize(
    "text", ["memory://k:p@b?sig=s/x", "memory://…@b?…", "`memory://…@b?…`: x"]
)
def test_a_bundle_does_not_name_the_remote(site, text):
    told = site("", "--cache", "memory://k:p@b?sig=s").redactor.text(text)
    assert (told.count("<cache>"), "memory" in told) == (1, False)


def test_a_run_refuses_a_remote_that_nobody_has(run_cli, matrix_file, record, world):
    matrix_file(ONE_CELL)
    recording = record(world.outcome("t"))
    done = run_cli("run", "--backend", "replay", "--recording", recording, "--cache", "s4://x")
    assert (done.code, done.out) == (2, "")
    assert "`--cache` names no remote:\n  - `s4://x` is of no scheme that fsspec has" in done.err


def test_an_interpreter_without_torch_has_no_key(call):
    code, _, err = call("pull", "x", "y", torch=None, errors=["import torch: ImportError: no"])
    assert (code, "`import torch` failed: import torch: ImportError: no" in err) == (2, True)
