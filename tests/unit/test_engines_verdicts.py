"""A build step that failed is evidence only where the cell is to blame."""

import pytest

from matrix.engines.builder import BuildRefused, StepFailed, failed_step
from matrix.engines.verdicts import verdict

UV = "[stage-1 5/10] RUN --mount=… /run/build/uv pip install --no-deps -r /run/build/locks/t.txt"
APT = """[stage-1 3/10] RUN set -eu; include="$(python3.11 -c 'print(get_path("include"))')"; …"""
VENV = "[stage-1 4/10] RUN /run/build/uv venv --python 3.12 /opt/venv"
IMPORT = "[stage-1 7/10] RUN cd $(python -c 'import sysconfig') && python -c 'import torch'"
BASE = "own/python:1 sha256:abc"


@pytest.mark.parametrize(
    ("step", "code", "words", "expected", "said"),
    [
        pytest.param(IMPORT, 1, ("Traceback", "ImportError: libc too old"), "build-failed",
                     "Traceback ImportError: libc too old", id="torch-does-not-import"),
        pytest.param(UV, 1, ("× Failed to build `x==1`", "error: gcc"), "build-failed",
                     "× Failed to build `x==1` error: gcc", id="a-package-does-not-build"),
        pytest.param(UV, 2, ("error: Request failed after 3 retries", "Caused by: dns error"),
                     "infra", "the indexes cannot be reached from a build: error: Request failed "
                     "after 3 retries Caused by: dns error", id="no-network"),
        pytest.param(UV, 1, ("× No solution found when resolving dependencies:",
                             "Because there is no version of numpy==2.4.6"), "infra",
                     "a build does not find what the lock found on this machine: × No solution "
                     "found when resolving dependencies: Because there is no version of "
                     "numpy==2.4.6", id="an-index-that-containers-do-not-see"),
        pytest.param(UV, 2, ("No space left on device (os error 28)",), "infra",
                     "the engine's disk is full: No space left on device (os error 28); "
                     "`docker system df` says of what", id="no-disk"),
        pytest.param(IMPORT, 137, (), "infra",
                     "a build step was killed, perhaps for memory: it ended with code 137",
                     id="killed"),
        pytest.param(APT, 127, ("/bin/sh: 1: python3.11: not found",), "infra",
                     f"the base {BASE} lacks this cell's Python: /bin/sh: 1: python3.11: not "
                     "found; name another one in [images]", id="no-python"),
        pytest.param(VENV, 2, ("error: No interpreter found for Python 3.12 in python search",),
                     "infra", f"the base {BASE} lacks this cell's Python: error: No interpreter "
                     "found for Python 3.12 in python search; name another one in [images]",
                     id="another-python"),
        pytest.param(APT, 100, ("E: Unable to locate package g++",), "infra",
                     f"the base {BASE} has no compiler, and the build could not fetch one: E: "
                     "Unable to locate package g++; name a base that has g++ and Python's headers "
                     "in [images]", id="no-mirror"),
        pytest.param("[2/9] RUN useradd --uid 10001 matrix", 9, ("useradd: user exists",), "infra",
                     f"the base {BASE} cannot be built on: useradd: user exists", id="account"),
    ],
)  # fmt: skip
def test_the_step_and_its_last_words_decide(step, code, words, expected, said):
    assert verdict(StepFailed(step, words, code), BASE) == (expected, said)


def test_a_long_end_is_cut_where_it_starts():
    found, reason = verdict(StepFailed(IMPORT, ("x" * 900, "the end"), 1), BASE)
    assert found == "build-failed"
    assert reason.startswith("… x")
    assert reason.endswith("the end")
    assert len(reason) < 510


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param("executor failed running [/bin/sh -c x]: exit code: 37", 37, id="20.10"),
        pytest.param('process "/bin/sh -c x" did not complete successfully: exit code: 37', 37,
                     id="28"),
        pytest.param("The command '/bin/sh -c x' returned a non-zero code: 37", 37, id="classic"),
    ],
)  # fmt: skip
def test_every_builders_words_for_a_failed_step_are_known(error, code):
    failed = failed_step(error, "RUN x", ("last",))
    assert isinstance(failed, StepFailed)
    assert (failed.code, failed.words) == (code, ("last",))


def test_what_names_no_code_blames_no_step():
    failed = failed_step("failed to do request: dial tcp: lookup x:\n no such host", "", ())
    assert isinstance(failed, BuildRefused)
    assert str(failed) == "failed to do request: dial tcp: lookup x: no such host"
