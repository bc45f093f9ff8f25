"""From an exception to a verdict."""

import pytest

from matrix.inside.marks import Refusal
from matrix.inside.numerics import WrongNumbers
from matrix.inside.verdicts import Verdict, describe, of_error, of_skip

REFUSALS = (Refusal("NotImplementedError", r"no kernel for \w+", "the docs"),)


class OutOfMemoryError(RuntimeError):
    """As torch.cuda.OutOfMemoryError is called."""


class MissingKernelError(NotImplementedError):
    """A subclass of what is declared."""


class UnprintableError(Exception):
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "phase", "verdict"),
    [
        pytest.param(NotImplementedError("no kernel for xpu"), "call", "unsupported", id="refused"),
        pytest.param(MissingKernelError("no kernel for xpu"), "call", "unsupported", id="subclass"),
        pytest.param(NotImplementedError("no kernel for xpu"), "setup", "fail", id="not in setup"),
        pytest.param(NotImplementedError("no idea"), "call", "fail", id="other message"),
        pytest.param(RuntimeError("no kernel for xpu"), "call", "fail", id="other type"),
        pytest.param(WrongNumbers("x", error=1, tolerance=0), "call", "wrong", id="wrong"),
        pytest.param(AssertionError("x"), "call", "fail", id="assertion"),
        pytest.param(OutOfMemoryError("x"), "setup", "oom", id="device memory"),
        pytest.param(MemoryError(), "call", "oom", id="python memory"),
        pytest.param(
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate"
                " memory: you tried to allocate 8 bytes"
            ),
            "call",
            "oom",
            id="host memory",
        ),
        pytest.param(ValueError("CUDA out of memory"), "call", "fail", id="only words"),
        pytest.param(UnprintableError(), "call", "fail", id="unprintable"),
    ],
)
def test_errors(error: Exception, phase: str, verdict: str) -> None:
    found = of_error(error, phase, REFUSALS)

    assert found.name == verdict
    assert found.reason


def test_a_reason_does_not_end_at_a_colon() -> None:
    """torch.compile says what went wrong in the second line only."""
    error = RuntimeError(
        "backend='inductor' raised:\n\nModuleNotFoundError: No module named 'x'\n\nmore"
    )

    assert describe(error) == (
        "RuntimeError: backend='inductor' raised: ModuleNotFoundError: No module named 'x'"
    )


def test_a_refusal_names_its_source() -> None:
    found = of_error(NotImplementedError("no kernel for xpu" + "!" * 9999), "call", REFUSALS)

    assert found.reason.endswith("(source: the docs)")
    assert len(found.reason) < 400


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [
        pytest.param("no cake", "skip", id="plain"),
        pytest.param("could not import 'nope_x': No module named 'nope_x'", "skip", id="absent"),
        pytest.param("could not import 'json': libfoo.so: cannot open", "fail", id="broken"),
        pytest.param("could not import 'json': No module named 'nope_x'", "fail", id="broken need"),
        pytest.param(
            "could not import 'json.nope': No module named 'json.nope'", "skip", id="older"
        ),
        pytest.param("could not import 'sick.part': whatever", "fail", id="known to be broken"),
    ],
)
def test_skips(reason: str, verdict: str) -> None:
    """A skip may not hide that a package is there but broken."""
    assert of_skip(reason, {"sick": "ImportError: undefined symbol"}).name == verdict


def test_a_skip_always_has_a_reason() -> None:
    assert of_skip("", {}) == Verdict("skip", "skipped without a reason")
