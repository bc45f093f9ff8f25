"""Each broken stand-in gets the right verdict for what it breaks, and changes no other feature's.

The real feature tests run under the real supervisor in the interpreter that runs this. To save
time several mutants share a run, but each mutant is in two runs that have nothing else in common:
what is seen in both is its own work, and what it did to another's feature shows in the run where
the other one is not.
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


QUICK = ("test_matmul.py", "test_fp8.py", "test_loading.py", "test_device.py")
GROUPS = {
    "numbers": Group(
        tests=(*QUICK, "test_interop.py", "test_attention.py", "test_determinism.py",
               "test_distributed.py::test_gloo"),
        only="not flex and not lower_right",  # torch compares sdpa by identity there
        grid=(
            ("scale-ignored", "last-row-unwritten", "mask-ignored", "exchange-copies"),
            ("one-nan", "integers-saturate", "weights-only-ignored", "not-deterministic"),
            ("next-expert", "device-miscounted", "rank-left-out", "shortest-part-lost"),
            ("another-type", "unsafe-by-default", "accelerator-denied", "numpy-does-not-import"),
        ),
    ),
    "processes": Group(
        tests=QUICK,
        grid=(("segfault", "hang"), ("silent-exit", "out-of-memory")),
        test_timeout=10.0,
    ),
    "compiled": Group(
        tests=("test_compile.py::test_dynamic", "test_custom_ops.py::test_custom_op"),
        grid=(("result-of-before",), ("fake-of-another-shape",)),
    ),
    "device": Group(
        tests=(*QUICK, "test_graphs.py::test_replay"),
        grid=(("graph-replayed-once",), ("illegal-access",)),
    ),
}  # fmt: skip
NEEDS_DEVICE = {"device"}


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
        "env": {"MATRIX_MUTANTS": ",".join(names), "OMP_NUM_THREADS": "1"},
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
    """The two runs (or more) that a mutant is in."""
    for label, group in GROUPS.items():
        yield from ((label, names) for names in group.runs if name in names)


def applicable(label: str) -> bool:
    """Whether the machine has what a group needs."""
    return label not in NEEDS_DEVICE or torch.cuda.is_available()


@pytest.fixture(scope="session")
def seen(tmp_path_factory) -> Mapping[tuple[str, tuple[str, ...]], Future]:
    """All runs, two at a time, in the order in which the tests ask for them."""
    folder = tmp_path_factory.mktemp("mutants")
    with ThreadPoolExecutor(2) as pool:
        yield {
            (label, names): pool.submit(run_of, group, names, folder / f"{label}-{number}")
            for label, group in GROUPS.items()
            if applicable(label)
            for number, names in enumerate(group.runs)
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
    """The reference: torch as it is."""
    if not applicable(label):
        pytest.skip("needs a CUDA or ROCm device; torch finds none here")
    reference = seen[label, ()].result()
    assert reference
    assert not {name: v for name, v in reference.items() if v not in FINE}


@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_a_mutant_breaks_its_features_alone(seen, name):
    """Each run it is in changes exactly what its mutants break."""
    places = [place for place in runs_of(name) if applicable(place[0])]
    if not places:
        pytest.skip("needs a CUDA or ROCm device; torch finds none here")
    for label, names in places:
        reference = seen[label, ()].result()
        expected = {
            feature: verdict
            for other in names
            for feature, verdict in mutants.MUTANTS[other].breaks.items()
            if reference.get(feature, "skip") == "pass"
        }
        assert changed(seen[label, names].result(), reference) == expected, names
