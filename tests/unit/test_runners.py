"""What machines there are and what they have."""

from pathlib import Path

import pytest

from matrix import runners
from matrix.accelerators import DeviceAccess, EngineFacts, Gpu, HostDevices, Mount
from matrix.definition import parse
from matrix.runners import inventory

TORCH = {"torch": [{"version": "2.6.0"}]}


@pytest.mark.parametrize(
    ("data", "asked", "cores", "slots"),
    [
        pytest.param({}, None, 2, 1, id="one-for-two-cores"),
        pytest.param({}, None, 1, 1, id="never-none"),
        pytest.param({}, None, 64, 4, id="never-many"),
        pytest.param({"runners": {"local": {"slots": 3}}}, None, 2, 3, id="the-file"),
        pytest.param({"runners": {"local": {"slots": 3}}}, 7, 2, 7, id="the-command-line"),
    ],
)
def test_how_many_cells_run_at_once(monkeypatch, data, asked, cores, slots):
    monkeypatch.setattr(runners, "cores", lambda: cores)
    found = inventory(parse({**TORCH, **data}, Path("m.toml")), asked)
    assert (found.runners[0].slots, found.runners[0].cores) == (slots, cores)


def test_a_runner_passes_its_settings_on_and_refuses_what_it_has_not(monkeypatch):
    monkeypatch.setattr(runners, "LocalDevices", lambda _: {"cpu": object()})
    data = {**TORCH, "runners": {"local": {"env": {"NCCL_NVLS_ENABLE": "0"}}}}
    local = inventory(parse(data, Path("m.toml"))).runners[0]
    assert local.env == {"NCCL_NVLS_ENABLE": "0"}
    assert local.refusal("cpu") == ""
    assert local.refusal("rocm") == "no rocm device on runner `local` (it has: cpu)"


def test_there_is_at_least_one_core():
    assert runners.cores() >= 1


def test_an_inventory_looks_at_nothing_that_is_not_asked_for(monkeypatch):
    """A plan of CPU cells starts no vendor library, and no engine is asked."""
    looked = []
    monkeypatch.setattr("matrix.accelerators.cuda.detect", lambda: looked.append("cuda"))
    found = inventory(parse(TORCH, Path("m.toml")))
    assert found.runners[0].refusal("cpu") == ""
    assert looked == []
    assert found.runners[0].refusal("cuda").startswith("no cuda device on runner `local`")
    assert looked == ["cuda"]


OTHER = {
    "docker": "tcp://gpu1:2376",
    "gpu": "device-nodes",
    "devices": ["/dev/nvidia0"],
    "driver_mounts": ["/opt/driver:/usr/local/nvidia", "/usr/lib/libcuda.so.1"],
    "slots": 2,
}


def test_other_runners_follow_this_machine_with_what_their_settings_tell():
    data = {**TORCH, "runners": {"gpu1": OTHER, "local": {"docker": "unix:///run/d.sock"}}}
    local, other = inventory(parse(data, Path("m.toml")), 7).runners
    assert (local.name, local.slots, local.docker) == ("local", 7, "unix:///run/d.sock")
    assert (other.name, other.slots, other.docker, other.cores) == ("gpu1", 2, OTHER["docker"], 0)
    assert set(other.devices) == {"cpu", "cuda"}
    assert other.refusal("rocm") == "no rocm device on runner `gpu1` (it has: cpu, cuda)"


def test_another_runner_has_the_cores_and_gpus_that_its_engine_tells_of():
    data = {**TORCH, "runners": {"gpu1": {"docker": "ssh://me@gpu1"}}}
    unasked = inventory(parse(data, Path("m.toml"))).runners[1]
    engine = EngineFacts(cores=64, cdi_devices=("nvidia.com/gpu=GPU-aa", "nvidia.com/gpu=all"))
    seen = unasked.seen_by(engine)
    gpu = Gpu(uuid="GPU-aa", index=0, name="NVIDIA GPU")
    assert (unasked.cores, list(unasked.devices)) == (0, ["cpu"])
    assert seen.cores == 64
    assert seen.devices["cuda"] == HostDevices(driver=None, names=("NVIDIA GPU",), gpus=(gpu,))
    [request] = seen.access("cuda", (gpu,), engine).device_requests
    assert request["DeviceIDs"] == ["nvidia.com/gpu=GPU-aa"]


def test_a_runners_settings_reach_its_containers():
    runner = inventory(parse({**TORCH, "runners": {"gpu1": OTHER}}, Path("m.toml"))).runners[1]
    access = runner.access("cuda", runner.devices["cuda"].gpus, EngineFacts())
    assert access.devices[-1] == "/dev/nvidia0"
    assert access.mounts == (
        Mount(source="/opt/driver", target="/usr/local/nvidia"),
        Mount(source="/usr/lib/libcuda.so.1", target="/usr/lib/libcuda.so.1"),
    )
    assert runner.access("cpu", (), EngineFacts()) == DeviceAccess()
