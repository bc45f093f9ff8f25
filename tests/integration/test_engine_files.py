"""`adapt` as a process, and engines' files where they really lie."""

import io
import subprocess
import sys
import tarfile
import zipfile

import pytest

from matrix.cli import main

COMMAND = ["adapt", "--engine", "sglang", "--gpu", "H200", "--results", "none"]
SERVER = """
raise ImportError("nobody may import this")
class ServerArgs:
    def add_cli_args(parser):
        parser.add_argument("--attention-backend", choices=["fa3", "triton"])
        parser.add_argument("--cuda-graph-max-bs-of-tomorrow", type=int)
"""
FILES = {
    "sglang/__init__.py": 'raise ImportError("nobody may import this")\n',
    "sglang/srt/server_args.py": SERVER,
}


def wheel(folder):
    path = folder / "sglang-0.9.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return path


def sdist(folder):
    path = folder / "sglang-0.9.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in FILES.items():
            info = tarfile.TarInfo(f"sglang-0.9.0/python/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def unpacked(folder):
    for name, text in FILES.items():
        path = folder / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    info = folder / "site" / "sglang-0.9.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sglang\nVersion: 0.9.0\n")
    return folder / "site"


@pytest.mark.parametrize("make", [wheel, sdist, unpacked])
def test_flags_are_read_from_the_files_of_a_release(make, tmp_path, capsys):
    """A release that the tables do not know, from its wheel, its source archive, a folder."""
    place = make(tmp_path)
    command = [*COMMAND, "--release", "0.9.0", "--torch", "2.14.1+cu130", "--source", str(place)]
    assert main([*command, "--", "--cuda-graph-max-bs-of-tomorrow", "3"]) == 0
    out = capsys.readouterr().out
    assert out == "--attention-backend fa3 --cuda-graph-max-bs-of-tomorrow 3\n"
    assert main([*command, "--", "--tp-size", "3"]) == 2
    assert "`--tp-size` is no flag of sglang 0.9.0" in capsys.readouterr().err


def test_an_installed_engine_is_preferred_to_the_table_and_never_imported(tmp_path):
    code = f"import sys; from matrix.cli import main; sys.exit(main({[*COMMAND, '--explain']!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(unpacked(tmp_path)), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "sglang 0.9.0 on 1 x H200" in done.stderr
    assert "flags: the installed package's own files" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("sglang-0.9.0-py3-none-any.whl", b"no zip", "cannot be read"),
        ("sglang-0.9.0.tar.gz", b"no tar", "cannot be read"),
        ("sglang.txt", b"", "is no wheel, .tar.gz or folder"),
        ("sglang-0.9.0.whl", b"", "cannot be read"),
    ],
)
def test_what_is_no_release_is_refused(name, content, said, tmp_path, capsys):
    path = tmp_path / name
    path.write_bytes(content)
    assert main([*COMMAND, "--release", "0.9.0", "--source", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_a_wheel_of_another_release_or_of_nothing_is_refused(tmp_path, capsys):
    assert main([*COMMAND, "--release", "0.9.1", "--source", str(wheel(tmp_path))]) == 2
    assert "is sglang 0.9.0, not 0.9.1" in capsys.readouterr().err
    assert main([*COMMAND, "--source", str(tmp_path)]) == 2
    assert "has no definitions of sglang's flags" in capsys.readouterr().err


def test_it_starts_without_what_it_does_not_need():
    """What takes long to import is not imported: the command has 0.3 s."""
    heavy = ("pandas", "duckdb", "pyarrow", "rich", "packaging.specifiers", "matrix.workspace")
    code = f"""
import sys
from matrix.cli import main
assert main({[*COMMAND, "--release", "0.5.23"]!r}) == 0
found = sorted(set({heavy!r}) & set(sys.modules))
sys.exit(f"imported: {{found}}" if found else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
