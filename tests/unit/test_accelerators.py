"""What each vendor's module knows: its variants, its devices on this machine, its driver gate."""

import pytest

from matrix.accelerators import ACCELERATORS, accelerator_of, cuda, detect, hidden_except, rocm


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


def test_nvidia_devices_are_read_from_the_kernel_module(tmp_path):
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "gpus" / "0000:01:00.0" / "information").write_text(
        "Model: \t NVIDIA H200\nIRQ: 1\n"
    )
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 07:17:00 UTC 2025\n"
    )
    assert cuda.detect(tmp_path) == ("580.65.06", ("NVIDIA H200",))


def test_a_machine_without_the_module_has_no_device(tmp_path):
    assert cuda.detect(tmp_path) is None
    assert rocm.detect(tmp_path) is None


@pytest.mark.parametrize(
    ("number", "name"),
    [
        pytest.param(90402, "gfx942", id="MI300"),
        pytest.param(90010, "gfx90a", id="MI200"),
        pytest.param(110000, "gfx1100", id="RDNA3"),
    ],
)
def test_amd_devices_are_read_from_the_topology(tmp_path, number, name):
    for node, target in enumerate((0, number)):
        (tmp_path / str(node)).mkdir()
        (tmp_path / str(node) / "properties").write_text(
            f"simd\ngfx_target_version {target}\nx 1\n"
        )
    assert rocm.detect(tmp_path)[1] == (name,)


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
    hidden = hidden_except("cpu")
    assert hidden == {
        "CUDA_VISIBLE_DEVICES": "",
        "HIP_VISIBLE_DEVICES": "",
        "ROCR_VISIBLE_DEVICES": "",
    }
    assert "CUDA_VISIBLE_DEVICES" not in hidden_except("cuda")
    assert set(hidden_except("rocm")) == {"CUDA_VISIBLE_DEVICES"}


def test_every_machine_has_a_cpu_with_a_name():
    assert detect()["cpu"].names[0]
