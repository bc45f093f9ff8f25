"""`cache`: what is printed, and with which exit code."""

import json
from pathlib import Path

import pytest
from test_compilecache import FILES, PROBE, fill, tree

from matrix import host, running
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
        (("verify", "nosuch://x"), 4, "the remote cannot be used: `nosuch://x`"),
        (("pull", "nosuch://x", "y"), 4, "the remote cannot be used"),
        (("verify", "empty"), 3, "no archive in `empty`"),
        (("pull", "x", "y", "--label", "a\nb"), 2, "--label"),
    ],
)
def test_what_is_wrong_is_said_with_its_code(call, words, code, said):
    got, out, err = call(*words)
    assert (got, out) == (code, "")
    assert said in err


ONE_CELL = """
[[torch]]
version = "2.6.0"
variants = ["cpu"]
[profiles.default]
suites = ["feature"]
"""


@pytest.fixture
def used(run_cli, record, matrix_file, world, monkeypatch):
    """The remote that a run uses."""

    def call(more, *options):
        seen = []
        matrix_file(ONE_CELL + more)
        monkeypatch.setattr(
            running, "Site", lambda **about: seen.append(about["shared"]) or Site(**about)
        )
        recording = record(world.outcome("t"))
        run_cli("run", "--backend", "replay", "--recording", recording, "--rerun", "all", *options)
        [shared] = seen
        return shared

    return call


def test_a_run_shares_with_the_remote_of_the_file_or_of_the_option(used, tmp_path, monkeypatch):
    assert used("") is None
    found = used('[cache]\nremote = "there"\npush = false')
    assert (found.remote.url, found.writable) == (str(tmp_path / "there"), False)
    monkeypatch.chdir(tmp_path)
    assert used('[cache]\nremote = "there"', "--cache", "x").remote.url == str(tmp_path / "x")
    assert used('[cache]\nremote = "x"', "--cache", "s3://b/c").remote.url == "s3://b/c"
    assert used('[cache]\nremote = "x"', "--cache", "") is None


def test_an_interpreter_without_torch_has_no_key(call):
    code, _, err = call("pull", "x", "y", torch=None, errors=["import torch: ImportError: no"])
    assert (code, "`import torch` failed: import torch: ImportError: no" in err) == (2, True)
