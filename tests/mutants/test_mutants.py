"""Each broken stand-in gets the right verdict for what it breaks, and changes no other feature's.

The real feature tests run under the real supervisor in the interpreter that runs this. To save
time several mutants share a run, but each mutant is alone in one, or in two runs that have nothing
else in common: what is seen in both is its own work, and what it did to another's feature shows in
the run where the other one is not.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import mutants
import pytest
import torch

HERE = Path(__file__).resolve().parent
FEATURE = HERE.parent / "feature"
FINE = {"pass", "unsupported", "skip"}
# worst first: the verdict of a feature is that of its worst test
ORDER = ("wrong", "crash", "timeout", "oom", "fail", "not-run", "unsupported", "skip", "pass")


@dataclass(frozen=True)
class Group:
    """Mutants in a grid, whose rows and columns are the runs, and the tests that these run."""

    tests: tuple[str, ...]
    grid: tuple[tuple[str, ...], ...]
    only: str = ""  # as pytest's -k
    test_timeout: float = 300.0

    @property
    def runs(self) -> tuple[tuple[str, ...], ...]:
        """Names of the mutants of each run; the first run has none."""
        columns = zip(*self.grid, strict=True)
        return tuple(dict.fromkeys(((), *self.grid, *columns)))


GROUPS = {
    "numbers": Group(
        tests=(
            "test_matmul.py", "test_scaled_mm.py", "test_quantization.py", "test_loading.py",
            "test_device.py", "test_interop.py", "test_attention.py", "test_determinism.py",
        ),
        # these need a capability, and torch looks it up only of devices that it counts
        only="not test_mx and not test_nvfp4",
        grid=(
            ("scale-ignored", "last-row-unwritten", "mask-ignored", "exchange-copies",
             "weights-only-ignored"),
            ("one-nan", "integers-saturate", "not-deterministic", "another-module",
             "shortest-part-lost"),
            ("another-type", "next-expert", "numpy-does-not-import", "unsafe-by-default",
             "accelerator-denied"),
        ),
    ),
    "ranks": Group(
        tests=("test_distributed.py::test_gloo", "test_matmul.py"),
        grid=(("rank-left-out",),),
    ),
    "processes": Group(  # a test that ends its process has others before and behind it
        tests=(
            "test_matmul.py::test_matmul",
            "test_quantization.py::test_int8", "test_quantization.py::test_int8_weight",
            "test_scaled_mm.py::test_per_tensor", "test_scaled_mm.py::test_public",
            "test_loading.py::test_loads_tensors", "test_loading.py::test_safetensors",
            "test_matmul.py::test_grouped_mm", "test_matmul.py::test_public_grouped_mm",
            "test_attention.py::test_gqa",
        ),
        grid=(("segfault", "hang"), ("silent-exit", "out-of-memory")),
        test_timeout=10.0,
    ),
    "compiled": Group(
        tests=(
            "test_compile.py::test_compile", "test_compile.py::test_automatic_dynamic",
            "test_custom_ops.py::test_custom_op", "test_custom_ops.py::test_opcheck",
        ),
        grid=(("result-of-before",), ("fake-of-another-shape",)),
    ),
    "no device": Group(
        tests=("test_device.py", "test_matmul.py::test_matmul"),
        grid=(("device-miscounted",),),
    ),
    "a device": Group(
        tests=(
            "test_graphs.py::test_replay", "test_graphs.py::test_gemm",
            "test_quantization.py::test_int8", "test_matmul.py::test_matmul",
        ),
        grid=(("graph-replayed-once",), ("illegal-access",)),
    ),
}  # fmt: skip
NEEDS = {"a device": True, "no device": False}  # of the other groups any machine will do


def run_of(group: Group, names: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Verdict by feature of the group's tests with these mutants."""
    folder.mkdir(parents=True)
    job = {
        "suite": "feature",
        "tests": [str(FEATURE / name) for name in group.tests],
        "out": str(folder / "out"),
        "test_timeout": group.test_timeout,
        "pytest_args": ["-k", group.only] if group.only else [],
        "compile_cache": str(folder.parent / "compiled"),  # what is broken is not the compiler
        "env": {
            "MATRIX_MUTANTS": ",".join(names),
            "OMP_NUM_THREADS": "1",
            # kernels alone: graphs are found again whatever an operator's fake says by then
            "TORCHINDUCTOR_AUTOGRAD_CACHE": "0",
            "TORCHINDUCTOR_FX_GRAPH_CACHE": "0",
        },
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-m", "matrix.inside.supervise", folder / "job.json", "--no-tether"]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, check=True, timeout=900)
    verdicts: dict[str, str] = {}
    for line in (folder / "out" / "outcomes.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "outcome":
            name = event["feature"] or event["id"]
            verdicts[name] = min(verdicts.get(name, "pass"), event["verdict"], key=ORDER.index)
    return verdicts


def runs_of(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The runs that a mutant is in: two, or the one where it is alone."""
    for label, group in GROUPS.items():
        yield from ((label, names) for names in group.runs if name in names)


def applicable(label: str) -> bool:
    """Whether the machine has what a group needs."""
    return NEEDS.get(label, torch.cuda.is_available()) == torch.cuda.is_available()


@pytest.fixture(scope="session")
def seen(tmp_path_factory) -> Mapping[tuple[str, tuple[str, ...]], Future]:
    """All runs, two at a time; the references first, so that others find what these compiled."""
    folder = tmp_path_factory.mktemp("mutants")
    places = [
        (label, number, names)
        for label, group in GROUPS.items()
        if applicable(label)
        for number, names in enumerate(group.runs)
    ]
    with ThreadPoolExecutor(2) as pool:
        yield {
            (label, names): pool.submit(run_of, GROUPS[label], names, folder / f"{label}-{number}")
            for label, number, names in sorted(places, key=lambda place: place[1] > 0)
        }
        pool.shutdown(cancel_futures=True)


def changed(verdicts: Mapping[str, str], reference: Mapping[str, str]) -> dict[str, str]:
    """Features whose verdict differs, those that are in one run only among them."""
    names = {**reference, **verdicts}
    after = {name: verdicts.get(name, "absent") for name in names}
    return {name: verdict for name, verdict in after.items() if verdict != reference.get(name)}


def test_runs_prove_what_they_should():
    """Every mutant is in a grid, and mutants of one run break different features."""
    placed = [name for group in GROUPS.values() for row in group.grid for name in row]
    assert sorted(placed) == sorted(mutants.MUTANTS)
    for group in GROUPS.values():
        for names in group.runs:
            broken = [feature for name in names for feature in mutants.MUTANTS[name].breaks]
            assert len(broken) == len(set(broken)), names


@pytest.mark.parametrize("label", GROUPS)
def test_nothing_is_wrong_without_mutants(seen, label):
    """The reference is torch as it is; on a device, where it has faults, what mutants break."""
    if not applicable(label):
        pytest.skip(f"needs a machine with {label}")
    reference = seen[label, ()].result()
    broken = {
        feature
        for names in GROUPS[label].runs
        for name in names
        for feature in mutants.MUTANTS[name].breaks
    }
    assert broken <= reference.keys()
    looked_at = broken if torch.cuda.is_available() else reference
    assert not {name: reference[name] for name in looked_at if reference[name] not in FINE}


@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_a_mutant_breaks_its_features_alone(seen, name):
    """Each run it is in changes exactly what its mutants break."""
    labels = {label for label, _ in runs_of(name)}
    places = [place for place in runs_of(name) if applicable(place[0])]
    if not places:
        pytest.skip(f"needs a machine with {' or '.join(labels)}")
    for label, names in places:
        reference = seen[label, ()].result()
        broken = {
            feature: verdict
            for other in names
            for feature, verdict in mutants.MUTANTS[other].breaks.items()
        }
        assert broken.keys() <= reference.keys(), "the group runs every feature that is named"
        expected = {key: verdict for key, verdict in broken.items() if reference[key] == "pass"}
        assert expected.keys() & mutants.MUTANTS[name].breaks.keys(), "something is there to break"
        assert changed(seen[label, names].result(), reference) == expected, names
