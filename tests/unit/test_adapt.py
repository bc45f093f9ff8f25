"""What `plan` sets for which situation, what it refuses, and why it says so."""

import argparse
import csv
import json
from fnmatch import fnmatchcase

import pytest
import yaml

from matrix.accelerators import Gpu, HostDevices
from matrix.accelerators.models import architectures, find_model, models
from matrix.adapt import plan
from matrix.adapt.emit import FORMATS
from matrix.adapt.gates import gates
from matrix.adapt.situation import Served
from matrix.check.machine import Loaded, Machine, Package
from matrix.errors import InputError
from matrix.facts.flags import (
    ENGINES,
    flags_of,
    graph_defaults,
    releases,
    stretches,
    variables_of,
)
from matrix.reports import checkpage

LLAMA = {"parameters": 70e9, "heads": 64, "kv_heads": 8, "hidden": 8192}
FEATURES = ["feature", "column", "verdict", "device_model", "run"]
WORKLOADS = ["workload", "params", "metric", "column", "status", "median", "device_model", "run"]


def served(**given):
    return Served(**given)


def problems(**given):
    with pytest.raises(InputError) as caught:
        plan(**given)
    return caught.value.problems


def reason(made, choice):
    (found,) = [one for one in made.decisions if one.choice == choice]
    return found


def argparse_of(engine, release):
    """The release's own command line, as far as its table tells."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    for flag in flags_of(engine, release).values():
        names = (flag.name, *flag.aliases)
        if flag.takes == "nothing":
            parser.add_argument(*names, action="store_true")
            continue
        parser.add_argument(
            *names,
            type={"int": int, "float": float, "json": json.loads}.get(flag.takes, str),
            nargs=flag.number or None,
            choices=flag.values if flag.closed and flag.takes != "int" else None,
        )
    return parser


@pytest.mark.parametrize(
    ("situation", "args"),
    [
        pytest.param({"release": "0.5.12", "gpu": "H200", "served": served(weights="bf16")},
                     "--dtype bfloat16 --attention-backend fa3 --cuda-graph-max-bs 256",
                     id="H200-0.5.12-bf16"),
        pytest.param({"release": "0.5.12", "gpu": "H200", "served": served(weights="fp8")},
                     "--quantization fp8 --attention-backend fa3 --cuda-graph-max-bs 256",
                     id="H200-0.5.12-fp8"),
        pytest.param({"release": "0.5.19", "gpu": "H200", "served": served(weights="bf16")},
                     "--dtype bfloat16 --attention-backend fa3 --cuda-graph-max-bs-decode 256",
                     id="H200-0.5.19-bf16"),
        pytest.param({"release": "0.5.19", "gpu": "H200", "served": served(weights="fp8")},
                     "--quantization fp8 --attention-backend fa3 --cuda-graph-max-bs-decode 256",
                     id="H200-0.5.19-fp8"),
        pytest.param({"release": "0.5.23", "gpu": "H200", "served": served(weights="bf16")},
                     "--dtype bfloat16 --attention-backend fa3 --cuda-graph-max-bs-decode 256",
                     id="H200-0.5.23-bf16"),
        pytest.param({"release": "0.5.23", "gpu": "H200", "served": served(weights="fp8")},
                     "--quantization fp8 --attention-backend fa3 --cuda-graph-max-bs-decode 256",
                     id="H200-0.5.23-fp8"),
        pytest.param({"release": "0.5.23", "gpu": "MI300X",
                      "served": served(weights="fp8", attention="mha")},
                     "--quantization fp8 --attention-backend aiter --cuda-graph-max-bs-decode 512",
                     id="MI300X"),
        pytest.param({"release": "0.5.23", "gpu": "MI250"},
                     "--attention-backend triton --cuda-graph-max-bs-decode 256", id="MI250"),
        pytest.param({"release": "0.5.23", "gpu": "H100", "gpus": 8, "served": served(**LLAMA)},
                     "--attention-backend fa3 --tp-size 4 --dp-size 2 "
                     "--cuda-graph-max-bs-decode 512", id="70B-on-8-H100-throughput"),
        pytest.param({"release": "0.5.23", "gpu": "H100", "gpus": 8,
                      "served": served(**LLAMA, goal="latency")},
                     "--attention-backend fa3 --tp-size 8 --cuda-graph-max-bs-decode 512",
                     id="70B-on-8-H100-latency"),
        pytest.param({"release": "0.5.23", "gpu": "H100", "gpus": 8,
                      "served": served(**LLAMA, weights="fp8")},
                     "--quantization fp8 --attention-backend fa3 --tp-size 2 --dp-size 4 "
                     "--cuda-graph-max-bs-decode 256", id="70B-fp8-on-8-H100"),
        pytest.param({"release": "0.4.6", "gpu": "H200"}, "", id="old-release-knows-better"),
        pytest.param({"release": "0.5.23", "gpu": "B200", "served": served(attention="mha")},
                     "--attention-backend trtllm_mha --cuda-graph-max-bs-decode 512",
                     id="B200-mha"),
        pytest.param({"release": "0.5.23", "gpu": "B200", "served": served(kv="fp4")},
                     "--kv-cache-dtype nvfp4 --cuda-graph-max-bs-decode 512", id="B200-fp4-cache"),
    ],
)  # fmt: skip
def test_settings_of_sglang(situation, args):
    made = plan(engine="sglang", **situation)
    assert " ".join(made.args) == args
    argparse_of("sglang", made.situation.release).parse_args(made.args)


def test_variables_are_of_the_gpu():
    env = {"SGLANG_USE_AITER": "1", "HIP_FORCE_DEV_KERNARG": "1"}
    assert plan(engine="sglang", release="0.5.23", gpu="MI300X").env == env
    assert plan(engine="sglang", release="0.5.23", gpu="MI250").env == {}
    assert plan(engine="sglang", release="0.5.23", gpu="H200").env == {}
    old = plan(engine="sglang", release="0.4.0", gpu="MI300X")
    assert "SGLANG_USE_AITER" not in old.env
    assert "SGLANG_USE_AITER is not declared by this release" in [one.reason for one in old.left]


def test_settings_of_vllm():
    made = plan(engine="vllm", release="0.33.0", gpu="H100", gpus=8,
                served=served(**LLAMA, weights="fp8", kv="fp8"))  # fmt: skip
    assert " ".join(made.args) == (
        "--quantization fp8 --kv-cache-dtype fp8 --tensor-parallel-size 2 --data-parallel-size 4"
    )
    made = plan(engine="vllm", release="0.8.0", gpu="H100", gpus=8, served=served(**LLAMA))
    assert made.args == ("--tensor-parallel-size", "4")
    assert (
        "0.8.0 has no --data-parallel-size: start 2 servers" in reason(made, "data parallel").reason
    )


def accepted(made):
    """Whether the release takes every setting, by its table alone."""
    here = made.situation
    own = flags_of(here.engine, here.release)
    by_name = {name: flag for flag in own.values() for name in (flag.name, *flag.aliases)}
    for one in made.settings:
        if one.is_flag:
            flag = by_name[one.name]
            assert flag.refusal(one.values) == ""
            assert not flag.values or set(one.values) <= set(flag.values) or flag.takes == "int"
            assert flag.status == ""
        else:
            ours = one.name.startswith(f"{here.engine.upper()}_")
            assert not ours or one.name in variables_of(here.engine, here.release)
        assert one.reason
        assert one.source
        assert one.kind in {"declared", "gated", "measured", "given"}


def sweep(engine, release):
    """Plans of a release over architectures, wishes and goals; what is forbidden is refused."""
    for gpu in {model.arch: name for name, model in models().items()}.values():
        for weights in ("auto", "bf16", "fp8", "int8", "fp4"):
            for model, kv, attention, goal in (
                ({}, "auto", "auto", "throughput"),
                (LLAMA, "fp8", "mha", "latency"),
                ({"parameters": 8e9, "heads": 32, "kv_heads": 8}, "fp4", "mla", "throughput"),
            ):
                wished = served(weights=weights, kv=kv, attention=attention, goal=goal, **model)
                try:
                    yield plan(engine=engine, release=release, gpu=gpu, gpus=8, served=wished)
                except InputError as error:
                    yield error


SWEPT = [
    (engine, release)
    for engine in ENGINES
    for place, release in enumerate(releases(engine))
    if place % 8 == 0 or release == list(releases(engine))[-1] or release in {"0.5.12", "0.5.19"}
]


@pytest.mark.parametrize(("engine", "release"), SWEPT)
def test_nothing_is_set_that_the_release_does_not_take(engine, release):
    made = refused = 0
    for one in sweep(engine, release):
        if isinstance(one, InputError):
            assert one.problems
            refused += 1
        else:
            accepted(one)
            made += 1
    assert made > 20
    assert refused > 50


@pytest.mark.parametrize("engine", ENGINES)
def test_every_release_can_be_adapted_to(engine):
    for release in releases(engine):
        for gpu, torch in (("H200", "2.9.1+cu128"), ("MI300X", "")):
            made = plan(engine=engine, release=release, gpu=gpu, gpus=8, torch=torch,
                        served=served(weights="fp8", attention="mha", **LLAMA))  # fmt: skip
            accepted(made)
            assert made.args


@pytest.mark.parametrize(
    ("situation", "said"),
    [
        pytest.param({"engine": "sglng", "release": "0.5.23", "gpu": "H200"},
                     "engine `sglng`: did you mean `sglang`?", id="engine"),
        pytest.param({"engine": "sglang", "release": "0.5.221", "gpu": "H200"},
                     "sglang 0.5.221: no flags of such a release are known; the newest known is "
                     "0.5.23; `sync` adds releases, `--source` reads a wheel", id="newer"),
        pytest.param({"engine": "sglang", "release": "0.5.12.post7", "gpu": "H200"},
                     "sglang 0.5.12.post7: no flags of such a release are known; "
                     "did you mean `0.5.12.post1`?", id="release"),
        pytest.param({"engine": "sglang", "gpu": "H200"},
                     "sglang is not installed here, so name a release; "
                     "the newest known is 0.5.23", id="none"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "H2000"},
                     "GPU `H2000` is not known; did you mean `H200`?", id="gpu"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "A100"},
                     "GPU `A100` is not known; name one of A100-40GB, A100-80GB", id="which-gpu"),
        pytest.param({"engine": "sglang", "release": "0.5.23"}, "no GPU is named", id="no-gpu"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "H200", "gpus": 0},
                     "GPUs: 1 to 4096, got 0", id="gpus"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "H200", "torch": "2.14"},
                     "torch `2.14` is not known; did you mean `2.14.0`?", id="torch"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "H200",
                      "torch": "2.11.0+cu133"},
                     "torch 2.11.0 has no build `cu133`; did you mean `cu130`?", id="build"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "MI300X",
                      "torch": "2.11.0+cu130"},
                     "torch `2.11.0+cu130` is built for cuda, the GPU is of rocm", id="vendor"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "H200",
                      "served": served(weights="fb8")}, "dtype `fb8`: did you mean `fp8`?",
                     id="dtype"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "H200",
                      "served": served(heads=5, kv_heads=2)},
                     "5 heads do not share 2 KV heads evenly", id="heads"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "MI250",
                      "served": served(weights="fp8")},
                     "fp8 weights on MI250 (gfx90a) with sglang 0.5.23: no FP8 in its matrix "
                     "cores; torch reports capability 9.0 and so it passes checks that are meant "
                     "for NVIDIA (gated; source: vllm platforms/rocm.py supports_fp8; sglang "
                     "srt/model_loader/loader.py); use `bf16`", id="MI250-has-no-fp8"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "L40S",
                      "torch": "2.4.1+cu121", "served": served(weights="fp8")},
                     "fp8 weights on L40S (sm_89) with sglang 0.5.23: not on sm_89; CUDA 12.1, at "
                     "least 12.4 is needed (gated; source: matrix/facts/gates.toml); use `bf16`",
                     id="toolkit"),
        pytest.param({"engine": "sglang", "release": "0.4.0", "gpu": "H200",
                      "served": served(weights="fp8")},
                     "fp8 weights on H200 (sm_90) with sglang 0.4.0: CUDA is not known, at least "
                     "12.0 is needed (say `--torch`) (gated; source: sglang srt/layers/"
                     "quantization/fp8_utils.py cutlass_fp8_supported, read in 0.4.6, 0.5.12, "
                     "0.5.23)", id="torch-not-known"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "H200",
                      "served": served(weights="fp4")},
                     "fp4 weights on H200 (sm_90) with sglang 0.5.23: sm_90 has no FP4 in its "
                     "matrix units (gated; source: pytorch aten/src/ATen/native/cuda/"
                     "ScaledBlas.cpp); use `fp8`", id="fp4"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "A100-80GB",
                      "served": served(kv="fp8")},
                     "fp8 KV cache on A100-80GB (sm_80): no FP8 in its tensor cores (gated; "
                     "source: NVIDIA CUDA GPUs page)", id="kv"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "H100",
                      "served": served(parameters=405e9)},
                     "405 billion parameters of 1 byte are 377 GiB: 377 GiB on each of one H100, "
                     "whose 80 GiB can hold 56 of weights; more GPUs", id="memory"),
        pytest.param({"engine": "sglang", "release": "0.5.23", "gpu": "H200",
                      "served": served(cache="a\nB=1")},
                     "the cache folder's name has characters that are not printable", id="lines"),
    ],
)  # fmt: skip
def test_what_is_not_known_or_not_possible_is_refused(situation, said):
    assert problems(**situation) == [said]


def test_all_mistakes_are_told_at_once():
    found = problems(engine="sglang", release="0.6.0", gpu="H1", torch="9.9",
                     served=served(goal="speed", kv="bf16"))  # fmt: skip
    assert len(found) == 5


def test_a_model_that_fits_only_in_fp8_gets_it_and_is_told():
    made = plan(engine="sglang", release="0.5.23", gpu="H100", gpus=1,
                served=served(parameters=34e9))  # fmt: skip
    assert made.args[:2] == ("--quantization", "fp8")
    assert reason(made, "quantization").reason.startswith("two bytes for a parameter do not fit;")
    assert problems(engine="sglang", release="0.5.23", gpu="A100-80GB",
                    served=served(parameters=34e9))[0].startswith("34 billion")  # fmt: skip


@pytest.mark.parametrize(
    ("heads", "kv_heads", "gpus", "tp"),
    [
        pytest.param(64, 8, 8, "8", id="all"),
        pytest.param(28, 4, 8, "4", id="28-heads-do-not-divide-by-8"),
        pytest.param(40, 8, 8, "8", id="40"),
        pytest.param(64, 8, 6, "2", id="three-of-64-is-no-group"),
        pytest.param(32, 2, 8, "8", id="kv-heads-are-repeated"),
        pytest.param(36, 12, 8, "4", id="12-kv-heads-and-8-ranks-do-not-share"),
    ],
)
def test_tensor_parallel_sizes_divide_heads_and_gpus(heads, kv_heads, gpus, tp):
    made = plan(engine="sglang", release="0.5.23", gpu="H200", gpus=gpus,
                served=served(heads=heads, kv_heads=kv_heads, goal="latency"))  # fmt: skip
    assert reason(made, "tensor parallel").values == (tp,)


def test_torch_is_what_the_release_requires_unless_it_is_named():
    pinned = plan(engine="sglang", release="0.5.23", gpu="H200").situation.torch
    assert (pinned.version, pinned.toolkit) == ("2.14.1", "13.0")
    named = plan(engine="sglang", release="0.5.23", gpu="H200", torch="2.13.0+cu126").situation
    assert (named.torch.version, named.torch.toolkit) == ("2.13.0", "12.6")
    amd = plan(engine="sglang", release="0.5.23", gpu="MI300X")
    assert amd.situation.torch.version == ""
    assert reason(amd, "quantization").kind == "declared"


# --- the user's own flags -------------------------------------------------------------------------


def given(*words, **more):
    made = {"engine": "sglang", "release": "0.5.23", "gpu": "H200", "gpus": 8, **more}
    return plan(**made, given=words)


def test_the_users_flags_win_for_a_whole_choice():
    made = given("--tp", "4", "--kv-cache-dtype=fp8_e5m2")
    words = " ".join(made.args)
    assert "--tp-size 4" in words
    assert "--kv-cache-dtype fp8_e5m2" in words
    assert "--dp-size" not in words
    left = {one.choice: one.reason for one in made.left}
    assert left["tensor parallel"] == "`--tp-size 4` is given"
    assert left["data parallel"] == "`--tp-size 4` is given, so not `--dp-size 2`"


def test_the_graph_default_follows_the_users_ranks():
    assert "--cuda-graph-max-bs-decode 256" in " ".join(given("--tp-size", "2").args)
    assert "--cuda-graph-max-bs-decode 512" in " ".join(given("--tp-size", "4").args)


def test_a_quantization_of_the_users_has_a_size_that_nobody_knows():
    made = given("--quantization", "awq", gpu="H100", gpus=1, served=served(parameters=70e9))
    assert made.args[-2:] == ("--quantization", "awq")
    assert "fp8" not in made.args


def test_speculative_decoding_leaves_attention_to_the_engine():
    assert "--attention-backend" not in given("--speculative-algorithm", "EAGLE").args


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--torchao-config", "int8dq"],
         "`--torchao-config` is no flag of sglang 0.5.23: it was last in 0.5.17; use `--quant"),
        (["--cuda-graph-max-bs", "64"],
         "`--cuda-graph-max-bs` is no flag of sglang 0.5.23: it was last in 0.5.19; use `--cuda"),
        (["--attention-backnd", "fa3"],
         "`--attention-backnd` is no flag of sglang 0.5.23; did you mean `--attention-backend`?"),
        (["--attn", "3"], "`--attn` is no flag of sglang 0.5.23; it could be `--attn-cp-size`"),
        (["--quantization", "fp9"], "`--quantization` does not take `fp9`; it takes awq, fp8"),
        (["--tp-size", "two"], "`--tp-size` takes a whole number, got `two`"),
        (["8"], "`8` is no flag of sglang 0.5.23"),
    ],
)  # fmt: skip
def test_flags_that_the_release_does_not_take(words, said):
    with pytest.raises(InputError) as caught:
        given(*words)
    (problem,) = caught.value.problems
    assert problem.startswith(said)


def test_a_flag_of_later_releases_says_with_which_it_comes():
    with pytest.raises(InputError, match=r"it comes with 0\.5\.14"):
        given("--cuda-graph-max-bs-decode", "8", release="0.5.12")


def test_deprecated_flags_are_told():
    made = given("--disable-cuda-graph")
    assert "the release calls it deprecated, in favour of" in made.settings[-1].reason


def test_vllm_knows_no_abbreviations():
    with pytest.raises(InputError, match="it could be"):
        given("--tensor-par", "2", engine="vllm", release="0.33.0")


# --- evidence -------------------------------------------------------------------------------------


def results(folder, features=(), workloads=()):
    for name, header, rows in (
        ("features", FEATURES, features),
        ("workloads", WORKLOADS, workloads),
    ):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([header, *rows])
    return folder


def outcome(verdict, torch="2.11.0", gpu="NVIDIA H200"):
    column = f"torch{torch}-cu130-py3.12 @docker"
    return ["fp8-scaled-mm", column, verdict, gpu, "20261123T001418Z-3f2908"]


def fp8(folder, release="0.5.12"):
    return plan(engine="sglang", release=release, gpu="H200", results=folder,
                served=served(weights="fp8"))  # fmt: skip


def test_a_measured_pass_makes_the_statement_measured(tmp_path):
    found = reason(fp8(results(tmp_path, [outcome("pass")])), "quantization")
    assert found.kind == "measured"
    assert "run 20261123T001418Z-3f2908" in found.source


@pytest.mark.parametrize("verdict", ["wrong", "fail", "crash", "unsupported"])
def test_a_measured_failure_forbids_what_a_gate_allows(tmp_path, verdict):
    folder = results(tmp_path, [outcome("pass", torch="2.12.0"), outcome(verdict)])
    with pytest.raises(InputError, match=f"was measured as {verdict}"):
        fp8(folder)


@pytest.mark.parametrize("verdict", ["skip", "not measured", "infra", "not-run"])
def test_what_is_no_outcome_is_no_evidence(tmp_path, verdict):
    found = reason(fp8(results(tmp_path, [outcome(verdict)])), "quantization")
    assert found.kind == "gated"


def test_another_torch_or_gpu_is_no_evidence(tmp_path):
    folder = results(tmp_path, [outcome("fail", gpu="NVIDIA L40S"), outcome("pass")])
    found = reason(fp8(folder, release="0.5.23"), "quantization")
    assert found.kind == "gated"
    assert "not measured on H200 with torch 2.14.1 (newest there: torch 2.11.0, pass)" in (
        found.reason
    )


def steps(times, torch="2.14.1"):
    column = f"torch{torch}-cu130-py3.12"
    return [
        ["decode-step", f"batch={batch} hidden=2048 layers=8 mode={mode}", "time", column, "value",
         seconds, "NVIDIA H200", "r1"]
        for batch, (eager, graph) in times.items()
        for mode, seconds in (("eager", eager), ("graph", graph))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("times", "batch", "kind"),
    [
        pytest.param({1: (9, 1), 64: (9, 2), 256: (9, 9), 768: (30, 30)}, "64", "measured",
                     id="cut-to-what-pays"),
        pytest.param({1: (9, 1), 8: (9, 2)}, "256", "declared", id="larger-ones-not-measured"),
        pytest.param({1: (9, 1), 256: (9, 2), 768: (9, 9)}, "256", "declared",
                     id="never-above-the-default"),
        pytest.param({}, "256", "declared", id="not-measured"),
    ],
)  # fmt: skip
def test_graphs_are_cut_to_the_sizes_that_pay(tmp_path, times, batch, kind):
    folder = results(tmp_path, workloads=steps(times))
    found = reason(plan(engine="sglang", release="0.5.23", gpu="H200", results=folder),
                   "cuda graphs")  # fmt: skip
    assert (found.values, found.kind) == ((batch,), kind)


def test_graphs_of_another_torch_cut_nothing(tmp_path):
    folder = results(tmp_path, workloads=steps({1: (9, 1), 64: (9, 9)}, torch="2.11.0"))
    found = reason(plan(engine="sglang", release="0.5.23", gpu="H200", results=folder),
                   "cuda graphs")  # fmt: skip
    assert found.values == ("256",)
    assert "not measured" in found.reason


@pytest.mark.parametrize(
    ("compiled", "kind", "args"),
    [(2.0, "measured", ("--enable-torch-compile",)), (3.99, "measured", ()), (None, "unknown", ())],
)
def test_torch_compile_only_where_it_was_faster_than_graphs(tmp_path, compiled, kind, args):
    column = "torch2.14.1-cu130-py3.12"
    times = {"graph": 4.0, "graph, compiled": compiled, "graph, fp8": 1.0}
    lines = [["decoder", f"mode={mode}", "time", column, "value", seconds, "NVIDIA H200", "r1"]
             for mode, seconds in times.items() if seconds]  # fmt: skip
    made = plan(engine="sglang", release="0.5.23", gpu="H200",
                results=results(tmp_path, workloads=lines))  # fmt: skip
    assert reason(made, "torch.compile").kind == kind
    assert tuple(a for a in made.args if a == "--enable-torch-compile") == args


def test_no_results_are_no_evidence(tmp_path):
    assert reason(fp8(tmp_path / "missing"), "quantization").kind == "gated"


# --- a checked machine ----------------------------------------------------------------------------


def check(*gpus, torch=None, packages=None):
    return {"gpus": list(gpus), "torch": torch or {}, "packages": packages or {}}


H200 = {"name": "NVIDIA H200", "capability": "9.0", "memory_gib": 140.4}


def test_a_checked_machine_gives_gpus_torch_and_release():
    found = check(H200, H200, torch={"version": "2.11.0+cu130", "cuda": "13.0", "hip": None},
                  packages={"SGLang": "0.5.12"})  # fmt: skip
    here = plan(engine="sglang", check=found).situation
    assert (here.release, here.gpu, here.gpus, here.memory) == ("0.5.12", "H200", 2, 143770)
    assert (here.torch.version, here.torch.toolkit) == ("2.11.0", "13.0")


def printed(*gpus, installed=True, loaded=None, vendor="cuda"):
    """What the command `check --json` prints of a machine with these GPUs."""
    torch = {"torch": Package(name="torch", version="2.11.0+cu130")} if installed else {}
    devices = {vendor: HostDevices(driver="580.1", names=(), gpus=gpus)}
    machine = Machine(devices=devices, packages=torch, loaded=loaded)
    page = checkpage.Page(machine=machine, findings=(), error_given=False, annotations=(),
                          nearest=None)  # fmt: skip
    return json.loads(json.dumps(checkpage.as_json(page), default=str))


def test_what_check_prints_is_read():
    """The two commands agree on the form, also where torch could not be loaded."""
    card = Gpu(uuid="GPU-1", index=0, name="NVIDIA H200", memory=150754820096, arch="sm_90")
    for loaded in (None, Loaded(version="2.11.0+cu130", cuda="13.0")):
        here = plan(engine="sglang", release="0.5.12", check=printed(card, card, loaded=loaded))
        here = here.situation
        assert (here.gpu, here.gpus, here.memory) == ("H200", 2, 143771)
        assert (here.torch.version, here.torch.toolkit) == ("2.11.0", "13.0")


def test_a_machine_whose_driver_tells_no_memory():
    """The kernel module's files name the model; the rest is known of it."""
    card = Gpu(uuid="GPU-1", index=0, name="NVIDIA H200")
    here = plan(engine="sglang", release="0.5.12", check=printed(card)).situation
    assert (here.gpu, here.architecture.arch, here.memory) == ("H200", "sm_90", 141 * 1024)


def test_an_amd_card_without_torch():
    card = Gpu(uuid="GPU-1", index=0, name="gfx90a", memory=64 << 30, arch="gfx90a")
    made = plan(
        engine="sglang", release="0.5.23", check=printed(card, installed=False, vendor="rocm")
    )
    assert made.situation.torch.version == ""
    assert made.args == ("--attention-backend", "triton", "--cuda-graph-max-bs-decode", "256")


def test_a_gpu_without_a_known_name_is_known_by_its_architecture():
    card = {"name": "AMD Instinct MI399", "arch": "gfx942", "memory_gib": 128}
    here = plan(engine="sglang", release="0.5.23", check=check(card)).situation
    assert (here.gpu, here.architecture.arch, here.memory) == (
        "AMD Instinct MI399",
        "gfx942",
        131072,
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (check(), "the checked machine has no GPU"),
        (check(H200, {**H200, "name": "NVIDIA L40S"}),
         "the checked machine has GPUs of several kinds; name one of them"),
        (check({"name": "X", "arch": "gfx999", "memory_gib": 9}),
         "GPU `X` of architecture `gfx999` is not known"),
        (check({"name": "X", "capability": "9.0"}), "the memory of GPU `X` is not known"),
    ],
)  # fmt: skip
def test_a_checked_machine_that_says_too_little(found, said):
    assert problems(engine="sglang", release="0.5.23", check=found) == [said]


# --- text -----------------------------------------------------------------------------------------


def test_yaml_is_the_engines_config_file():
    made = plan(engine="sglang", release="0.5.23", gpu="H100", gpus=8, served=served(**LLAMA),
                given=["--cuda-graph-bs-decode", "1", "2", "--trust-remote-code"])  # fmt: skip
    assert yaml.safe_load(FORMATS["yaml"](made)) == {
        "attention-backend": "fa3",
        "tp-size": 4,
        "dp-size": 2,
        "cuda-graph-bs-decode": [1, 2],
        "trust-remote-code": True,
    }
    with pytest.raises(InputError, match="has no `--config`"):
        FORMATS["yaml"](plan(engine="sglang", release="0.4.0", gpu="H200"))


@pytest.mark.parametrize(("gpu", "key"), [("H200", "deploy"), ("MI300X", "devices")])
def test_compose_gives_the_gpus(gpu, key):
    made = plan(engine="sglang", release="0.5.23", gpu=gpu, gpus=8,
                given=["--chat-template", "a $HOME 'b'"])  # fmt: skip
    service = yaml.safe_load(FORMATS["compose"](made))["services"]["sglang"]
    assert key in service
    assert service["command"][-2:] == ["--chat-template", "a $$HOME 'b'"]
    assert service.get("environment", {}) == made.env


def test_lines_for_shells():
    made = plan(engine="sglang", release="0.5.23", gpu="H200", served=served(cache="/c"),
                given=["--chat-template", "a b"])  # fmt: skip
    assert FORMATS["args"](made).endswith("--chat-template 'a b'\n")
    assert FORMATS["env"](made).splitlines()[0] == (
        "TORCHINDUCTOR_CACHE_DIR=/c/sglang0.5.23-torch2.14.1-cuda13.0-sm_90/inductor"
    )


# --- facts ----------------------------------------------------------------------------------------


def test_every_model_has_a_known_architecture_and_its_names_find_it():
    assert {model.arch for model in models().values()} <= set(architectures())
    assert all(find_model(name) == model for name, model in models().items())
    assert find_model("NVIDIA H100 80GB HBM3") == models()["H100"]
    assert find_model("AMD Instinct MI300X") == models()["MI300X"]


def test_fp8_of_amd():
    fp8_of = {name: architectures()[name].fp8 for name in ("gfx90a", "gfx942", "gfx950")}
    assert fp8_of == {"gfx90a": "", "gfx942": "e4m3fnuz", "gfx950": "e4m3fn"}
    assert architectures()["gfx90a"].capability == architectures()["sm_90"].capability


def test_every_gate_can_hold_somewhere():
    for gate in gates():
        assert gate.why
        assert gate.source
        for pattern in gate.arch:
            assert any(fnmatchcase(name, pattern) for name in architectures()), gate
        if gate.names[0].startswith("--"):
            named = [one.flag for one in stretches(gate.engine) if one.flag.name == gate.names[0]]
            assert any(gate.value in flag.values for flag in named), gate
        elif gate.names[0].startswith(gate.engine.upper()):
            assert gate.names[0] in variables_of(gate.engine, list(releases(gate.engine))[-1])


def test_graph_tables_reach_every_size():
    for release in releases("sglang"):
        table = graph_defaults("sglang", release)
        assert not table or max(row.memory_below for row in table) == 10**9
