"""Collectives between real processes on one host."""

import pytest

from matrix.inside import Refusal, feature


@feature(
    "gloo",
    "Collectives between two processes (gloo)",
    purpose="Engines agree on batches, weights and cache sizes over CPU groups, also beside NCCL.",
)
@pytest.mark.parametrize("task", ["all_reduce", "all_gather", "broadcast", "broadcast_object"])
def test_gloo(run_ranks, task):
    """Every rank ends with what one process computes."""
    run_ranks("gloo", task)


@feature(
    "gloo-reduce-scatter",
    "Reduce-scatter between two processes (gloo)",
    purpose="Sequence-parallel engines reduce-scatter activations; on CPUs through gloo.",
    refusals=[
        Refusal(
            "RuntimeError",
            r"ProcessGroupGloo does not support reduce_scatter|"
            r"Backend gloo does not support reduce_scatter",
            "torch/csrc/distributed/c10d/ProcessGroupGloo.cpp: without it in older releases",
        )
    ],
)
def test_gloo_reduce_scatter(run_ranks):
    """Each rank gets its share of the sum."""
    run_ranks("gloo", "reduce_scatter")


@feature(
    "nccl",
    "Collectives between two GPUs (NCCL or RCCL)",
    purpose="Tensor-parallel layers meet in NCCL all-reduce, all-gather and reduce-scatter.",
    needs=["devices:2"],
)
@pytest.mark.parametrize(
    "task", ["all_reduce", "all_gather", "broadcast", "broadcast_object", "reduce_scatter"]
)
def test_nccl(run_ranks, task):
    """The same on two devices."""
    run_ranks("nccl", task)


DEPRECATED = Refusal(
    "FutureWarning",
    r"`torch\.distributed\.(all_gather_into_tensor|reduce_scatter_tensor)` is deprecated",
    "https://github.com/pytorch/pytorch/releases/tag/v2.13.0: renamed with *_single",
)
GLOO_LACKS_TENSORS = Refusal(
    "RuntimeError",
    r"(no support for|does not support) (_allgather_base|allgather_into_tensor|_reduce_scatter_base"
    r"|reduce_scatter_tensor)",
    "torch/csrc/distributed/c10d/ProcessGroupGloo.cpp: without it in older releases",
)


@feature(
    "collectives-into-tensor",
    "all_gather_into_tensor and reduce_scatter_tensor without a warning",
    purpose="Both engines' device communicators call these names; a warning is printed per worker.",
    refusals=[DEPRECATED, GLOO_LACKS_TENSORS],
)
def test_into_tensor(run_ranks):
    """Gather into, and scatter from, one tensor; a warning is an error here."""
    run_ranks("gloo", "into_tensor")


@feature(
    "collectives-single",
    "all_gather_single and reduce_scatter_single",
    purpose="The names an engine must move to where the older ones warn.",
    refusals=[
        Refusal(
            "AttributeError",
            r"module 'torch\.distributed' has no attribute '(all_gather|reduce_scatter)_single'",
            "https://github.com/pytorch/pytorch/releases/tag/v2.13.0: new names",
        )
    ],
)
def test_single(run_ranks):
    """The same by the newer names."""
    run_ranks("gloo", "single")


@feature(
    "functional-collectives",
    "Functional collectives",
    purpose="Engines' all-reduce custom operators and DTensor lower to them.",
)
def test_functional(run_ranks):
    """A sum that leaves its input alone."""
    run_ranks("gloo", "functional")


@feature(
    "functional-collectives-compiled",
    "Collectives in a full graph (torch.compile)",
    purpose="A compiled tensor-parallel model must not break its graph at each all-reduce.",
    refusals=[
        Refusal(
            "Unsupported",
            r"inlining disallowed: <function all_reduce at"
            r"|returned non-Tensor bool call_method is_complex\b",
            "torch/distributed/_functional_collectives.py: traceable_collective_remaps has"
            " all_reduce since 2.3; before, Dynamo stops at, or in, its Python code",
        )
    ],
)
def test_functional_compiled(run_ranks):
    """Traced without a break, with the numbers of the ranks."""
    run_ranks("gloo", "functional_compiled")
