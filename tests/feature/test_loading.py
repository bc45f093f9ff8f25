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


@feature("weights-only", "Safe loading (torch.load with weights_only=True)")
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
