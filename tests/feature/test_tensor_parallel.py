"""Models sharded over two ranks: DTensor layers, and the decode step of an engine."""

import pytest

from matrix.inside import Refusal, feature

TWO_GPUS = ["devices:2"]
NO_MESH = Refusal(
    "ModuleNotFoundError",
    r"No module named 'torch\.distributed\.(device_mesh|tensor)'",
    "https://pytorch.org/docs/stable/distributed.html: init_device_mesh is new in 2.2",
)


@feature(
    "device-mesh",
    "Device mesh (init_device_mesh)",
    purpose="Names the data-, tensor- and expert-parallel groups of a deployment.",
    refusals=[NO_MESH],
)
def test_device_mesh(run_ranks):
    """A dimension of the mesh is a group one can reduce over."""
    run_ranks("gloo", "device_mesh")


@feature(
    "dtensor-linear",
    "Column- and row-parallel linear layers (DTensor)",
    purpose="SGLang's torch-native tensor parallelism shards a model's linear layers this way.",
    refusals=[NO_MESH],
)
def test_dtensor_linear(run_ranks):
    """Two ranks compute the product of one."""
    run_ranks("gloo", "dtensor_linear")


@feature(
    "dtensor-linear-nccl",
    "Column- and row-parallel linear layers on two GPUs",
    purpose="The same with the model's shards on two devices.",
    refusals=[NO_MESH],
    needs=TWO_GPUS,
)
@pytest.mark.parametrize("task", ["device_mesh", "dtensor_linear"])
def test_dtensor_linear_nccl(run_ranks, task):
    """Two devices compute the product of one."""
    run_ranks("nccl", task)


@feature(
    "nccl-graph",
    "NCCL all-reduce inside a CUDA graph",
    purpose="A captured decode step of a tensor-parallel model contains its all-reduces.",
    needs=TWO_GPUS,
)
def test_nccl_graph(run_ranks):
    """Each replay sums the inputs of that replay."""
    run_ranks("nccl", "nccl_graph")


@feature(
    "tp-decode-graph",
    "Decode step at TP 2 in CUDA graphs, batch 1 to 768",
    purpose="Engines capture the sharded decode step per batch size into one pool and replay it.",
    needs=TWO_GPUS,
)
def test_tp_decode_graph(run_ranks):
    """Replays equal the eager step and the float64 model, and write no other rows."""
    run_ranks("nccl", "tp_decode_graph")


@feature(
    "symmetric-memory",
    "All-reduce over symmetric memory",
    purpose="Small all-reduces of a decode step read the peers' memory instead of calling NCCL.",
    needs=[*TWO_GPUS, "multicast"],
    refusals=[
        Refusal(
            "ImportError",
            r"cannot import name '_symmetric_memory'",
            "https://github.com/pytorch/pytorch/pull/135273: new in 2.5",
        ),
        Refusal(
            "AttributeError",
            r"_symmetric_memory' has no attribute '(empty|rendezvous)'",
            "torch/distributed/_symmetric_memory/__init__.py: these names are newer",
        ),
    ],
)
def test_symmetric_memory(run_ranks):
    """The sum, without multicast instructions."""
    run_ranks("nccl", "symmetric_memory")
