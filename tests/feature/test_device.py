"""Does torch see the device it was built for, and say so without contradiction?"""

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, randn


@feature(
    "device",
    "Device and vendor detection",
    purpose="The first thing an engine decides: which vendor's kernels, or none.",
)
def test_build_and_runtime_agree(device):
    """At most one vendor, and a device only where the build has that vendor."""
    vendors = [name for name in ("cuda", "hip") if getattr(torch.version, name, None)]
    assert len(vendors) <= 1
    assert torch.cuda.is_available() == (torch.cuda.device_count() > 0)
    if not vendors:
        assert not torch.cuda.is_available()
    assert (device.type == "cuda") == torch.cuda.is_available()


@feature("device", "Device and vendor detection")
def test_versions_are_numbers():
    """What engines split at dots and compare: CUDA 12.8, HIP 7.2.5-abc, ROCm where it is told."""
    cuda, hip = torch.version.cuda, torch.version.hip
    if cuda is not None:
        assert len(tuple(int(part) for part in cuda.split("."))) >= 2
    if hip is not None:
        assert len(tuple(int(part) for part in hip.split("-")[0].split("."))) >= 2
    rocm = getattr(torch.version, "rocm", None)
    if rocm is not None:
        assert hip is not None, (rocm, hip)
        assert int(rocm.partition(".")[0]) > 0


@feature("device", "Device and vendor detection")
def test_values_live_on_the_device(device, rng):
    """A tensor made on the device is there, computes there, and comes back unchanged."""
    values = randn(rng, 1000)
    there = values.to(device)
    assert there.device.type == device.type
    assert_close(there.cpu(), values.double(), rtol=0, atol=0, why="a copy")
    assert_close(
        (there + there).cpu(), values.double() * 2, rtol=0, atol=0, why="doubling is exact"
    )


@feature("device", "Device and vendor detection")
def test_absent_device_is_refused():
    """Every device counted can be used; of one more torch says so, and computes nowhere else."""
    count = torch.cuda.device_count()
    for index in range(count):
        assert torch.zeros(1, device=f"cuda:{index}").device.index == index
    absent = f"cuda:{count}"
    with pytest.raises((AssertionError, RuntimeError), match=r"CUDA|HIP|NVIDIA|compiled|ordinal"):
        torch.zeros(1, device=absent)


@feature(
    "arch-list",
    "Built for this GPU's architecture",
    purpose="A wheel without the GPU's architecture starts and fails at the first kernel.",
    needs=["accelerator"],
)
def test_arch_list(device):
    """The build holds code for this GPU, or PTX that its driver can compile for it."""
    archs = torch.cuda.get_arch_list()
    about = torch.cuda.get_device_properties(device)
    if torch.version.hip:
        assert about.gcnArchName.partition(":")[0] in archs
        return
    have = (about.major, about.minor)
    binary = [_capability(arch) for arch in archs if arch.startswith("sm_")]
    portable = [_capability(arch) for arch in archs if arch.startswith("compute_")]
    runs = any(major == have[0] and minor <= have[1] for major, minor in binary)
    assert runs or any(capability <= have for capability in portable), (have, archs)


@feature(
    "accelerator-api",
    "Vendor-neutral device API (torch.accelerator)",
    purpose="One code path for all vendors instead of torch.cuda by name.",
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch' has no attribute 'accelerator'",
            "https://pytorch.org/docs/stable/accelerator.html: new in 2.6",
        )
    ],
)
def test_accelerator(device):
    """It finds the same device that the vendor's own API finds, or none."""
    assert torch.accelerator.is_available() == torch.cuda.is_available()
    if torch.accelerator.is_available():
        assert torch.accelerator.current_accelerator().type == device.type
        assert torch.accelerator.device_count() == torch.cuda.device_count()


@feature(
    "device-module",
    "The current accelerator's module (torch.get_device_module)",
    purpose="Engines ask it for streams and memory, and take `torch.cpu` for: no device here.",
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch' has no attribute 'get_device_module'",
            "torch/__init__.py: new in 2.3",
        ),
        Refusal(
            "NotImplementedError",
            r"^without a device it names torch\.cuda$",
            "torch/__init__.py of 2.14: the build's accelerator, whether or not there is a device",
        ),
    ],
)
def test_device_module(device):
    """Without an argument the module of the device that is there."""
    found = torch.get_device_module()
    assert torch.get_device_module(device) is getattr(torch, device.type)
    if device.type == "cpu" and found is torch.cuda:
        raise NotImplementedError("without a device it names torch.cuda")
    assert found is getattr(torch, device.type)


@feature(
    "device-properties",
    "Capability, memory and name of the device",
    purpose="Kernels, quantisation methods and tuned configurations are chosen by them.",
    needs=["accelerator"],
)
def test_properties(device):
    """A pair of integers as the properties say, and a driver that answers."""
    capability = torch.cuda.get_device_capability(device)
    about = torch.cuda.get_device_properties(device)
    assert isinstance(capability, tuple)
    assert [type(part) for part in capability] == [int, int]
    assert capability == (about.major, about.minor)
    assert torch.cuda.get_device_name(device) == about.name != ""
    assert about.multi_processor_count > 0
    free, total = torch.cuda.mem_get_info(device)
    assert 0 < free <= total


def _capability(arch):
    digits = "".join(letter for letter in arch.partition("_")[2] if letter.isdigit())
    return int(digits[:-1]), int(digits[-1])
