"""What makes two failures one, and what is known about some."""

import pytest

from matrix.signatures import explain, known, normalize, without_places, without_work


@pytest.mark.parametrize("item", known(), ids=lambda item: item.id)
def test_a_pattern_finds_its_own_example_and_no_other(item):
    """Otherwise the cause that is shown would depend on the order of the table."""
    assert [other.id for other in known() if item.pattern.search(other.example)] == [item.id]


@pytest.mark.parametrize("item", known(), ids=lambda item: item.id)
def test_what_is_known_says_cause_fix_and_source_in_a_line_each(item):
    for text in (item.cause, item.fix, item.source, item.example):
        assert text
        assert text == " ".join(text.split())
    assert not item.pattern.search("")


def test_no_two_have_one_id():
    assert len({item.id for item in known()}) == len(known())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param(
            "torch._inductor.exc.InductorError: OSError: CUDA_HOME environment variable is not "
            "set. Please set it to your CUDA install root.",
            "no-cuda-home",
            id="aotinductor-without-a-toolkit",
        ),
        pytest.param(
            "InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx: "
            "(None, 'g++')",
            "no-cpp-compiler",
            id="inductor-without-a-compiler",
        ),
        pytest.param(
            "UserWarning: Failed to initialize NumPy: _ARRAY_API not found (Triggered internally "
            "at ../torch/csrc/utils/tensor_numpy.cpp:84.)",
            "numpy-2",
            id="old-torch-new-numpy",
        ),
        pytest.param(
            "ImportError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.32' not found "
            "(required by /venv/lib/python3.11/site-packages/torch/lib/libc10.so)",
            "glibc-too-old",
            id="old-image",
        ),
        pytest.param(
            "AssertionError: aoti_load.py ended with status 1: RuntimeError: create_func_( "
            "&container_handle_, num_models, device_str.c_str(), nullptr) API call failed at "
            "torch/csrc/inductor/aoti_runner/model_container_runner.cpp, line 129",
            "second-libstdcxx",
            id="package-with-a-c++-library-of-its-own",
        ),
        pytest.param(
            "the process ended by SIGSEGV in the middle of the test: "
            "test_export.py::test_aoti_dynamic Fatal Python error: Segmentation fault",
            "second-libstdcxx",
            id="the-same-in-the-process-itself",
        ),
        pytest.param(
            "RuntimeError: The NVIDIA driver on your system is too old (found version 12040). "
            "Please update your GPU driver by downloading and installing a new version",
            "driver-too-old",
            id="cuda-13-on-driver-550",
        ),
        pytest.param(
            "torch.AcceleratorError: CUDA error: no kernel image is available for execution on "
            "the device\nCUDA kernel errors might be asynchronously reported",
            "no-kernel-image",
            id="arch-not-in-the-build",
        ),
        pytest.param(
            "ImportError: /usr/local/lib/python3.12/dist-packages/sgl_kernel/sm90/common_ops.abi3."
            "so: undefined symbol: _ZNK5torch8autograd4Node4nameB5cxx11Ev",
            "extension-abi",
            id="kernel-wheel-of-another-torch",
        ),
        pytest.param(
            "ImportError: /venv/lib/python3.12/site-packages/torch/lib/libtorch_cuda.so: undefined "
            "symbol: ncclCommShrink",
            "nccl-mixed",
            id="nccl-of-two-majors",
        ),
        pytest.param(
            "ImportError: /usr/local/cuda/lib64/libcusparse.so.12: undefined symbol: "
            "__nvJitLinkAddData_12_1, version libnvJitLink.so.12",
            "cuda-libraries-mixed",
            id="system-toolkit-before-the-wheels",
        ),
        pytest.param(
            "OSError: libnvrtc.so.12: cannot open shared object file: No such file or directory",
            "cuda-major",
            id="cuda-12-package-beside-cuda-13",
        ),
    ],
)
def test_real_texts_are_explained(text, wanted):
    found = explain(text)
    assert found
    assert found.id == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AssertionError: error 0.4 > 0.1",
        "crash: the process ended by SIGSEGV",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)",
        "OSError: libfoo.so: undefined symbol: bar",
    ],
)
def test_what_is_not_known_is_not_explained(text):
    """No guess is better than a wrong cause."""
    assert explain(text) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("at 0x7f3a in", "at 0x55d1deadbeef in", id="addresses"),
        pytest.param(
            "in /tmp/a/b.py line 3", "in /home/x-1/y_2/c.py line 44", id="paths-and-lines"
        ),
        pytest.param("took 3.25 s of 1e-3", "took 11 s of 2.5e+7", id="numbers"),
        pytest.param(
            "GPU-1b4e28ba-2fa1-11d2-883f-0016d3cca427 lost",
            "GPU-9a3f01cc-77ab-4c1e-8b8e-aa16d3cca999 lost",
            id="uuids",
        ),
        pytest.param(
            "kernel cfa7d3b0e5f1a2c4 of", "kernel 00ab34ff99e1bb0c1d2e3f405060708a of", id="hashes"
        ),
        pytest.param(
            "undefined symbol: _ZN3c104warnERKNS_7WarningE",
            "undefined symbol: _ZN2at4_ops5addmmE",
            id="symbols",
        ),
    ],
)
def test_what_differs_by_chance_is_left_out(one, other):
    assert one != other
    assert normalize(one) == normalize(other)
    assert normalize(normalize(one)) == normalize(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("no kernel for sm_90", "no kernel for sm_120", id="architectures"),
        pytest.param("float8_e4m3fn", "float8_e5m2", id="types"),
        pytest.param("TypeError: a", "ValueError: a", id="exceptions"),
        pytest.param("has no attribute 'accelerator'", "has no attribute 'facade'", id="words"),
    ],
)
def test_what_means_something_stays(one, other):
    assert normalize(one) != normalize(other)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            "/tmp/matrix-11442-18ea8e2093bb4c6b/pytest-of-root/pytest-0/test_a0/x.cpp:2:10: error",
            "/tmp/matrix-31919-18eaa6c673aaf723/pytest-of-root/pytest-1/test_a0/x.cpp:2:10: error",
            id="work-folder",
        ),
        pytest.param("ATen.h:5:2: error: no", "ATen.h:9:2: error: no", id="line-and-column"),
        pytest.param("at 0x7f01: no", "at 0x7f02: no", id="address"),
        pytest.param("E: no (a.py, line 5)", "E: no (a.py, line 16)", id="line-in-words"),
        pytest.param("ATen.h:5:2: erro... (source: a)", "ATen.h:9:2: err... (source: a)", id="cut"),
    ],
)
def test_refusals_that_differ_in_where_they_were_are_one(first, second):
    assert without_places(first) == without_places(second)
    assert without_places(without_places(first)) == without_places(first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("needs 2 devices; there is 1", "needs 4 devices; there is 1", id="number"),
        pytest.param("came in 2.2", "came in 2.4", id="release"),
        pytest.param("no torch/csrc/a.h", "no torch/csrc/b.h", id="file"),
    ],
)
def test_refusals_with_other_facts_are_two(first, second):
    assert without_places(first) != without_places(second)


def test_the_folder_of_a_test_is_shown_by_its_name():
    assert (
        without_work("E: '/tmp/matrix-31919-18eaa6c673aaf723/pytest-of-me/pytest-0/a0/b.py' is no")
        == "E: '<work>/a0/b.py' is no"
    )
    assert without_work("E: /opt/matrix-2/b.py is no") == "E: /opt/matrix-2/b.py is no"
