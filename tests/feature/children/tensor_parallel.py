"""DTensor layers, and the decode step of an engine inside CUDA graphs: tasks of rank.py."""

import torch
import torch.distributed as dist

from matrix.inside import assert_close, assert_relative, poisoned

HIDDEN, INNER, LAYERS = 256, 512, 2
BATCHES = (768, 512, 256, 128, 32, 8, 2, 1)  # largest first: the smaller reuse its memory


def device_mesh(r):
    """A mesh by name gives groups one can reduce over."""
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415  absent in old torch

    mesh = init_device_mesh(r.device.type, (1, r.world), mesh_dim_names=("dp", "tp"))
    assert mesh["tp"].size() == r.world
    assert mesh["dp"].size() == 1
    assert mesh["tp"].get_local_rank() == r.rank
    parts = r.parts(100)
    total = parts[r.rank].clone().to(r.device)
    dist.all_reduce(total, group=mesh["tp"].get_group())
    expected = torch.stack(parts).double().sum(0)
    assert_close(total, expected, rtol=1e-6, atol=1e-6, why="float32 sum over the ranks")


def dtensor_linear(r):
    """A column-parallel linear layer into a row-parallel one, as in a decoder's MLP."""
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415  absent in old torch
    from torch.distributed.tensor.parallel import (  # noqa: PLC0415  the same
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    up, down, x = r.randn(64, 32, of=1), r.randn(32, 64, of=2), r.randn(7, 32, of=3)
    mlp = torch.nn.Sequential(
        torch.nn.Linear(32, 64, bias=False), torch.nn.ReLU(), torch.nn.Linear(64, 32, bias=False)
    )
    mlp.load_state_dict({"0.weight": up, "2.weight": down})
    mesh = init_device_mesh(r.device.type, (r.world,))
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    parallel = parallelize_module(mlp.to(r.device), mesh, plan)
    assert parallel[0].weight.to_local().shape == (64 // r.world, 32)
    with torch.no_grad():
        out = parallel(x.float().to(r.device))
    expected = (x @ up.t()).relu() @ down.t()
    assert_relative(out, expected, limit=2e-3, why="float32, or TF32, and a sum over the ranks")


def nccl_graph(r):
    """An all-reduce that was captured reads the inputs of the replay, not of the capture."""
    static = torch.zeros(4096, device=r.device)
    out = poisoned(4096, device=r.device, dtype=static.dtype)

    def step():
        total = static * 2
        dist.all_reduce(total)
        out.copy_(total)

    graph = captured(step, torch.cuda.graph_pool_handle())
    for replay in range(3):
        parts = [r.randn(4096, of=10 * replay + rank).float() for rank in range(r.world)]
        static.copy_(parts[r.rank])
        out.fill_(float("nan"))
        graph.replay()
        expected = torch.stack(parts).double().sum(0) * 2
        assert_close(out, expected, rtol=1e-6, atol=1e-6, why="float32 sum over the ranks")


def tp_decode_graph(r):
    """A decoder's MLP blocks over all ranks: a graph per batch size, one pool, fresh inputs."""
    shapes = ((HIDDEN, INNER), (HIDDEN, INNER), (INNER, HIDDEN))  # gate, up, down
    weights = [
        [r.randn(*shape, of=10 * layer + i) / shape[0] ** 0.5 for i, shape in enumerate(shapes)]
        for layer in range(LAYERS)
    ]
    local = [shard(layer, r) for layer in weights]
    static = torch.zeros(max(BATCHES), HIDDEN, device=r.device, dtype=torch.bfloat16)
    out = torch.full_like(static, float("nan"))

    def step(batch):
        out[:batch].copy_(decode(static[:batch], local, dist.all_reduce))

    pool = torch.cuda.graph_pool_handle()
    graphs = {batch: captured(lambda batch=batch: step(batch), pool) for batch in BATCHES}
    for batch in sorted(BATCHES):
        x = r.randn(batch, HIDDEN, of=100 + batch).to(torch.bfloat16)
        static[:batch].copy_(x)
        out.fill_(float("nan"))
        graphs[batch].replay()
        replayed = out[:batch].clone()
        assert out[batch:].isnan().all(), f"the graph of batch {batch} wrote more rows"
        step(batch)
        why = "bfloat16, the same kernels up to the choice of algorithm"
        assert_relative(replayed, out[:batch].double(), limit=5e-3, why=why)
        expected = decode(x.double(), weights, lambda _partial: None)
        assert_relative(replayed, expected, limit=2e-2, why="bfloat16 weights and activations")


def shard(layer, r):
    """This rank's columns of gate and up, and rows of down."""
    gate, up, down = layer
    columns = [weight.chunk(r.world, 1)[r.rank] for weight in (gate, up)]
    mine = [*columns, down.chunk(r.world, 0)[r.rank]]
    return [weight.to(torch.bfloat16).contiguous().to(r.device) for weight in mine]


def decode(x, layers, all_reduce):
    """RMS norm, gated MLP whose output is summed over the ranks, residual; for each layer."""
    for gate, up, down in layers:
        normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        partial = (torch.nn.functional.silu(normed @ gate) * (normed @ up)) @ down
        all_reduce(partial)
        x = x + partial
    return x


def captured(step, pool):
    """A graph of ``step``, after running it as it is on a side stream."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    # NCCL's watchdog thread queries events meanwhile, which a capture in the global mode forbids.
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        step()
    return graph


def symmetric_memory(r):
    """An all-reduce that reads the peers' memory by itself; no multicast."""
    from torch.distributed import _symmetric_memory as symmetric  # noqa: PLC0415  absent in old torch

    name = dist.group.WORLD.group_name
    parts = r.parts(4096)
    shared = symmetric.empty(4096, dtype=torch.float32, device=r.device)
    symmetric.rendezvous(shared, name)
    shared.copy_(parts[r.rank])
    out = torch.ops.symm_mem.one_shot_all_reduce(shared, "sum", name)
    expected = torch.stack(parts).double().sum(0)
    assert_close(out, expected, rtol=1e-6, atol=1e-6, why="float32 sum over the ranks")


TASKS = (device_mesh, dtensor_linear, nccl_graph, tp_decode_graph, symmetric_memory)
