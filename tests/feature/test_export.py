"""Models that leave the process: torch.export, and AOTInductor packages."""

import functools

import pytest
import torch
from processes import run_child

from matrix.inside import Refusal, assert_close, feature, randn

FLOAT32 = {"rtol": 1e-4, "atol": 1e-4, "why": "float32, sums over 64 terms, or TF32"}


class Mlp(torch.nn.Module):
    """Two linear layers with a gate, as in a decoder block."""

    def __init__(self):
        super().__init__()
        self.up = torch.nn.Linear(32, 64)
        self.down = torch.nn.Linear(64, 32)

    def forward(self, x):
        """[batch, 32] to [batch, 32]."""
        return self.down(torch.nn.functional.silu(self.up(x)))


def exported(device, **options):
    """A model, and its exported program for a batch of 2 to 64, traced with 3."""
    model = Mlp().eval().to(device)
    shapes = {"x": {0: torch.export.Dim("batch", min=2, max=64)}}
    example = (torch.zeros(3, 32, device=device),)
    with torch.no_grad():
        return model, torch.export.export(model, example, dynamic_shapes=shapes, **options)


def expected(model, x):
    """What a float64 copy of ``model`` on the CPU makes of ``x``."""
    reference = Mlp().double()
    reference.load_state_dict({key: value.cpu() for key, value in model.state_dict().items()})
    with torch.no_grad():
        return reference(x.double())


def check(run, model, device, rng, batch):
    """``run`` computes what a float64 copy of the model does."""
    x = randn(rng, batch, 32)
    with torch.no_grad():
        assert_close(run(x.to(device)), expected(model, x), **FLOAT32)


NO_EXPORT = Refusal(
    "AttributeError",
    r"module 'torch(\.export)?' has no attribute '(export|Dim)'",
    "https://pytorch.org/docs/stable/export.html: new in 2.1",
)


@feature(
    "export",
    "torch.export, saved and loaded",
    purpose="Ships a model as one traced program, without its Python code.",
    refusals=[NO_EXPORT],
)
def test_export(device, rng, tmp_path):
    """A loaded program runs at a batch size that it was not exported with."""
    model, program = exported(device)
    path = tmp_path / "model.pt2"
    torch.export.save(program, path)
    check(torch.export.load(path).module(), model, device, rng, batch=7)


@feature(
    "export-dynamic",
    "torch.export with dynamic shapes",
    purpose="Serves all batch sizes of a range with one program, and refuses those outside it.",
    refusals=[NO_EXPORT],
)
def test_dynamic(device, rng):
    """Right at both ends of the range; one more is an error, not a wrong result."""
    model, program = exported(device)
    run = program.module()
    for batch in (2, 64):
        check(run, model, device, rng, batch)
    with pytest.raises(Exception, match=r"(?i)guard|<= 64|out(side)? of bounds|range|expected"):
        run(torch.zeros(65, 32, device=device))


@feature(
    "export-strict",
    "torch.export, strict and non-strict",
    purpose="Traces through Dynamo or by running the model; the default has changed.",
    refusals=[
        NO_EXPORT,
        Refusal(
            "TypeError",
            r"unexpected keyword argument 'strict'",
            "https://pytorch.org/docs/stable/export.html: not in the first releases",
        ),
        Refusal(
            "AssertionError",
            r"^dynamic shape NYI$",
            "torch/_export/__init__.py of 2.2: non-strict for fixed shapes only",
        ),
    ],
)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
def test_strict(device, rng, strict):
    """Either way of tracing gives a program with the model's numbers and its parameters."""
    model, program = exported(device, strict=strict)
    check(program.module(), model, device, rng, batch=5)
    assert set(program.state_dict) == set(model.state_dict())


def cheap(device):
    """Settings, where this torch has them, that save two thirds of the time to build on a CPU."""
    from torch._inductor import config  # noqa: PLC0415 - slow

    if device.type != "cpu":
        return {}
    wanted = {"precompile_headers": False, "compile_wrapper_opt_level": "O0"}
    known = {name: value for name, value in wanted.items() if hasattr(config.aot_inductor, name)}
    return {f"aot_inductor.{name}": value for name, value in known.items()}


@pytest.fixture(scope="module")
def package(device, tmp_path_factory):
    """Call it for a model and the path of its package, which is built once."""

    @functools.lru_cache(maxsize=None)
    def build():
        import torch._inductor  # noqa: PLC0415 - slow, and not loaded by torch itself

        compile_and_package = torch._inductor.aoti_compile_and_package
        path = str(tmp_path_factory.mktemp("aoti") / "model.pt2")
        model, program = exported(device)
        return model, compile_and_package(
            program, package_path=path, inductor_configs=cheap(device)
        )

    return build


NO_PACKAGE = Refusal(
    "AttributeError",
    r"module 'torch\._inductor' has no attribute 'aoti_compile_and_package'",
    "https://pytorch.org/docs/stable/torch.compiler_aot_inductor.html; 2.5.1 was seen without it",
)


@feature(
    "aoti-package",
    "AOTInductor package, built, and loaded by another process",
    purpose="Starts a server from machine code in a file, with nothing left to compile.",
    needs=["compiler", "toolkit"],
    refusals=[NO_EXPORT, NO_PACKAGE],
)
def test_aoti(device, rng, tmp_path, package):
    """A process that has not built it runs it with the right numbers."""
    model, path = package()
    x, given = randn(rng, 3, 32), tmp_path / "inputs.pt"
    torch.save(x, given)
    out = run_child("aoti_load", path, str(given), device.type)
    assert_close(torch.tensor(out, dtype=torch.float64), expected(model, x), **FLOAT32)


@feature(
    "aoti-dynamic",
    "AOTInductor package for a range of batch sizes",
    purpose="Serves every batch size from one package.",
    needs=["compiler", "toolkit"],
    refusals=[NO_EXPORT, NO_PACKAGE],
)
def test_aoti_dynamic(device, rng, package):
    """Sizes that it was not exported with, from the smallest to the largest."""
    model, path = package()
    run = torch._inductor.aoti_load_package(path)
    for batch in (2, 7, 64):
        check(run, model, device, rng, batch)
