"""Which cell an existing interpreter is."""

import json
from pathlib import Path

import pytest

from matrix import host
from matrix.errors import InputError
from matrix.process import Completed
from matrix.workspace import Workspace

PROBE = {
    "torch": "2.6.0+cpu", "python": "3.12.1", "accelerator": "cpu", "device": "cpu",
    "packages": {"pytest": "8", "pytest-benchmark": "5"},
}  # fmt: skip


@pytest.fixture
def probed(monkeypatch, matrix_file, env):
    """Ask for the cell of an interpreter whose probe says this."""

    def ask(probe):
        def run(argv, **_options):
            if probe is not None:
                Path(argv[3]).write_text(json.dumps(probe))
            return Completed(code=1, output="boom\n", seconds=0.0, timed_out=False)

        monkeypatch.setattr(host, "run", run)
        return host.cell_of(Path("/p/python"), Workspace.of(matrix_file(""), env))

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
    assert probed({**PROBE, **more}).id == cell


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
