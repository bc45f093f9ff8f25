"""Loading checkpoints: data arrives unchanged, and code in a file does not run."""

import os
import pickle

import pytest
import torch

from matrix.inside import Refusal, assert_close, feature, randn


class Trap:
    """Unpickling it makes a folder: the harmless stand-in for any command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """A checkpoint that runs code when it is unpickled, and the folder that betrays it."""
    sprung = tmp_path / "sprung"
    torch.save({"weight": Trap(str(sprung))}, tmp_path / "trap.pt")
    return tmp_path / "trap.pt", sprung


@feature(
    "weights-only",
    "Safe loading (torch.load with weights_only=True)",
    purpose="A checkpoint from a stranger must not run code on the server.",
)
def test_refuses_code(trap):
    """What is no tensor or plain value is refused before it runs."""
    path, sprung = trap
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        torch.load(path, weights_only=True)
    assert not sprung.exists()


@feature("weights-only", "Safe loading (torch.load with weights_only=True)")
def test_loads_tensors(device, rng, tmp_path):
    """Weights come back bit by bit, on the device asked for, and shared ones stay shared."""
    weight = randn(rng, 50, 20, dtype=torch.bfloat16)
    torch.save({"weight": weight, "tied": weight, "step": 7}, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=True, map_location=device)
    assert loaded["step"] == 7
    assert loaded["weight"].dtype == torch.bfloat16
    assert loaded["weight"].device.type == device.type
    assert loaded["weight"].data_ptr() == loaded["tied"].data_ptr()
    assert_close(loaded["weight"], weight.double(), rtol=0, atol=0, why="a copy")


@feature(
    "weights-only-default",
    "torch.load is safe by default",
    purpose="Loaders and plug-ins that were written without the argument.",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^torch\.load ran the code in the file$",
            "https://github.com/pytorch/pytorch/releases/tag/v2.6.0: weights_only became the"
            " default in 2.6",
        )
    ],
)
@pytest.mark.filterwarnings("ignore:You are using `torch.load`")
def test_default(trap):
    """Without any argument, code in a checkpoint does not run."""
    path, sprung = trap
    try:
        torch.load(path)
    except pickle.UnpicklingError:
        assert not sprung.exists()
        return
    assert sprung.exists(), "neither refused nor run"
    raise NotImplementedError("torch.load ran the code in the file")


@feature(
    "load-mmap",
    "Loading without reading (torch.load with mmap=True)",
    purpose="A shard of a large checkpoint is read only where a rank needs it.",
)
def test_mmap(device, rng, tmp_path):
    """Right numbers; what is changed in memory never reaches the file."""
    weight = randn(rng, 300, 200, dtype=torch.bfloat16)
    path = tmp_path / "model.pt"
    torch.save({"weight": weight, "tied": weight}, path)
    before = path.read_bytes()
    loaded = torch.load(str(path), mmap=True, weights_only=True)
    assert loaded["weight"].data_ptr() == loaded["tied"].data_ptr()
    slice_there = loaded["weight"][100:200].to(device)
    assert_close(slice_there, weight[100:200].double(), rtol=0, atol=0, why="a copy")
    loaded["weight"].mul_(2)
    assert_close(loaded["tied"], weight.double() * 2, rtol=0, atol=0, why="doubling is exact")
    assert path.read_bytes() == before


@feature(
    "safetensors",
    "Checkpoints in safetensors",
    purpose="The format of nearly all published weights.",
    needs=["module:safetensors"],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_safetensors(device, rng, tmp_path, dtype):
    """Bit by bit, of every type, straight to the device, whole and in slices."""
    from safetensors import safe_open  # noqa: PLC0415 - a precondition of this test alone
    from safetensors.torch import load_file, save_file  # noqa: PLC0415 - as above

    weight = randn(rng, 64, 48).to(getattr(torch, dtype))
    path = tmp_path / "model.safetensors"
    save_file({"weight": weight.to(device), "norm": torch.ones(48)}, path)
    loaded = load_file(path, device=str(device))["weight"]
    assert loaded.dtype == weight.dtype
    assert loaded.device.type == device.type
    expected = weight.double()
    assert_close(loaded.cpu().double(), expected, rtol=0, atol=0, why="a copy")
    with safe_open(path, framework="pt") as file:
        part = file.get_slice("weight")[16:32]
    assert_close(part.double(), expected[16:32], rtol=0, atol=0, why="a copy")
