"""`runners` and `render --compose`: what a user sees of machines, and pins to them."""

import json
import threading

import pytest
import yaml

from matrix.accelerators import Gpu, HostDevices, cuda
from matrix.leases import lease

FILE = """
[[torch]]
version = "2.6.0"
variants = ["cu124", "cpu"]
python = ["3.11"]
[runners.local]
env = { NCCL_NVLS_ENABLE = "0" }
memory = "64g"
[runners.gpu1]
docker = "ssh://me@gpu1"
slots = 2
devices = ["/dev/nvidia0"]
"""
CUDA = "torch2.6.0-cu124-py3.11"
GPUS = (
    Gpu(uuid="GPU-aa", index=0, name="NVIDIA H200", memory=150754820096, arch="sm_90",
        bus="0000:1b:00.0", numa=1),
    Gpu(uuid="GPU-bb", index=1, name="NVIDIA H200"),
)  # fmt: skip
DIGEST = f"cells/torch@sha256:{'0' * 64}"


@pytest.fixture(autouse=True)
def machine(monkeypatch, matrix_file, env, tmp_path):
    """This machine has two GPUs, and leases of its own."""
    found = HostDevices(driver="580.159.04", names=("NVIDIA H200",) * 2, gpus=GPUS)
    monkeypatch.setattr(cuda, "detect", lambda: found)
    monkeypatch.setattr("matrix.runners.cores", lambda: 16)
    env["MATRIX_LEASES"] = str(tmp_path / "leases")
    matrix_file(FILE)


def test_machines_are_shown_with_their_gpus_and_who_uses_them(run_cli, tmp_path):
    with lease(GPUS, run="20261122T1-ab", stop=threading.Event(), place=tmp_path / "leases"):
        lines = run_cli("runners").out.splitlines()
    assert lines[0] == "local  4 cell(s) at once, 16 cores; the usual engine"
    assert lines[2:4] == [
        "  cuda  driver 580.159.04",
        "    0  GPU-aa  NVIDIA H200  140 GiB  sm_90  0000:1b:00.0  numa 1",
    ]
    assert lines[4].startswith("       run 20261122T1-ab (pid ")
    assert lines[5:] == [
        "    1  GPU-bb  NVIDIA H200",
        "gpu1  2 cell(s) at once; ssh://me@gpu1",
        "  cpu   not asked yet",
        "  cuda  driver unknown",
        "    0  /dev/nvidia0  NVIDIA GPU",
    ]


def test_machines_are_data_too(run_cli, tmp_path):
    with lease(GPUS, run="r1", stop=threading.Event(), place=tmp_path / "leases"):
        local, other = json.loads(run_cli("runners", "--json").out)
    gpus = local["devices"]["cuda"]["gpus"]
    assert [(gpu["uuid"], gpu["held_by"]) for gpu in gpus] == [("GPU-aa", ["r1"]), ("GPU-bb", [])]
    assert gpus[0]["memory"] == 150754820096
    assert (other["name"], other["docker"], other["cores"]) == ("gpu1", "ssh://me@gpu1", None)


def test_compose_files_are_written_beside_dockerfiles(run_cli, tmp_path):
    run_cli("render", "--out", tmp_path / "out")
    assert run_cli("render", "--compose", "--out", tmp_path / "out").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "torch2.6.0-cpu-py3.11.Dockerfile",
        "torch2.6.0-cpu-py3.11.compose.yaml",
        "torch2.6.0-cu124-py3.11.Dockerfile",
        "torch2.6.0-cu124-py3.11.compose.yaml",
    ]


@pytest.mark.parametrize(
    ("options", "uuids"),
    [
        pytest.param([], ["GPU-aa", "GPU-bb"], id="all"),
        pytest.param(["--gpu", "GPU-bb"], ["GPU-bb"], id="by-uuid"),
        pytest.param(["--gpu", "1", "--gpu", "GPU-bb"], ["GPU-bb"], id="twice-the-same"),
    ],
)
def test_a_service_is_pinned_to_a_runner(run_cli, options, uuids):
    done = run_cli("render", "--compose", "--select", CUDA, "--image", DIGEST, "--runner", "local",
                   *options)  # fmt: skip
    service = yaml.safe_load(done.out)["services"]["cell"]
    [device] = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["device_ids"], service["image"]) == (uuids, DIGEST)
    assert (service["environment"]["NCCL_NVLS_ENABLE"], service["mem_limit"]) == ("0", "64g")


def test_a_cpu_cell_is_pinned_without_gpus(run_cli):
    done = run_cli("render", "--compose", "--select", "device==cpu", "--runner", "local")
    assert "deploy" not in yaml.safe_load(done.out)["services"]["cell"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--image", DIGEST], "`--image` is of one cell\n  - select one of "
                     "torch2.6.0-cpu-py3.11, torch2.6.0-cu124-py3.11", id="image-of-two"),
        pytest.param(["--gpu", "0"], "`--gpu` needs `--runner`\n  - name the runner that has it",
                     id="gpu-of-nobody"),
        pytest.param(["--runner", "gpu2"], "no runner `gpu2`\n  - did you mean `gpu1`?",
                     id="runner"),
        pytest.param(["--runner", "local", "--select", CUDA, "--gpu", "GPU-ab"],
                     "`local` lacks a GPU:\n  - no GPU `GPU-ab`; did you mean `GPU-bb`?", id="gpu"),
        pytest.param(["--select", CUDA, "--image", "torch:latest"],
                     f"`{CUDA}` cannot become a Compose file:\n  - image: 'torch:latest' is not "
                     "pinned; write name@sha256:… or an image's id", id="tag"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_end_2(run_cli, options, message):
    done = run_cli("render", "--compose", *options)
    assert (done.code, done.err) == (2, f"matrix: {message}\n")


def test_options_of_compose_files_need_one(run_cli):
    done = run_cli("render", "--image", DIGEST, "--runner", "local")
    assert done.err == (
        "matrix: Dockerfiles are of no machine:\n  - `--image` needs `--compose`\n"
        "  - `--runner` needs `--compose`\n"
    )


def test_a_runner_without_the_device_pins_nothing(run_cli, matrix_file):
    matrix_file(FILE.replace('"cu124", "cpu"', '"rocm6.2.4"'))
    done = run_cli("render", "--compose", "--runner", "local")
    assert done.code == 2
    assert "no rocm device on runner `local` (it has: cpu, cuda)" in done.err


@pytest.mark.parametrize(
    ("visible", "words"), [("", "no cuda device on runner `local`"), ("1", "about ")]
)
def test_a_plan_counts_the_gpus_that_a_scheduler_left(run_cli, env, visible, words):
    env["CUDA_VISIBLE_DEVICES"] = visible
    done = run_cli("plan", "--backend", "venv", "--select", CUDA)
    assert done.code == 0, done.err
    lines = [line for line in done.out.splitlines() if "venv-cuda" in line]
    assert lines
    assert all(words in line for line in lines)
