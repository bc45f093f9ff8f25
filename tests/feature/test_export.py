"""Models that leave the process: torch.export, and AOTInductor packages."""

import torch

from matrix.inside import Refusal, assert_close, feature, randn


class Mlp(torch.nn.Module):
    """Two linear layers with a gate, as in a decoder block."""

    def __init__(self):
        super().__init__()
        self.up = torch.nn.Linear(32, 64)
        self.down = torch.nn.Linear(64, 32)

    def forward(self, x):
        """[batch, 32] to [batch, 32]."""
        return self.down(torch.nn.functional.silu(self.up(x)))


def exported(device, *, dynamic):
    """A model, and its exported program with a batch size of 3 or of any."""
    model = Mlp().eval().to(device)
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = {"x": {0: batch}} if dynamic else None
    example = (torch.zeros(3, 32, device=device),)
    with torch.no_grad():
        return model, torch.export.export(model, example, dynamic_shapes=shapes)


def check(run, model, device, rng, batch):
    """``run`` computes what a float64 copy of the model does."""
    x = randn(rng, batch, 32)
    reference = Mlp().double()
    reference.load_state_dict({key: value.cpu() for key, value in model.state_dict().items()})
    with torch.no_grad():
        out, expected = run(x.to(device)), reference(x.double())
    assert_close(out, expected, rtol=1e-4, atol=1e-4, why="float32, sums over 64 terms, or TF32")


NO_EXPORT = Refusal(
    "AttributeError",
    r"module 'torch(\.export)?' has no attribute '(export|Dim)'",
    "https://pytorch.org/docs/stable/export.html: new in 2.1",
)


@feature("export", "torch.export, saved and loaded", refusals=[NO_EXPORT])
def test_export(device, rng, tmp_path):
    """A loaded program runs at a batch size that it was not exported with."""
    model, program = exported(device, dynamic=True)
    path = tmp_path / "model.pt2"
    torch.export.save(program, path)
    check(torch.export.load(path).module(), model, device, rng, batch=7)


def cheap():
    """Settings, where this torch has them, that save two thirds of the time to build one model."""
    from torch._inductor import config  # noqa: PLC0415 - slow

    wanted = {"precompile_headers": False, "compile_wrapper_opt_level": "O0"}
    known = {name: value for name, value in wanted.items() if hasattr(config.aot_inductor, name)}
    return {f"aot_inductor.{name}": value for name, value in known.items()}


@feature(
    "aoti-package",
    "AOTInductor package, built and loaded",
    needs=["compiler"],
    refusals=[
        NO_EXPORT,
        Refusal(
            "AttributeError",
            r"module 'torch\._inductor' has no attribute 'aoti_compile_and_package'",
            "https://pytorch.org/docs/stable/torch.compiler_aot_inductor.html: new in 2.5",
        ),
    ],
)
def test_aoti(device, rng, tmp_path):
    """Machine code in a file, run without compiling."""
    import torch._inductor  # noqa: PLC0415 - slow, and not loaded by torch itself

    build = torch._inductor.aoti_compile_and_package
    model, program = exported(device, dynamic=False)
    path = build(program, package_path=str(tmp_path / "model.pt2"), inductor_configs=cheap())
    run = torch._inductor.aoti_load_package(path)
    check(run, model, device, rng, batch=3)
