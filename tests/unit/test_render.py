"""Cells become Dockerfiles: reviewed text, in the portable subset, with nothing smuggled in."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix.cells import Cell, expand
from matrix.definition import Definition, Suite, load, parse
from matrix.errors import InputError
from matrix.locks import requirements_of
from matrix.render import layers, render

REFERENCE = Path(__file__).parents[2] / "dockerfiles" / "reference"
DEFINITION = load(REFERENCE / "matrix.toml")
CELLS = {cell.id: cell for cell in expand(DEFINITION, lambda *_: "").cells}
SUITES = tuple(DEFINITION.suites.values())

CPU = CELLS["torch2.13.0-cpu-py3.11"]
DEFAULT = CELLS["torch2.11.0-cu130-py3.12"]
COMPANION = CELLS["torch2.11.0-cu130-py3.12-torchao0.17.0"]
CU126 = CELLS["torch2.13.0-cu126-py3.12"]
ROCM_INSIDE = CELLS["torch2.13.0-rocm7.2-py3.12"]
ROCM_OUTSIDE = CELLS["torch2.14.0-rocm7.14-py3.12"]

every_cell = pytest.mark.parametrize("cell", [pytest.param(c, id=i) for i, c in CELLS.items()])


def rendered(cell: Cell, definition: Definition = DEFINITION, **more: object) -> str:
    return render(cell, definition, suites=SUITES, **more)


def instructions(text: str) -> list[str]:
    """Instructions without comments, each in one line."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def with_images(**images: str) -> Definition:
    return parse({"torch": [{"version": "2.13.0"}], "images": images}, Path("matrix.toml"))


@every_cell
def test_references_are_what_is_rendered_today(cell: Cell) -> None:
    """The reviewed files in the repository are the real ones."""
    assert (REFERENCE / f"{cell.id}.Dockerfile").read_text(encoding="utf-8") == rendered(cell)


def test_no_reference_is_left_over() -> None:
    names = {path.stem for path in REFERENCE.glob("*.Dockerfile")}
    assert names == {*CELLS, f"{CPU.id}.classic"}


def test_the_classic_variant_is_reviewed_too() -> None:
    """`python -m matrix render --classic` writes it."""
    text = (REFERENCE / f"{CPU.id}.classic.Dockerfile").read_text(encoding="utf-8")
    assert text == rendered(CPU, mounts=False)


@every_cell
def test_without_buildkit_nothing_is_mounted_and_nothing_of_the_build_stays(cell: Cell) -> None:
    """The classic builder has no mounts: what they brought is left behind in a stage."""
    steps = instructions(rendered(cell, mounts=False))
    assert not any("--mount" in step for step in steps)
    last = steps[max(n for n, step in enumerate(steps) if step.startswith("FROM")) :]
    assert [s for s in last if s.startswith("COPY")] == [
        "COPY --from=install /opt/venv /opt/venv", "COPY payload /opt/payload",
    ]  # fmt: skip
    assert not any("/run/build" in step for step in last)


@every_cell
def test_both_variants_make_the_same_cell(cell: Cell) -> None:
    """Environment, labels, account and constraints do not depend on the builder."""
    both = [instructions(rendered(cell, mounts=mounts)) for mounts in (True, False)]
    kinds = ("ENV", "LABEL org", "USER", "WORKDIR /home")
    kept = [{step for step in steps if step.startswith(kinds)} for steps in both]
    assert kept[0] == kept[1]
    for word in ("useradd", "constraints.txt'", "python -c 'import torch'"):
        assert sum(any(word in step for step in steps) for steps in both) in {0, 2}


@every_cell
def test_only_what_engines_20_to_29_share(cell: Cell) -> None:
    """Old engines refuse the rest, and the classic builder takes some of it and does nothing."""
    text = rendered(cell)
    assert not re.search(r"^#\s*(syntax|escape|check)\s*=", text, re.MULTILINE | re.IGNORECASE)
    body = "\n".join(instructions(text))
    for word in ("<<", "--link", "--network", "--checksum", "--chmod", "--parents", "type=secret"):
        assert word not in body
    assert set(re.findall(r"--mount=type=(\w+)", body)) == {"bind", "cache", "tmpfs"}
    # a variable in `from=` is refused by the oldest BuildKit: only the named stage is mounted
    assert set(re.findall(r"\bfrom=([^,\s]+)", body)) == {"tools"}
    assert re.findall(r"^FROM (.+)$", body, re.MULTILINE) == ["${TOOLS} AS tools", "${BASE}"]


@every_cell
def test_layers_go_from_stable_to_changing(cell: Cell) -> None:
    """An edited test must not install torch again."""
    text = rendered(cell)
    wanted = ["useradd", "apt-get install", "uv venv"]
    wanted += [f"source={layer.lock}" for layer in layers(cell, SUITES)]
    wanted += ["import torch'", "LABEL", "\nUSER", "COPY payload"]
    places = [text.index(word) for word in wanted]
    assert places == sorted(places)
    assert instructions(text)[-1] == "COPY payload /opt/payload"


@every_cell
def test_the_cell_does_not_run_as_root_and_owns_its_results(cell: Cell) -> None:
    steps = instructions(rendered(cell))
    assert "USER 10001:10001" in steps
    assert any("install -d -o matrix -g matrix /results" in step for step in steps)
    assert any(s.startswith("ENV") and "HOME=/home/matrix" in s for s in steps)


@every_cell
def test_certificates_and_mirrors_are_no_part_of_the_image(cell: Cell) -> None:
    """They come as mounts and arguments: no ENV names them, nothing but tests is copied."""
    steps = instructions(rendered(cell))
    for step in steps:
        if step.startswith("ENV"):
            assert not re.search(r"UV_INDEX|SSL_CERT|PROXY|APT_CONFIG|/run/build", step)
    assert [s for s in steps if s.startswith(("COPY", "ADD"))] == ["COPY payload /opt/payload"]


@every_cell
def test_layers_hold_what_the_lock_is_made_of(cell: Cell) -> None:
    """Split or whole, a cell asks for the same."""
    suites = (*SUITES, Suite(name="mine", tests=(Path("t"),), requirements=("einops", "numpy")))
    split = {r for layer in layers(cell, suites) for r in layer.requirements}
    assert tuple(sorted(split)) == requirements_of(cell, suites)


def test_a_command_needs_no_test_tools() -> None:
    """A cell without companions whose suites bring nothing has one install step."""
    suite = Suite(name="smoke", command=("python", "-c", "import torch"))
    assert [layer.name for layer in layers(CPU, (suite,))] == ["torch"]
    assert "locks/tools.txt" not in render(CPU, DEFINITION, suites=(suite,))


def test_the_registrys_build_needs_no_second_index() -> None:
    assert "UV_INDEX" not in rendered(DEFAULT)
    assert "'torch===2.11.0'" in rendered(DEFAULT)


@pytest.mark.parametrize(
    ("cell", "variant"),
    [
        pytest.param(CPU, "cpu", id="cpu"),
        pytest.param(CU126, "cu126", id="cu126"),
        pytest.param(ROCM_OUTSIDE, "rocm7.14", id="per-version index of rocm"),
    ],
)
def test_other_builds_come_from_their_own_index(cell: Cell, variant: str) -> None:
    """The flat index cannot resolve `rocm`; the per-version one has everything."""
    text = rendered(cell, replace(DEFINITION, pytorch_index="https://mirror.example/whl"))
    assert f"\nARG UV_INDEX=https://mirror.example/whl/{variant}\n" in text


def test_only_cuda_cells_speak_to_the_container_toolkit() -> None:
    """And they get no GPU that a run did not name."""
    assert "NVIDIA_VISIBLE_DEVICES=void" in rendered(CU126)
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in rendered(CU126)
    for cell in (CPU, ROCM_INSIDE, ROCM_OUTSIDE):
        assert "NVIDIA" not in rendered(cell)


def test_nothing_can_bring_another_torch() -> None:
    """Locks are complete, so nothing is resolved; later installs by hand are constrained."""
    for cell in CELLS.values():
        installs = [s for s in instructions(rendered(cell)) if "uv pip install" in s]
        assert all("--no-deps --require-hashes" in step for step in installs)
    assert "printf '%s\\n' 'torch==2.13.0+rocm7.2' > " in rendered(ROCM_INSIDE)
    assert "printf '%s\\n' 'torch==2.14.0+rocm7.14' 'rocm==7.14.*' > " in rendered(ROCM_OUTSIDE)


def test_companions_have_a_layer_between_torch_and_the_tools() -> None:
    assert [layer.name for layer in layers(COMPANION, SUITES)] == ["torch", "companions", "tools"]
    assert "# companions: torchao==0.17.0\n" in rendered(COMPANION)


@pytest.mark.parametrize(
    ("images", "env", "base"),
    [
        pytest.param({}, {}, "python:3.11-slim-bookworm", id="default"),
        pytest.param({"cpu": "own/python:1"}, {}, "own/python:1", id="matrix.toml"),
        pytest.param({"cpu": "own/python:{python}"}, {}, "own/python:3.11", id="python-in-name"),
        pytest.param({"cuda": "own/cuda:1"}, {}, "python:3.11-slim-bookworm", id="not-mine"),
        pytest.param(
            {"cpu": "own/python:1"},
            {"MATRIX_IMAGE_CPU": "host.example:5000/py@sha256:" + "0" * 64},
            "host.example:5000/py@sha256:" + "0" * 64,
            id="environment-wins",
        ),
    ],
)
def test_the_base_can_be_replaced(images: dict[str, str], env: dict[str, str], base: str) -> None:
    assert f"\nARG BASE={base}\n" in rendered(CPU, with_images(**images), env=env)


def test_free_threaded_python_needs_a_base_of_ones_own() -> None:
    cell = replace(CPU, python="3.14t")
    with pytest.raises(InputError) as caught:
        rendered(cell)
    assert str(caught.value) == (
        "`torch2.13.0-cpu-py3.14t` cannot become a Dockerfile:\n"
        "  - python: the official images have no 3.14t; name one that has it as `cpu` in [images]"
    )
    assert "ARG BASE=own/python:3.14t" in rendered(cell, with_images(cpu="own/python:{python}"))


def test_all_that_may_not_enter_is_listed_at_once() -> None:
    """One sentence for each value, with the value."""
    cell = replace(COMPANION, companions=("torchao==0.17.0\nUSER root", "ok==1"))
    definition = replace(
        DEFINITION, images={"cuda": "x AS y"}, pytorch_index="https://me:pw@m.example"
    )
    suite = Suite(name="mine", tests=(Path("t"),), requirements=("numpy", "a\\"))
    with pytest.raises(InputError) as caught:
        render(cell, definition, suites=(suite,))
    assert caught.value.problems == [
        "matrix.pytorch_index: 'https://me:pw@m.example' is not a plain http(s) address",
        "companion: 'torchao==0.17.0\\nUSER root' is not a requirement such as numpy<2",
        "suites.mine.requirements: 'a\\\\' is not a requirement such as numpy<2",
        "base image of cuda: 'x AS y' is not an image such as registry/name:tag or name@sha256:…",
    ]


MEAN = "\n\r\t\x0b\x0c\x1c\x85\u2028\\'\"`$(){}#;&|<> aRUN0=."


@given(
    field=st.sampled_from(["torch", "variant", "python", "companion", "suite", "image", "index"]),
    start=st.sampled_from(
        ["", "2.13.0", "cu126", "3.12", "numpy==1", "own/image:1", "https://a/b"]
    ),
    evil=st.text(MEAN, min_size=1) | st.text(min_size=1),
)
@example(field="variant", start="", evil="rocm7")
@example(field="variant", start="cu126", evil=".0")
def test_no_value_changes_what_a_dockerfile_does(field: str, start: str, evil: str) -> None:
    """Whatever a value holds, it is refused, or it stays in the one place it was meant for."""
    value = start + evil
    cell, definition = COMPANION, DEFINITION
    suite = Suite(name="mine", tests=(Path("t"),), requirements=("einops",))
    if field in {"torch", "variant", "python"}:
        cell = replace(cell, **{field: value})
    elif field == "companion":
        cell = replace(cell, companions=(value,))
    elif field == "suite":
        suite = replace(suite, requirements=(value,))
    elif field == "image":
        definition = replace(definition, images={"cuda": value})
    else:
        definition = replace(definition, pytorch_index=value)
    try:
        text = render(cell, definition, suites=(suite,))
    except InputError as error:
        assert repr(value) in str(error)  # noqa: PT017  most values end here
        return
    plain = [s.split(maxsplit=1)[0] for s in instructions(rendered(COMPANION))]
    now = [s.split(maxsplit=1)[0] for s in instructions(text) if not s.startswith("ARG UV_INDEX")]
    assert now == plain
    assert text.isprintable() or set(text) - set(filter(str.isprintable, text)) == {"\n"}
