"""What makes two failures one, and what is known about some."""

import pytest

from matrix.signatures import explain, known, normalize


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
