"""Which cell an existing interpreter is."""

import json
from pathlib import Path

import pytest

from matrix import host
from matrix.errors import InputError, NothingToRun
from matrix.process import Completed
from matrix.workspace import Workspace

PROBE = {
    "torch": "2.6.0+cpu", "python": "3.12.1", "accelerator": "cpu", "device": "cpu",
    "packages": {"pytest": "8", "pytest-benchmark": "5"},
}  # fmt: skip

MATRIX = """
[matrix]
python = ["3.12"]
[[torch]]
version = "2.6.0"
"""


@pytest.fixture
def probed(monkeypatch, matrix_file, env):
    """Ask for the cell of an interpreter whose probe says this."""

    def ask(probe, python="/p/python", more=""):
        def run(argv, **_options):
            if probe is not None:
                Path(argv[3]).write_text(json.dumps(probe))
            return Completed(code=1, output="boom\n", seconds=0.0, timed_out=False)

        monkeypatch.setattr(host, "run", run)
        return host.look_at(Path(python), Workspace.of(matrix_file(MATRIX + more), env))

    return ask


@pytest.mark.parametrize(
    ("more", "cell"),
    [
        pytest.param({}, "torch2.6.0-cpu-py3.12", id="cpu"),
        pytest.param({"torch": "2.6.0", "cuda": "12.4", "accelerator": "cuda"},
                     "torch2.6.0-cu124-py3.12", id="registry"),
        pytest.param({"free_threaded": True, "python": "3.14.0"}, "torch2.6.0-cpu-py3.14t",
                     id="free-threaded"),
    ],
)  # fmt: skip
def test_an_interpreter_is_the_cell_its_probe_says(probed, more, cell):
    assert probed({**PROBE, **more}).cell.id == cell


def test_an_interpreter_is_another_with_other_packages(probed, tmp_path):
    """After `pip install` into it, what was measured there before is stale."""
    before = probed(PROBE).identity
    reordered = dict(reversed(PROBE["packages"].items()))
    assert probed({**PROBE, "packages": reordered}).identity == before
    for packages in ({**PROBE["packages"], "numpy": "2"}, {**PROBE["packages"], "pytest": "9"}):
        assert probed({**PROBE, "packages": packages}).identity != before
    assert probed({**PROBE, "python": "3.12.2"}).identity != before
    assert probed(PROBE, "/q/python").identity != before


def test_two_environments_of_one_interpreter_are_two(probed, tmp_path):
    """Whose `python` is a link to the same file; a link to the folder is no other."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "python").symlink_to("/usr/bin/python3")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    a, b, c = (probed(PROBE, tmp_path / name / "python").identity for name in "abc")
    assert a == c != b


@pytest.mark.parametrize(
    ("probe", "problems"),
    [
        pytest.param({**PROBE, "torch": None, "errors": ["no module"]},
                     ["`import torch` failed: no module"], id="no-torch"),
        pytest.param({**PROBE, "packages": {"pytest": "8"}},
                     ["`pytest-benchmark` is missing; `/p/python -m pip install pytest-benchmark`"],
                     id="no-benchmark"),
        pytest.param({"torch": None, "python": "3.12.1", "device": "cpu"},
                     ["`import torch` failed: boom",
                      "`pytest` is missing; `/p/python -m pip install pytest`",
                      "`pytest-benchmark` is missing; `/p/python -m pip install pytest-benchmark`"],
                     id="nothing"),
    ],
)  # fmt: skip
def test_what_an_interpreter_lacks_is_listed(probed, probe, problems):
    with pytest.raises(InputError) as caught:
        probed(probe)
    assert caught.value.problems == problems


def test_a_probe_without_a_report_is_the_users_input(probed):
    with pytest.raises(InputError, match="`/p/python` cannot be probed"):
        probed(None)


@pytest.mark.parametrize(
    "probe",
    [
        pytest.param([], id="a-list"),
        pytest.param(5, id="a-number"),
        pytest.param({**PROBE, "torch": 5}, id="a-number-for-torch"),
        pytest.param({**PROBE, "packages": []}, id="a-list-for-packages"),
        pytest.param({k: v for k, v in PROBE.items() if k != "python"}, id="no-python"),
        pytest.param({k: v for k, v in PROBE.items() if k != "device"}, id="no-device"),
    ],
)
def test_a_hostile_report_is_the_users_input_too(probed, probe):
    with pytest.raises(InputError):
        probed(probe)


COMPANIONS = """
[[companion]]
package = "torchao"
version = ["0.17.0"]
torch = ">=2.6"
[[companion]]
package = "Flash_Attn"
version = ["2.8"]
torch = ">=2.6"
"""


def test_an_interpreter_with_companions_is_other_cells_too(probed, monkeypatch):
    """Of the matrix file's companions it has, one each; the selection says which."""
    monkeypatch.setitem(PROBE["packages"], "torchao", "0.18.0+cpu")
    monkeypatch.setitem(PROBE["packages"], "einops", "0.8")
    found = probed(PROBE, more=COMPANIONS)
    plain, beside = "torch2.6.0-cpu-py3.12", "torch2.6.0-cpu-py3.12-torchao0.18.0"
    assert [host.cell.id for host in found.chosen([])] == [plain]
    assert [host.cell.id for host in found.chosen(["torch==2.6.0"])] == [plain, beside]
    assert [host.cell.id for host in found.chosen(["companion==torchao"])] == [beside]
    assert [host.cell.id for host in found.chosen(["companion==none"])] == [plain]
    assert [host.cell.id for host in found.chosen(["torch==2.6.0"], once=True)] == [beside]
    assert [host.cell.id for host in found.chosen([plain], once=True)] == [plain]
    with pytest.raises(NothingToRun, match=rf"is {plain} or {beside}, which the selection leaves"):
        found.chosen(["companion==flash-attn"])


def test_a_companion_of_other_releases_of_torch_makes_no_cell(probed, monkeypatch):
    """And one of two blocks makes one."""
    monkeypatch.setitem(PROBE["packages"], "torchao", "0.18.0")
    monkeypatch.setitem(PROBE["packages"], "flash-attn", "2.8")
    twice = COMPANIONS + COMPANIONS.replace("Flash_Attn", "vllm").replace("0.17.0", "0.18.0")
    newer = twice.replace('["2.8"]\ntorch = ">=2.6"', '["2.8"]\ntorch = ">=2.7"')
    others = [cell.companions for cell in probed(PROBE, more=newer).others]
    assert others == [("torchao==0.18.0",)]
