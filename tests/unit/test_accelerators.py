"""What each vendor's module knows: its variants, its devices on this machine, its driver gate."""

import importlib
import sys
from types import SimpleNamespace

import pytest

from matrix.accelerators import (
    ACCELERATORS,
    Gpu,
    HostDevices,
    LocalDevices,
    accelerator_of,
    cuda,
    hidden_except,
    rocm,
)
from matrix.accelerators.devices import on_the_bus


@pytest.mark.parametrize(
    ("variant", "name", "toolkit"),
    [
        pytest.param("cpu", "cpu", "", id="cpu"),
        pytest.param("cu118", "cuda", "11.8", id="cuda-11.8"),
        pytest.param("cu130", "cuda", "13.0", id="cuda-13.0"),
        pytest.param("rocm7.14", "rocm", "7.14", id="rocm-7.14"),
        pytest.param("rocm6.2.4", "rocm", "6.2.4", id="rocm-6.2.4"),
    ],
)
def test_a_variant_belongs_to_one_vendor(variant, name, toolkit):
    accelerator = accelerator_of(variant)
    assert name == accelerator.NAME
    assert accelerator.toolkit(variant) == toolkit
    assert sum(a.owns(variant) for a in ACCELERATORS.values()) == 1


@pytest.mark.parametrize("variant", ["xpu", "cuda", "cu", "rocm", "rocm7", "CPU", ""])
def test_other_names_belong_to_nobody(variant):
    assert accelerator_of(variant) is None


class NvmlError(Exception):
    pass


def nvml(count=1, init=None, **answers):
    """A stand-in of the binding to NVML; a query without an answer is one it refuses."""

    def ask(name):
        def call(*_):
            if isinstance(value := answers.get(name, NvmlError()), Exception):
                raise value
            return value

        return call

    def start():
        if init:
            raise init

    queries = "HandleByIndex UUID Name PciInfo MemoryInfo CudaComputeCapability MinorNumber"
    return SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=start,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: b"580.159.04",
        nvmlDeviceGetCount=lambda: count,
        **{f"nvmlDeviceGet{name}": ask(name) for name in queries.split()},
    )


def test_nvidia_gpus_are_read_from_nvml(monkeypatch):
    binding = nvml(
        HandleByIndex=object(),
        UUID=b"GPU-aa",
        Name="NVIDIA H200",
        PciInfo=SimpleNamespace(busId="00000000:1B:00.0"),
        MemoryInfo=SimpleNamespace(total=150_000_000_000),
        CudaComputeCapability=[9, 0],
        MinorNumber=3,
    )
    monkeypatch.setitem(sys.modules, "pynvml", binding)
    found = cuda.by_nvml()
    assert (found.driver, found.names) == ("580.159.04", ("NVIDIA H200",))
    assert found.gpus == (
        Gpu(uuid="GPU-aa", index=0, name="NVIDIA H200", minor=3, memory=150_000_000_000,
            arch="sm_90", bus="0000:1b:00.0"),
    )  # fmt: skip


def test_the_binding_has_what_the_stand_in_has():
    binding = importlib.import_module("pynvml")
    assert all(hasattr(binding, name) for name in vars(nvml()))
    assert issubclass(binding.NVMLError, Exception)


def test_what_a_gpu_does_not_tell_stays_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(HandleByIndex=object(), UUID="GPU-aa"))
    assert cuda.by_nvml().gpus == (Gpu(uuid="GPU-aa", index=0, name="NVIDIA GPU"),)


@pytest.mark.parametrize(
    "binding",
    [
        pytest.param(nvml(init=NvmlError()), id="no-library"),
        pytest.param(nvml(count=0), id="no-gpu"),
        pytest.param(nvml(count=1), id="fallen-off-the-bus"),
    ],
)
def test_without_an_answer_of_nvml_there_is_none(monkeypatch, binding):
    monkeypatch.setitem(sys.modules, "pynvml", binding)
    assert cuda.by_nvml() is None


INFORMATION = """Model: \t\t NVIDIA H200
IRQ:   \t\t 17
GPU UUID: \t GPU-{uuid}
Bus Location: \t 0000:01:00.0
Device Minor: \t 2
"""


@pytest.mark.parametrize(
    ("uuid", "known_by"),
    [
        pytest.param("12ab", "GPU-12ab", id="awake"),
        pytest.param("????????-????", "0000:01:00.0", id="not-woken-yet"),
    ],
)
def test_nvidia_devices_are_read_from_the_kernel_module(tmp_path, uuid, known_by):
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "gpus/0000:01:00.0/information").write_text(INFORMATION.format(uuid=uuid))
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 07:17:00 UTC 2025\n"
    )
    found = cuda.by_proc(tmp_path)
    assert (found.driver, found.names) == ("580.65.06", ("NVIDIA H200",))
    assert found.gpus == (
        Gpu(uuid=known_by, index=0, name="NVIDIA H200", minor=2, bus="0000:01:00.0"),
    )


def test_a_machine_without_the_module_has_no_device(tmp_path, monkeypatch):
    """And the binding is not even imported there."""
    monkeypatch.setattr(cuda, "_DRIVER", (tmp_path / "version",))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert cuda.detect() is None
    assert cuda.by_proc(tmp_path) is None
    assert rocm.detect(tmp_path) is None


PROPERTIES = """simd_count 1216
gfx_target_version {target}
location_id 49920
domain 1
drm_render_minor {minor}
unique_id {unique}
name a name
"""


def amd_machine(folder, *cards):
    """Sysfs of a machine: one CPU node, then a node per (target, render minor, unique id)."""
    for node, (target, minor, unique) in enumerate([(0, 0, 0), *cards]):
        (folder / "nodes" / str(node)).mkdir(parents=True)
        text = PROPERTIES.format(target=target, minor=minor, unique=unique)
        (folder / "nodes" / str(node) / "properties").write_text(text)
    return folder / "nodes"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        pytest.param(90402, "gfx942", id="MI300"),
        pytest.param(90010, "gfx90a", id="MI200"),
        pytest.param(110000, "gfx1100", id="RDNA3"),
    ],
)
def test_amd_devices_are_read_from_the_topology(tmp_path, number, name):
    found = rocm.detect(amd_machine(tmp_path, (number, 128, 255)), tmp_path / "drm")
    assert found.names == (name,)
    assert found.gpus == (
        Gpu(uuid="GPU-00000000000000ff", index=0, name=name, minor=128, arch=name,
            bus="0001:c3:00.0"),
    )  # fmt: skip


def test_an_amd_card_has_the_name_and_memory_that_its_render_node_leads_to(tmp_path):
    device = tmp_path / "drm" / "renderD129" / "device"
    device.mkdir(parents=True)
    (device / "product_name").write_text("AMD Instinct MI300X\n")
    (device / "mem_info_vram_total").write_text("206141652992\n")
    [gpu] = rocm.detect(amd_machine(tmp_path, (90402, 129, 1)), tmp_path / "drm").gpus
    assert (gpu.name, gpu.memory) == ("AMD Instinct MI300X", 206_141_652_992)


def test_amd_cards_are_counted_in_the_order_of_their_nodes(tmp_path):
    """Node 10 comes after node 2; a card without a unique id is known by its address."""
    cards = [(90402, 128 + n, 0 if n == 1 else n + 1) for n in range(11)]
    gpus = rocm.detect(amd_machine(tmp_path, *cards), tmp_path / "drm").gpus
    assert [gpu.minor for gpu in gpus] == list(range(128, 139))
    assert gpus[1].uuid == "0001:c3:00.0"


def test_an_old_driver_is_gated_with_its_floor_and_source():
    reason = cuda.driver_gate("cu130", "550.54.15")
    assert reason.startswith("cu130 needs an NVIDIA driver >= 580")
    assert "this machine has 550.54.15 (gated; source: " in reason


@pytest.mark.parametrize(
    ("variant", "driver"),
    [
        pytest.param("cu130", "580.65.06", id="new-enough"),
        pytest.param("cu130", None, id="unknown-driver"),
        pytest.param("cu999", "1.0", id="unknown-floor"),
    ],
)
def test_what_is_not_known_to_be_too_old_is_not_gated(variant, driver):
    assert cuda.driver_gate(variant, driver) == ""


def test_a_cell_sees_the_devices_of_its_own_vendor_only():
    """HIP reads CUDA's variable too: hiding NVIDIA by it would hide AMD's cards."""
    assert hidden_except("cpu") == {
        "CUDA_VISIBLE_DEVICES": "",
        "HIP_VISIBLE_DEVICES": "",
        "ROCR_VISIBLE_DEVICES": "",
    }
    assert set(hidden_except("cuda")) == {"HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"}
    assert hidden_except("rocm") == {}


def test_every_machine_has_a_cpu_with_a_name():
    assert LocalDevices({})["cpu"].names[0]


def test_only_the_accelerators_that_are_asked_for_are_looked_at(monkeypatch):
    """And once: a look costs up to a second on a machine with many GPUs."""
    looked = []
    card = HostDevices(driver=None, names=("card",))
    for module, found in ((cuda, None), (rocm, card)):
        monkeypatch.setattr(module, "detect", lambda m=module, f=found: looked.append(m) or f)
    devices = LocalDevices({})
    assert "cpu" in devices
    assert looked == []
    assert "cuda" not in devices
    assert (devices["rocm"], "xpu" in devices) == (card, False)
    assert (list(devices), len(devices)) == (["cpu", "rocm"], 2)
    assert looked == [cuda, rocm]


THREE = tuple(Gpu(uuid=f"GPU-{n}f", index=n, name=f"card {n}", minor=n) for n in range(3))


@pytest.mark.parametrize(
    ("vendor", "env", "left"),
    [
        pytest.param(cuda, {}, [0, 1, 2], id="not-set"),
        pytest.param(cuda, {"CUDA_VISIBLE_DEVICES": ""}, [], id="hidden"),
        pytest.param(cuda, {"CUDA_VISIBLE_DEVICES": "2, 0"}, [2, 0], id="indices"),
        pytest.param(cuda, {"CUDA_VISIBLE_DEVICES": "gpu-1"}, [], id="no-uuid"),
        pytest.param(cuda, {"CUDA_VISIBLE_DEVICES": "GPU-1F,GPU-0"}, [1, 0], id="uuids"),
        pytest.param(cuda, {"CUDA_VISIBLE_DEVICES": "1,-1,2"}, [1], id="nothing-after-a-wrong-one"),
        pytest.param(cuda, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, [], id="slurm-without-gpu"),
        pytest.param(cuda, {"HIP_VISIBLE_DEVICES": "1"}, [0, 1, 2], id="of-another-vendor"),
        pytest.param(rocm, {"HIP_VISIBLE_DEVICES": "1"}, [1], id="hip"),
        pytest.param(rocm, {"CUDA_VISIBLE_DEVICES": "1"}, [1], id="hip-reads-cudas"),
        pytest.param(rocm, {"ROCR_VISIBLE_DEVICES": "GPU-2f,0"}, [2, 0], id="rocr"),
        pytest.param(rocm, {"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}, [2],
                     id="hip-counts-what-rocr-leaves"),
    ],
)  # fmt: skip
def test_gpus_that_a_scheduler_hides_are_not_ours(monkeypatch, vendor, env, left):
    """NVML and the kernel's topology show them all, and they may be somebody else's."""
    found = HostDevices(driver="1", names=("a", "b", "c"), gpus=THREE)
    monkeypatch.setattr(vendor, "detect", lambda: found)
    devices = LocalDevices(env).get(vendor.NAME)
    assert [gpu.minor for gpu in devices.gpus] == left if left else devices is None
    assert not left or devices.names == tuple(f"card {n}" for n in left)


@pytest.mark.parametrize(
    ("archs", "arch", "wanted"),
    [
        pytest.param(("sm_80", "sm_90"), "sm_90", "code", id="its-own"),
        pytest.param(("sm_80",), "sm_89", "code", id="a-later-minor-version"),
        pytest.param(("sm_89",), "sm_80", "none", id="an-earlier-minor-version"),
        pytest.param(("sm_90",), "sm_100", "none", id="another-major-version"),
        pytest.param(("sm_90a",), "sm_90", "code", id="features-of-that-gpu"),
        pytest.param(("sm_100a",), "sm_103", "none", id="features-of-another-gpu"),
        pytest.param(("sm_100f",), "sm_103", "code", id="features-of-a-family"),
        pytest.param(("sm_80", "compute_80"), "sm_120", "ptx", id="compiled-by-the-driver"),
        pytest.param(("compute_90a",), "sm_120", "none", id="ptx-of-one-gpu"),
        pytest.param((), "sm_90", "none", id="nothing"),
        pytest.param(("sm_90",), "Hopper", "none", id="no-architecture"),
    ],
)
def test_what_nvidias_builds_have_for_a_gpu(archs, arch, wanted):
    assert cuda.covers(archs, arch) == wanted


@pytest.mark.parametrize(
    ("archs", "arch", "wanted"),
    [
        pytest.param(("gfx90a", "gfx942"), "gfx942", "code", id="its-own"),
        pytest.param(("gfx942:sramecc+:xnack-",), "gfx942", "code", id="with-features"),
        pytest.param(("gfx90a",), "gfx942", "none", id="numbers-are-not-compared"),
        pytest.param(("gfx11-generic",), "gfx1151", "code", id="a-generic-one"),
    ],
)
def test_what_amds_builds_have_for_a_gpu(archs, arch, wanted):
    assert rocm.covers(archs, arch) == wanted


def test_a_driver_is_known_without_a_gpu_and_without_a_toolkit(tmp_path):
    text = (
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.133.20  Fri Mar 14\nGCC version: 12\n"
    )
    (tmp_path / "version").write_text(text, encoding="utf-8")
    assert cuda.driver(tmp_path) == "570.133.20"
    assert cuda.driver(tmp_path / "none") is None


def test_a_gpu_on_the_bus_without_a_driver_is_an_obstacle(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda, "_WSL", tmp_path / "none")
    monkeypatch.setattr(cuda, "_DRIVER", (tmp_path / "none", tmp_path / "none"))
    monkeypatch.setattr(cuda, "on_the_bus", lambda _vendor: ("0000:01:00.0",))
    assert cuda.obstacle().why.startswith("0000:01:00.0 on the PCI bus is NVIDIA's")
    monkeypatch.setattr(cuda, "on_the_bus", lambda _vendor: ())
    assert cuda.obstacle() is None


def test_a_node_that_others_own_is_an_obstacle(tmp_path, monkeypatch):
    kfd = tmp_path / "kfd"
    kfd.touch()
    assert rocm.obstacle(kfd) is None
    monkeypatch.setattr(rocm.os, "access", lambda *_: False)
    assert "usermod -aG render,video" in rocm.obstacle(kfd).fix


def test_devices_on_the_bus_are_told_by_vendor_and_class(tmp_path):
    kinds = {"0": ("0x10de", "0x030200"), "1": ("0x10de", "0x020000"), "2": ("0x1002", "0x038000")}
    for name, (vendor, kind) in kinds.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(vendor, encoding="ascii")
        (tmp_path / name / "class").write_text(kind, encoding="ascii")
    assert on_the_bus("0x10de", tmp_path) == ("0",)


@pytest.mark.parametrize(
    ("value", "arch"), [("9.0.10", "gfx90a"), ("11.0.0", "gfx1100"), ("x", "")]
)
def test_what_an_override_names(value, arch):
    assert rocm.overridden(value) == arch
