"""Deliberately broken stand-ins for parts of torch, and the features that each of them breaks.

A stand-in is as near to the real thing as it can be: right type, right shape, no message. Nothing
here imports torch: a mutant is given it.
"""

import ctypes
import functools
import importlib.abc
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A way to break torch, and the verdicts of what has to notice among the features it meets."""

    apply: Callable[[Any], None]
    breaks: Mapping[str, str]


MUTANTS: dict[str, Mutant] = {}


def mutant(**breaks):
    """Register the decorated function; `breaks` names features with `_` for `-`."""

    def register(apply):
        verdicts = {name.replace("_", "-"): verdict for name, verdict in breaks.items()}
        name = apply.__name__.replace("_", "-")
        MUTANTS[name] = Mutant(apply=apply, breaks=verdicts)
        return apply

    return register


def replace(owner, name):
    """Put the decorated function, which gets the original first, in the place of an attribute."""

    def put(stand_in):
        original = getattr(owner, name)

        @functools.wraps(original)
        def broken(*args, **options):
            return stand_in(original, *args, **options)

        setattr(owner, name, broken)

    return put


@mutant(fp8_scaled_mm="wrong", fp8_scaled_mm_row="wrong", fp8_fast_accum="wrong")
def scale_ignored(torch):
    @replace(torch, "_scaled_mm")
    def _(original, *args, **options):
        scale = options.pop("scale_b")
        return original(*args, **options, scale_b=torch.ones_like(scale))


@mutant(scaled_mm_api="wrong", fp8_scaled_mm_block="wrong")
def one_nan(torch):
    @replace(torch.nn.functional, "scaled_mm")
    def _(original, *args, **options):
        out = original(*args, **options)
        out[-1, -1] = math.nan
        return out


@mutant(matmul="wrong")
def last_row_unwritten(torch):
    @replace(torch, "mm")
    def _(original, a, b, *, out=None):
        whole = original(a, b)
        if out is None:
            return whole
        out[:-1] = whole[:-1]
        return out


@mutant(
    int8_matmul="wrong",
    int8_matmul_decode="wrong",
    int8_dynamic_linear="wrong",
    int8_dynamic_graph="wrong",
)
def integers_saturate(torch):
    @replace(torch, "_int_mm")
    def _(original, a, b):
        return original(a, b).clamp(-(2**15), 2**15 - 1)


@mutant(int8_matmul="fail", int8_matmul_decode="fail")
def another_type(torch):
    """The layers are not wrong for it: they make floating point of whatever integers they get."""

    @replace(torch, "_int_mm")
    def _(original, a, b):
        return original(a, b).long()


@mutant(grouped_mm="wrong", grouped_mm_api="wrong")
def next_expert(torch):
    """By both names: the public one calls the other."""

    @replace(torch, "_grouped_mm")
    def _(original, a, experts, **options):
        return original(a, experts.roll(1, 0), **options)


@mutant(sdpa_gqa="wrong")
def mask_ignored(torch):
    name = "scaled_dot_product_attention"

    @replace(torch.nn.functional, name)
    def _(original, q, k, v, *args, **options):
        if options.get("enable_gqa"):
            options["is_causal"] = False
        return original(q, k, v, *args, **options)

    # where a subclass of Tensor is told what was called, this is what it is told
    setattr(torch._C._nn, name, getattr(torch.nn.functional, name))


@mutant(dlpack_bf16="fail", dlpack_fp8="fail")
def exchange_copies(torch):
    @replace(torch, "from_dlpack")
    def _(original, values):
        return original(values).clone()


@mutant(weights_only="fail")
def weights_only_ignored(torch):
    @replace(torch, "load")
    def _(original, *args, **options):
        if options.get("weights_only"):
            options["weights_only"] = False
        return original(*args, **options)


@mutant(weights_only_default="unsupported")
def unsafe_by_default(torch):
    @replace(torch, "load")
    def _(original, *args, **options):
        return original(*args, **{"weights_only": False, **options})


@mutant(deterministic="fail")
def not_deterministic(torch):
    @replace(torch, "use_deterministic_algorithms")
    def _(original, mode, **options):
        pass


@mutant(device="fail")
def device_miscounted(torch):
    """One where there is none; with devices everything else would break too."""
    for module in (torch.cuda, torch.accelerator):

        @replace(module, "device_count")
        def _(original):
            return 1


@mutant(device_module="fail")
def another_module(torch):
    @replace(torch, "get_device_module")
    def _(original, *args):
        return torch.cpu if original(*args) is torch.cuda else torch.cuda


@mutant(accelerator_api="fail")
def accelerator_denied(torch):
    @replace(torch.accelerator, "is_available")
    def _(original):
        return not original()


@mutant(nested="wrong")
def shortest_part_lost(torch):
    @replace(torch.nn.functional, "linear")
    def _(original, values, weight, bias=None):
        out = original(values, weight, bias)
        if values.is_nested:
            out.values()[:3] = 0
        return out


@mutant(numpy="fail", safetensors="fail")
def numpy_does_not_import(torch):
    """The package is there, one of its libraries is not: no reason to skip."""

    class Broken(importlib.abc.MetaPathFinder):
        def find_spec(self, fullname, path=None, target=None):
            if fullname == "numpy._core":
                message = "No module named 'numpy._core._multiarray_umath'"
                raise ModuleNotFoundError(message, name="numpy._core._multiarray_umath")

    for name in [name for name in sys.modules if name.partition(".")[0] == "numpy"]:
        del sys.modules[name]
    sys.meta_path.insert(0, Broken())


@mutant(gloo="wrong")
def rank_left_out(torch):
    """Sums without what rank 1 has."""

    @replace(torch.distributed, "all_reduce")
    def _(original, values, *args, **options):
        if torch.distributed.get_rank() == 1:
            values.zero_()
        return original(values, *args, **options)


@mutant(compile="wrong", compile_dynamic="wrong")
def result_of_before(torch):
    @replace(torch, "compile")
    def _(original, model=None, **options):
        compiled, kept = original(model, **options), []

        def stale(*args, **more):
            kept.append(compiled(*args, **more))
            return kept[max(0, len(kept) - 2)]

        return stale


@mutant(custom_op="fail", opcheck="fail")
def fake_of_another_shape(torch):
    @replace(torch.library.CustomOpDef, "register_fake")
    def _(original, self, fake):
        return original(self, lambda *args: fake(*args).new_empty(args[0].shape[::-1]))


@mutant(int8_matmul="crash")
def segfault(torch):
    @replace(torch, "_int_mm")
    def _(original, a, b):
        ctypes.string_at(0)


@mutant(weights_only="crash")
def silent_exit(torch):
    """Ends with status 0, and without a report."""

    @replace(torch, "load")
    def _(original, *args, **options):
        os._exit(0)


@mutant(fp8_scaled_mm="timeout")
def hang(torch):
    @replace(torch, "_scaled_mm")
    def _(original, *args, **options):
        time.sleep(3600)


@mutant(grouped_mm="oom", grouped_mm_api="oom")
def out_of_memory(torch):
    @replace(torch, "_grouped_mm")
    def _(original, a, *args, **options):
        return a.new_empty(1 << 52)


@mutant(cuda_graphs="wrong", cuda_graphs_gemm="wrong")
def graph_replayed_once(torch):
    """From the second time on nothing runs."""

    @replace(torch.cuda.CUDAGraph, "replay")
    def _(original, self):
        if not hasattr(self, "replayed"):
            original(self)
            torch.cuda.synchronize()
        self.replayed = True


@mutant(int8_matmul="fail")
def illegal_access(torch):
    """An index that the device asserts on: the process can use the device no more."""

    @replace(torch, "_int_mm")
    def _(original, a, b):
        a.flatten()[torch.tensor([1 << 40], device=a.device)].cpu()
