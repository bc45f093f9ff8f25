"""`check` around its rules: records, error texts, the nearest cell, what is shared, the command."""

import json
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix import cli
from matrix.accelerators import Gpu, HostDevices
from matrix.check import nearest, reading, record
from matrix.check.errors import annotate
from matrix.check.machine import Loaded, Machine, Package
from matrix.check.sharing import Sharing
from matrix.errors import InputError
from matrix.process import Completed


def written(tmp_path, text):
    path = tmp_path / "machine.toml"
    path.write_text(text, encoding="utf-8")
    return path


ALL = """
id = "owner-1"
source = "https://example.org"
title = "a title"
[machine]
os = "Ubuntu 22.04"
python = "3.11.9"
glibc = "2.35"
driver = "535.104.05"
compiler = "gcc 11.4.0"
nvcc = "12.1"
gpus = [{name = "NVIDIA H100 80GB HBM3", capability = "9.0", memory_gib = 80}]
[packages]
Torch_Vision = "0.20.1"
torch = "2.5.1+cu124"
[torch]
version = "2.5.1+cu124"
cuda = "12.4"
available = true
arch_list = ["sm_90"]
[environment]
LD_LIBRARY_PATH = "/x"
[error]
text = "boom"
[expected]
cause = 1
anything = "at all"
"""


class TestRecord:
    def test_everything_that_a_thread_may_tell(self, tmp_path):
        found = record.read(written(tmp_path, ALL))
        machine = found.machine
        assert found.error == "boom"
        assert (machine.name, machine.recorded, machine.torch) == ("owner-1", True, "2.5.1+cu124")
        assert (machine.driver, machine.archs, machine.cuda) == ("535.104.05", ("sm_90",), "12.4")
        assert machine.package("torch-vision").version == "0.20.1"
        assert machine.variable("LD_LIBRARY_PATH") == "/x"

    def test_what_was_expected_is_never_read(self, tmp_path):
        with_it = record.read(written(tmp_path, ALL))
        without = record.read(written(tmp_path, ALL[: ALL.index("[expected]")]))
        assert with_it == without

    def test_all_mistakes_at_once(self, tmp_path):
        text = '[machin]\n[machine]\npyton = "3"\ndriver = 5\ngpus = [{nam = "x"}]\n'
        text += "[torch]\ncuda = 1\n"
        with pytest.raises(InputError) as caught:
            record.read(written(tmp_path, text))
        assert caught.value.problems == [
            "machin: unknown key; did you mean `machine`?",
            "machine.pyton: unknown key; did you mean `python`?",
            "machine.driver: not a fitting value: 5",
            "machine.gpus[0].nam: unknown key; did you mean `name`?",
            "torch.cuda: not a fitting value: 1",
        ]

    @pytest.mark.parametrize(
        "text",
        [
            "[", "machine = 1", "\ufeff=", "", 'id = "x"', "[machine]\nshm_gib = nan",
            "[machine]\ngpus = [{memory_gib = -1}]", '[machine]\ngpus = [{capability = "9"}]',
        ],
    )  # fmt: skip
    def test_a_file_that_is_none(self, tmp_path, text):
        with pytest.raises(InputError):
            record.read(written(tmp_path, text))

    def test_a_gpu_that_comes_with_its_processor(self, tmp_path):
        text = '[machine]\ngpus = [{name = "GB10"}]\n[packages]\ntorch = "2.9.1"'
        machine = record.read(written(tmp_path, text)).machine
        assert machine.architecture == "aarch64"
        assert machine.variant == ""  # what PyPI has for x86_64 is not what it has for this

    def test_an_amd_gpu_by_its_architecture(self, tmp_path):
        text = '[machine]\namdgpu = "6.3.6"\ngpus = [{arch = "gfx942"}]'
        machine = record.read(written(tmp_path, text)).machine
        assert machine.gpus == ("rocm",)
        assert machine.devices["rocm"].driver == "6.3.6"


KERNEL = Machine(
    packages={
        "torch": Package(name="torch", version="2.7.0+cu128"),
        "sgl-kernel": Package(name="sgl-kernel", version="0.1.2"),
    },
    glibc="2.17",
    nvcc="13.0",
    environment={"LD_LIBRARY_PATH": "/opt/cudnn/lib"},
)


WANTED = "a library of CUDA 12 is wanted; here torch is built for CUDA 12.8 and the toolkit is "
WANTED += "CUDA 13.0"


class TestErrors:
    def test_a_text_is_joined_with_what_the_machine_has(self):
        text = (
            "Traceback (most recent call last):\n"
            "ImportError: /x/site-packages/sgl_kernel/common_ops.abi3.so: undefined symbol: "
            "_ZN5torch3jit17parseSchemaOrNameERKSsb\n"
        )
        (found,) = annotate(text, KERNEL)
        assert found.id == "extension-abi"
        assert found.line.startswith("ImportError")
        assert found.here[0] == "installed: sgl-kernel 0.1.2, torch 2.7.0+cu128"
        assert any("without the C++11 ABI" in told for told in found.here)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("ImportError: libnvrtc.so.12: cannot open shared object file",
             WANTED),
            ("version `GLIBC_2.32' not found", "glibc 2.32 is wanted, here is 2.17"),
            ("The NVIDIA driver on your system is too old (found version 12040)",
             "the driver knows CUDA 12.4"),
            ("cuDNN version incompatibility", "LD_LIBRARY_PATH is /opt/cudnn/lib"),
            ("ptxas fatal : Value 'sm_121a' is not defined for option 'gpu-name'",
             "sm_121 needs CUDA 12.9, torch here is built for CUDA 12.8"),
        ],
    )  # fmt: skip
    def test_what_a_line_names_is_looked_up(self, text, told):
        assert told in [line for found in annotate(text, KERNEL) for line in found.here]

    def test_what_a_gpu_can_run_is_told_with_the_gpu(self):
        gpu = Gpu(uuid="", index=0, name="NVIDIA GeForce RTX 5090", arch="sm_120")
        devices = {"cuda": HostDevices(driver="570.1", names=(gpu.name,), gpus=(gpu,))}
        packages = {"torch": Package(name="torch", version="2.6.0")}
        machine = Machine(devices=devices, packages=packages)
        (found,) = annotate("no kernel image is available for execution on the device", machine)
        assert found.here[0] == "installed: torch 2.6.0"
        assert found.here[1].startswith("the GPU is NVIDIA GeForce RTX 5090 (sm_120); torch 2.6.0")
        assert found.here[1].endswith("has code for sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90")

    def test_an_unknown_text_has_no_annotation(self):
        assert annotate("KeyError: 'x'", KERNEL) == ()

    @given(st.text(max_size=300))
    def test_any_text_can_be_read(self, text):
        assert all(found.cause for found in annotate(text, KERNEL))


def measured(cell, execution, **counts):
    """What `find` sees of one execution: counts of verdicts by feature."""
    torch, variant, python = cell.removeprefix("torch").split("-")[:3]
    model = "NVIDIA H200" if execution.endswith("cuda") else "a CPU"
    about = {
        "cell": cell, "execution": execution, "torch": torch, "variant": variant,
        "python": python[2:], "companions": "", "provision": "built", "device_model": model,
        "driver": "580.1" if "cuda" in execution else "", "reason": "why",
        "time": "2026-11-20T10:00:00",
    }  # fmt: skip
    return [
        {**about, "feature": f"{verdict}{number}", "verdict": verdict.replace("_", "-")}
        for verdict, count in counts.items()
        for number in range(count)
    ]


def database(*groups):
    lines = [line for group in groups for line in group]
    return SimpleNamespace(select=lambda _sql: SimpleNamespace(records=lambda: iter(lines)))


CPU = Machine(
    python="3.11.7", architecture="x86_64", absent=frozenset({"cuda", "rocm"}),
    packages={"torch": Package(name="torch", version="2.6.0")},
)  # fmt: skip


class TestNearest:
    def test_the_nearest_is_told_axis_by_axis_and_the_nearest_green_with_a_command(self):
        found = nearest.find(
            database(
                measured("torch2.6.0-cu124-py3.12", "venv-cpu", **{"pass": 3, "wrong": 1}),
                measured("torch2.8.0-cu128-py3.11", "venv-cpu", **{"pass": 4, "skip": 1}),
                measured("torch2.15.0-cu132-py3.11", "venv-cpu", **{"pass": 5}),
                measured("torch2.6.0-cu124-py3.11", "host-cuda", **{"pass": 9}),
            ),
            CPU,
        )
        assert found.cells == 4
        assert found.near.tested.cell == "torch2.6.0-cu124-py3.12"
        assert [(a.name, a.here, a.there) for a in found.near.axes] == [("Python", "3.11", "3.12")]
        assert [red.feature for red in found.near.tested.red] == ["wrong0"]
        assert found.green.tested.cell == "torch2.8.0-cu128-py3.11"
        assert found.change == "pip install torch==2.8.0"

    @pytest.mark.parametrize("verdict", ["wrong", "fail", "flaky", "not_run", "timeout", "odd"])
    def test_only_passes_declared_refusals_and_skips_are_green(self, verdict):
        lines = measured("torch2.6.0-cu124-py3.11", "venv-cpu", **{"pass": 3, verdict: 1})
        found = nearest.find(database(lines), CPU)
        assert found.green is None
        assert found.change == ""

    def test_nothing_but_skips_is_not_green(self):
        lines = measured("torch2.6.0-cu124-py3.11", "venv-cpu", skip=3)
        assert nearest.find(database(lines), CPU).green is None

    def test_a_cell_whose_driver_is_too_new_is_no_way_out(self):
        h200 = Gpu(uuid="", index=0, name="NVIDIA H200", arch="sm_90")
        devices = {"cuda": HostDevices(driver="570.1", names=(h200.name,), gpus=(h200,))}
        machine = Machine(python="3.12.1", devices=devices, packages=CPU.packages)
        lines = measured("torch2.11.0-cu130-py3.12", "host-cuda", **{"pass": 5})
        found = nearest.find(database(lines), machine)
        assert found.green is None
        assert ("driver", "570.1", "580.1") in [(a.name, a.here, a.there) for a in found.near.axes]

    def test_where_nothing_was_measured_nothing_is_said(self):
        assert nearest.find(database(), CPU) is None

    def test_the_cell_that_is_here_needs_no_change(self):
        lines = measured("torch2.6.0-cu124-py3.11", "venv-cpu", **{"pass": 3})
        found = nearest.find(database(lines), CPU)
        assert (found.near.axes, found.change) == ((), "")


class TestSharing:
    ENV: ClassVar = {"HOME": "/home/alice", "USER": "alice", "HOSTNAME": "gpu-box-7"}

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("/home/alice/x.py of alice on gpu-box-7", "<home>/x.py of <name> on <name>"),
            ("/srv/team/env/lib/python3.12/site-packages/torch/x.so",
             "<path>/site-packages/torch/x.so"),
            ("/usr/lib/libcuda.so.1 and /proc/1", "/usr/lib/libcuda.so.1 and /proc/1"),
            ("cuDNN 9.10.2.21 of bob@host.example", "cuDNN 9.10.2.21 of <address>"),
            ("tcp://10.1.2.3:29500", "tcp://<address>"),
            ("https://user:secret@index.example/simple", "https://***@index.example/simple"),
            ("malice", "malice"),
        ],
    )  # fmt: skip
    def test_people_and_machines_are_left_out_and_libraries_stay(self, text, wanted):
        assert Sharing(self.ENV, "").text(text) == wanted

    def test_an_environment_is_named_by_what_it_is(self):
        sharing = Sharing({}, "/work/secret-project/env/bin/python")
        assert sharing.text("/work/secret-project/env/bin/python") == "<environment>/bin/python"

    def test_frozen_things_are_gone_through(self):
        machine = Machine(os="alice's", loaded=Loaded(import_error="/home/alice/x"),
                          environment={"LD_LIBRARY_PATH": "/home/alice/lib"})  # fmt: skip
        shared = Sharing(self.ENV, "").value(machine)
        assert (shared.os, shared.loaded.import_error) == ("<name>'s", "<home>/x")
        assert shared.environment == {"LD_LIBRARY_PATH": "<home>/lib"}


@pytest.fixture
def call(tmp_path, env, capsys):
    """Call the command on a folder without evidence; returns code, output and errors."""

    def call(*arguments, text=ALL):
        path = written(tmp_path, text)
        where = ("--results", str(tmp_path / "results"))
        code = cli.main(["check", *where, "--machine", str(path), *arguments], env)
        return code, *capsys.readouterr()

    return call


class TestCommand:
    def test_a_machine_where_nothing_is_wrong(self, call):
        code, out, _ = call(text='[machine]\npython = "3.11.9"\n[packages]\ntorch = "2.6.0"\n')
        assert code == 0
        assert "nothing was measured here yet: not known" in out

    def test_one_that_cannot_work_says_why_and_what_to_type(self, call):
        text = '[machine]\ndriver = "570.1"\ngpus = [{name="H200", capability="9.0"}]\n'
        text += '[packages]\ntorch = "2.15.0"\n'
        code, out, _ = call(text=text)
        assert code == 1
        assert "✗ driver  gated" in out
        assert (
            "fix: pip install torch==2.14.1 --index-url https://download.pytorch.org/whl/cu126"
            in out
        )

    def test_the_same_as_data(self, call):
        code, out, _ = call("--json")
        told = json.loads(out)
        assert code == told["wrong"]
        assert {"id", "answer", "evidence", "fix", "source", "basis"} <= set(told["findings"][0])
        assert told["annotations"] == []
        assert told["nearest"] is None

    def test_what_is_shared_has_no_names(self, call, env):
        text = f'[machine]\nos = "{env["HOME"]}/image"\n[packages]\ntorch = "2.6.0"\n'
        assert env["HOME"] in call(text=text)[1].replace("\n", "")
        assert env["HOME"] not in call("--share", text=text)[1].replace("\n", "")

    def test_an_error_is_annotated_and_decides_nothing(self, call, tmp_path):
        path = tmp_path / "error.txt"
        path.write_text("RuntimeError: Numpy is not available", encoding="utf-8")
        text = '[packages]\ntorch = "2.6.0"\n'
        code, out, _ = call("--error", str(path), text=text)
        assert code == 0
        assert "cause: torch up to 2.2 is built against NumPy 1" in out

    def test_mistakes_are_told_together(self, call, tmp_path):
        code, _, err = call("--error", str(tmp_path / "none"), "--deadline", "0", "--python", "/x")
        assert code == 2
        assert err.count("\n  - ") == 3

    @pytest.mark.parametrize("folder", ["", "/tmp"])
    def test_a_folder_is_no_interpreter(self, env, capsys, folder):
        assert cli.main(["check", "--python", folder], env) == 2
        assert "is a folder; name an interpreter" in capsys.readouterr().err


class TestReading:
    def test_a_process_that_hangs_or_crashes_says_so_of_torch(self):
        ended = {"import_error": "importing torch ended the process"}
        hung = Completed(code=-9, output="", seconds=5, timed_out=True)
        crash = Completed(code=-11, output='Fatal\n File "/x/torch/a.py", line 3 in <module>',
                          seconds=5, timed_out=False)  # fmt: skip
        assert reading._loaded(ended, hung, 5).import_error == "it did not import within 5 s"
        told = reading._loaded(ended, crash, 5).import_error
        assert told.startswith("importing it ended the process with signal 11")
        assert told.endswith('"/x/torch/a.py", line 3 in <module>')
        assert reading._loaded(None, hung, 5) is None

    @pytest.mark.parametrize(
        ("name", "told"),
        [("LD_LIBRARY_PATH", True), ("CUDA_VISIBLE_DEVICES", True), ("PATH", False),
         ("SGLANG_API_KEY", False), ("AWS_SECRET", False)],
    )  # fmt: skip
    def test_only_variables_that_matter_are_kept_and_no_secret(self, name, told):
        assert reading._tells(name) == told
