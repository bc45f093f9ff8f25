"""Compiled extensions: what engines' kernel wheels are, and what they are built against."""

import os
import shutil
import subprocess
from pathlib import Path

import torch

from matrix.inside import Refusal, assert_close, feature, randn

OPERATOR = """
#include <ATen/core/Tensor.h>
#include <torch/library.h>

void square_into(const at::Tensor& x, const at::Tensor& out) {
  TORCH_CHECK(x.is_contiguous() && out.is_contiguous(), "contiguous tensors only");
  const float* from = x.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); i++) to[i] = from[i] * from[i];
}

TORCH_LIBRARY(matrix_feature_cpp, m) { m.def("square_into(Tensor x, Tensor(a!) out) -> ()"); }
TORCH_LIBRARY_IMPL(matrix_feature_cpp, CPU, m) { m.impl("square_into", &square_into); }
"""

STABLE = """
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

torch::stable::Tensor squares(torch::stable::Tensor x) {
  torch::stable::Tensor out = torch::stable::empty_like(x);
  const float* from = static_cast<const float*>(x.data_ptr());
  float* to = static_cast<float*>(out.data_ptr());
  for (int64_t i = 0; i < x.numel(); i++) to[i] = from[i] * from[i];
  return out;
}

STABLE_TORCH_LIBRARY(matrix_feature_stable, m) { m.def("squares(Tensor x) -> Tensor"); }
STABLE_TORCH_LIBRARY_IMPL(matrix_feature_stable, CPU, m) {
  m.impl("squares", TORCH_BOX(&squares));
}
"""


def compile_extension(folder, code, *flags):
    """Run the C++ compiler on ``code`` with torch's headers; raises with its first error.

    It is called directly: torch's own builder for extensions needs Ninja in the cell.
    """
    from torch.utils import cpp_extension  # noqa: PLC0415 - looks for CUDA toolkits

    source = folder / "extension.cpp"
    source.write_text(code, encoding="ascii")
    named = os.environ.get("CXX", "")
    compilers = map(shutil.which, (named, "g++", "clang++", "c++"))
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    includes = [f"-isystem{path}" for path in cpp_extension.include_paths()]
    done = subprocess.run(
        [
            next(filter(None, compilers)),
            str(source),
            "-O0",
            "-Wfatal-errors",
            abi,
            *includes,
            *flags,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise RuntimeError((errors or [f"the compiler ended with {done.returncode}"])[0])


def build(folder, code):
    """Compile ``code`` to a shared library and load it."""
    from torch.utils import cpp_extension  # noqa: PLC0415 - looks for CUDA toolkits

    library = folder / "extension.so"
    paths = [f"-L{path}" for path in cpp_extension.library_paths()]
    link = ["-shared", "-fPIC", *paths, "-ltorch_cpu", "-lc10", "-o", str(library)]
    compile_extension(folder, code, "-std=c++20", *link)
    torch.ops.load_library(str(library))


@feature(
    "cpp-extension",
    "C++ operators, built and loaded (TORCH_LIBRARY)",
    purpose="Builds an engine's own kernels against the installed torch.",
    needs=["compiler"],
)
def test_extension(rng, tmp_path):
    """A loaded operator fills the buffer that it is given."""
    build(tmp_path, OPERATOR)
    x = randn(rng, 7, 33)
    out = torch.full_like(x, float("nan"))
    torch.ops.matrix_feature_cpp.square_into(x, out)
    assert_close(out, x.double() ** 2, rtol=1e-6, atol=0, why="one float32 product")


@feature(
    "stable-abi",
    "C++ operators on the stable ABI (torch/csrc/stable)",
    purpose="Lets one kernel wheel serve several releases of torch.",
    needs=["compiler"],
    refusals=[
        Refusal(
            "RuntimeError",
            r"torch/csrc/stable/\w+\.h: No such file|'torch/csrc/stable/\w+\.h' file not found"
            r"|TORCH_BOX.*not declared|use of undeclared identifier 'TORCH_BOX'",
            "torch/csrc/stable/library.h: its macros came one release after another",
        )
    ],
)
def test_stable(rng, tmp_path):
    """An operator that uses nothing but the stable headers computes what it should."""
    build(tmp_path, STABLE)
    x = randn(rng, 7, 33)
    out = torch.ops.matrix_feature_stable.squares(x)
    assert_close(out, x.double() ** 2, rtol=1e-6, atol=0, why="one float32 product")


@feature(
    "cpp17-headers",
    "Torch's C++ headers accept C++17",
    purpose="Tells whether extensions that set -std=c++17 still build.",
    needs=["compiler"],
    refusals=[
        Refusal(
            "RuntimeError",
            r"C\+\+20 or later compatible compiler is required",
            "aten/src/ATen/ATen.h; release notes of 2.13 announce it",
        )
    ],
)
def test_cpp17(tmp_path):
    """No header that an extension includes asks for more, and the core of them compiles.

    The other headers, thousands that a script of torch has written alike, are preprocessed only.
    """
    compile_extension(tmp_path, "#include <ATen/ATen.h>\n", "-std=c++17", "-E", f"-o{os.devnull}")
    code = "#include <ATen/core/Tensor.h>\nvoid use(at::Tensor& x) { x.zero_(); }\n"
    compile_extension(tmp_path, code, "-std=c++17", "-fsyntax-only")


@feature(
    "cxx11-abi",
    "Extensions of today's toolchains load (C++11 ABI)",
    purpose="Tells which of a kernel library's two prebuilt wheels fits.",
    refusals=[
        Refusal(
            "NotImplementedError",
            r"^this torch was built with the pre-C\+\+11 ABI",
            "https://github.com/pytorch/pytorch/releases/tag/v2.7.0: all Linux wheels changed",
        )
    ],
)
def test_abi():
    """What torch says of itself is what its symbols say, and it is today's default."""
    library = Path(torch.__file__).parent / "lib" / "libc10.so"
    # The constructor of c10::Error, which takes a std::string.
    new = b"_ZN3c105ErrorC1ENS_14SourceLocationENSt7__cxx1112basic_string" in library.read_bytes()
    assert new == torch.compiled_with_cxx11_abi()
    if not new:
        raise NotImplementedError("this torch was built with the pre-C++11 ABI")
