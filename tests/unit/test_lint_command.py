"""Lint as a command: which files it reads, which release it judges by, and its exit codes."""

import json
import os

import pytest

from matrix.lint.files import lint
from matrix.lint.flags import Target

GONE = "--cuda-graph-sizes"
"""Of vllm 0.9.0 to 0.12.0."""
LAUNCH = f"vllm serve m {GONE} 1"


@pytest.fixture
def said(tmp_path):
    """What is said of one file: messages of findings, and of commands that are not judged."""

    def call(name, text):
        path = tmp_path / name
        path.write_text(text)
        report = lint([path], [Target(engine="vllm", release="0.33.0")])
        assert report.unread == ()
        return [f.message for f in report.findings], [f.message for f in report.unjudged]

    return call


def test_flags_in_lists_of_words_in_python(said):
    code = f"""
run(["vllm", "serve", model, "{GONE}"])
run([sys.executable, "-m", "vllm.entrypoints.openai.api_server", f"{GONE}={{n}}"])
run(("env", "vllm", "serve", "--x", "{GONE} y", "--", "{GONE}"))
names = ["vllm.entrypoints.openai.api_server", "{GONE}"]
other = ["vllm", "{GONE}"], ["grep", "vllm serve {GONE}"], f"{{x}}{GONE}"
"""
    messages, _ = said("code.py", code)
    assert messages == [f"vllm 0.33.0 has no `{GONE}`: it was last in 0.12.0"] * 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.sh", f"docker run vllm/vllm-openai:v0.9.2 {LAUNCH}"),
        ("run.sh", f"docker run \\\n  rocm/vllm:rocm6.4_vllm_0.9.1_20250715 \\\n {LAUNCH}"),
        ("run.sh", f"pip install 'vllm[audio]==0.9.2'\n{LAUNCH}"),
        ("run.sh", f"uv pip install vllm==0.33.0 vllm==v0.9.2\n{LAUNCH}"),
        ("run.sh", f"pip install git+https://h/vllm-project/vllm.git@v0.9.2\n{LAUNCH}"),
        ("run.sh", f"pip install https://h/vllm-0.9.2+cu118-cp38-abi3-x.whl\n{LAUNCH}"),
        ("run.sh", f"git clone -b v0.9.2 https://h/vllm-project/vllm\n{LAUNCH}"),
        ("Dockerfile", f"FROM vllm:v0.33.0 AS a\nFROM vllm-openai:v0.9.2\nCMD {LAUNCH}"),
        ("Dockerfile", f"ARG VLLM_VERSION=0.9.2\nFROM vllm:v$VLLM_VERSION\nCMD {LAUNCH}"),
        ("a.yaml", f"a:\n image: vllm:v0.33.0\nb:\n args: >\n  {LAUNCH}\n image: vllm:v0.9.2"),
        ("a.yaml", f"a:\n- run: pip install vllm==0.9.2\n- run: {LAUNCH}\nb: vllm:v0.33.0"),
        ("a.yaml", f"image: vllm:v0.33.0\n---\nimage: vllm:v0.9.2\ncommand: {LAUNCH}"),
        ("a.py", f"x.pip_install('vllm==0.9.2')\nrun(['vllm', 'serve', '{GONE}'])"),
    ],
)  # fmt: skip
def test_a_command_is_for_the_release_that_its_file_names(said, name, text):
    assert said(name, text) == ([], [])


def test_a_finding_says_which_line_names_the_release(said):
    messages, _ = said("Dockerfile", f"# x\nFROM vllm/vllm-openai:v0.13.0\nCMD {LAUNCH}")
    assert messages == [f"vllm 0.13.0 (line 2 names it) has no `{GONE}`: it was last in 0.12.0"]


@pytest.mark.parametrize(
    "text",
    [
        f"# docker run vllm/vllm-openai:v0.9.2\n{LAUNCH}",
        f"pip install 'vllm>=0.9.2'\n{LAUNCH}",
        f"pip install vllm==0.9.*\n{LAUNCH}",
        f"docker run vllm/vllm-openai:latest {LAUNCH}",
        f"docker run vllm/vllm-openai:v0.9.$PATCH {LAUNCH}",
        f"pip install vllm-ascend==0.9.2 sglang==0.4.0\n{LAUNCH}",
        f"{LAUNCH}\npip install vllm==0.9.2",
        f"curl http://vllm:8000/v0.9.2\n{LAUNCH}",
    ],
)
def test_what_names_no_release_leaves_the_target(said, text):
    [message], _ = said("run.sh", text)
    assert message.startswith("vllm 0.33.0 has no")


def test_a_release_that_nobody_knows_is_not_judged(said, run_cli, tmp_path):
    text = f"docker run vllm/vllm-openai:v0.99.1rc2 {LAUNCH}"
    told = "no flags are known of vllm 0.99.1rc2 (line 1 names it); the newest known is 0.33.0"
    assert said("run.sh", text) == ([], [told])
    done = run_cli("lint", tmp_path)
    assert (done.code, done.out, told in done.err) == (4, "", True)
    assert done.err.endswith("0 not read, 1 command(s) not judged: unknown is not right\n")
    document = json.loads(run_cli("lint", tmp_path, "--json").out)
    assert (document["findings"], document["unjudged"][0]["level"]) == ([], "unknown")
    assert said("run.sh", f"{text} # matrix: ignore[absent-flag] a nightly") == ([], [])


@pytest.mark.parametrize("tag", ["v0.99.1.post1rc2", "v0.99.1rc1rc2-cu130", "0.99.1.dev3+g12"])
def test_a_strange_tag_is_a_release_that_nobody_knows(said, tag):
    findings, [unknown] = said("run.sh", f"docker run vllm/vllm-openai:{tag} {LAUNCH}")
    assert (findings, unknown.startswith("no flags are known of vllm 0.99.1")) == ([], True)


def test_a_target_gives_way_to_what_a_file_names_and_that_is_said(run_cli, tmp_path):
    (tmp_path / "run.sh").write_text(f"pip install vllm==0.9.2\n{LAUNCH}")
    done = run_cli("lint", tmp_path, "--target", "vllm==0.33.0")
    assert (done.code, done.out) == (0, "")
    assert f"{tmp_path}/run.sh:2: vllm 0.9.2 (line 1 names it)" in done.err


def test_what_cannot_be_read_is_said_and_is_no_finding(tmp_path):
    (tmp_path / "broken.py").write_text("import torch\ndef :")
    (tmp_path / "latin.py").write_bytes(b"# torch \xff")
    (tmp_path / "null.py").write_bytes(b"torch\0")
    (tmp_path / "gone.sh").symlink_to("nothing")
    (tmp_path / "zero.sh").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.py")
    env = tmp_path / "env"
    env.mkdir()
    (env / "pyvenv.cfg").touch()
    (env / "bad.py").write_text("def :")
    report = lint([tmp_path], ())
    assert (report.findings, report.read, len(report.unread)) == ((), 0, 6)


def test_a_folder_that_cannot_be_listed_is_said(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"[Errno 13] Permission denied: '{tmp_path}'" in lint([tmp_path], ()).unread


@pytest.mark.parametrize(
    ("files", "code", "last"),
    [
        pytest.param({}, 3, "in 0 file(s), 1 not read, 0 command(s) not judged: nothing was read",
                     id="empty"),
        pytest.param({"a.md": "x"}, 3, ": nothing was read", id="no-file-of-a-kind"),
        pytest.param({"a.py": "x = 1"}, 0, "0 not read, 0 command(s) not judged", id="right"),
        pytest.param({"a.py": "x = 1", "b.py": "torch ("}, 4,
                     "1 not read, 0 command(s) not judged: unknown is not right", id="some"),
        pytest.param({"a.sh": LAUNCH, "b.py": "torch ("}, 1, "1 not read, 0 command(s) not judged",
                     id="wrong"),
    ],
)  # fmt: skip
def test_what_was_not_read_is_not_right(run_cli, tmp_path, files, code, last):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = run_cli("lint", tmp_path)
    assert (done.code, done.err.splitlines()[-1].endswith(last)) == (code, True)


def test_the_command(run_cli, tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("import torch\nx = torch.version.cuda < '9.2'\ntorch._C.x\n")
    done = run_cli("lint", tmp_path)
    assert (done.code, done.out.count("\n")) == (1, 1)
    assert done.out.startswith(f"{bad}:2:5: error version-as-text: ")
    assert "1 error(s), 0 warning(s), 1 note(s) in 1 file(s), 0 not read" in done.err
    told = json.loads(run_cli("lint", tmp_path, "--json").out)
    assert [item["rule"] for item in told["findings"]] == ["version-as-text", "private-api"]
    assert run_cli("lint", tmp_path, "--notes").out.count("\n") == 2
    bad.write_text("import torch\ntorch._C.x\n")
    assert run_cli("lint", tmp_path).code == 0, "a note is no mistake"


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["tgi==1"], ["no flags are known of `tgi`"]),
        (["sglang==9"], ["no flags are known of sglang `9`; the newest is"]),
        (["vllm"], ["`vllm` is no single release; write it as `vllm==0."]),
        (["vllm>=0.9", "x"], ["`vllm>=0.9` is no single release; write", "of `x`"]),
        (["vllm==0.9.2", "vllm==0.10.0"], ["vllm has 2 targets; give one"]),
    ],
)
def test_wrong_targets_are_listed_together(run_cli, tmp_path, targets, said):
    done = run_cli("lint", tmp_path, *(f"--target={target}" for target in targets))
    assert (done.code, [text in done.err for text in said]) == (2, [True] * len(said))


def test_wrong_paths_are_listed_together(run_cli, tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    done = run_cli("lint", tmp_path / "no", tmp_path / "nor", tmp_path / "pipe.py", "/dev/zero")
    assert (done.code, done.err.count("no such file or folder")) == (2, 2)
    assert done.err.count("neither a file nor a folder") == 2
