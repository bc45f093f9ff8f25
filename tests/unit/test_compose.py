"""Cells become Compose files: reviewed text, pinned, with nothing smuggled in."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from matrix.accelerators import ACCELERATORS, DeviceAccess, Mount
from matrix.cells import expand
from matrix.compose import CACHE, render
from matrix.definition import load
from matrix.errors import InputError

REFERENCE = Path(__file__).parents[2] / "dockerfiles" / "reference"
CELLS = {c.id: c for c in expand(load(REFERENCE / "matrix.toml"), lambda *_: "").cells}
CPU = CELLS["torch2.13.0-cpu-py3.11"]
CUDA = CELLS["torch2.13.0-cu126-py3.12"]
COMPANION = CELLS["torch2.11.0-cu130-py3.12-torchao0.17.0"]
ROCM = CELLS["torch2.13.0-rocm7.2-py3.12"]
DIGEST = f"registry.example:5000/cells/torch@sha256:{'0a' * 32}"
NVIDIA = DeviceAccess(
    device_requests=({"Driver": "nvidia", "DeviceIDs": ["GPU-a", "GPU-b"], "Capabilities": []},),
    env={"NVIDIA_VISIBLE_DEVICES": "GPU-a,GPU-b"},
)

every_cell = pytest.mark.parametrize("cell", [pytest.param(c, id=i) for i, c in CELLS.items()])


def service(*arguments, **more):
    return yaml.safe_load(render(*arguments, **more))["services"]["cell"]


@every_cell
def test_references_are_what_is_rendered_today(cell):
    """The reviewed files in the repository are the real ones."""
    assert (REFERENCE / f"{cell.id}.compose.yaml").read_text(encoding="utf-8") == render(cell)


def test_no_reference_is_left_over():
    found = {path.name for path in REFERENCE.glob("*.compose.yaml")}
    assert found == {f"{cell}.compose.yaml" for cell in CELLS}


@every_cell
def test_a_service_can_change_nothing_and_gain_nothing(cell):
    found = service(cell)
    assert (found["read_only"], found["cap_drop"]) == (True, ["ALL"])
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "network_mode", "user"} & set(found)


@every_cell
def test_compiled_kernels_are_kept_apart_by_torch_and_toolkit(cell):
    """At the path that torch uses for precompiled headers whatever its variable says."""
    read = yaml.safe_load(render(cell))
    [volume] = read["services"]["cell"]["volumes"]
    assert (volume["source"], volume["target"]) == ("cache", CACHE)
    name = f"torch-matrix-torch{cell.torch}-{cell.variant}-py{cell.python}"
    assert read["volumes"]["cache"]["name"] == name


@every_cell
def test_the_image_has_the_folder_of_the_cache(cell):
    """A new volume takes the owner of the folder it covers; without one it is root's."""
    text = (REFERENCE / f"{cell.id}.Dockerfile").read_text(encoding="utf-8")
    assert f"install -d -o matrix -g matrix /results {CACHE}\n" in text


def test_a_project_is_named_as_compose_wants_it():
    read = yaml.safe_load(render(COMPANION))
    assert read["name"] == "torch2-11-0-cu130-py3-12-torchao0-17-0"


@pytest.mark.parametrize(
    ("cell", "device"),
    [
        pytest.param(CPU, "cpu", id="cpu"),
        pytest.param(CUDA, "cuda", id="cuda"),
        pytest.param(ROCM, "cuda", id="rocm"),
    ],
)
def test_health_is_a_computation_where_the_cell_computes(cell, device):
    word, program, option, code = service(cell)["healthcheck"]["test"]
    assert (word, program, option) == ("CMD", "python", "-c")
    assert code == f"import torch; assert torch.ones(2, device='{device}').sum().item() == 2"
    compile(code, "check", "exec")


def test_gpus_of_a_runner_are_pinned_by_uuid():
    found = service(CUDA, image=DIGEST, access=NVIDIA, memory="64g")
    assert found["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "device_ids": ["GPU-a", "GPU-b"], "capabilities": ["gpu"]}
    ]
    assert (found["image"], found["mem_limit"]) == (DIGEST, "64g")
    assert found["environment"]["NVIDIA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert "devices" not in found


def test_nodes_groups_and_driver_of_a_runner_are_pinned():
    access = DeviceAccess(
        devices=("/dev/kfd", "/dev/dri/renderD129"),
        groups=("109", "44"),
        mounts=(Mount(source="/opt/driver", target="/usr/local/driver"),),
        runtime="amd",
    )
    found = service(ROCM, access=access)
    assert found["devices"] == ["/dev/kfd:/dev/kfd", "/dev/dri/renderD129:/dev/dri/renderD129"]
    assert (found["group_add"], found["runtime"]) == (["109", "44"], "amd")
    assert found["volumes"][1] == {
        "type": "bind",
        "source": "/opt/driver",
        "target": "/usr/local/driver",
        "read_only": True,
        "bind": {"create_host_path": False},
    }


def test_without_a_machine_composes_environment_names_it():
    """Each variable is required: an unpinned image or a wrong card is an error, not a surprise."""
    text = render(CUDA)
    assert "${IMAGE:?" in text
    assert "${GPU:?" in text
    assert "${RENDER_GROUP:?" in render(ROCM)
    assert "$" not in render(CPU, image=DIGEST)
    for accelerator in ACCELERATORS.values():
        assert ":-" not in repr(accelerator.unpinned())


@pytest.mark.parametrize(
    "image",
    [
        "torch:latest",
        "torch",
        "torch@sha256:123",
        f"a\n@sha256:{'0' * 64}",
        "$X@sha256:" + "0" * 64,
    ],
)
def test_an_image_that_is_not_pinned_is_refused(image):
    with pytest.raises(InputError, match="is not pinned; write name@sha256:… or an image's id"):
        render(CPU, image=image)


def test_all_values_that_may_not_enter_are_named_at_once():
    with pytest.raises(InputError) as caught:
        render(
            CPU,
            image="latest",
            env={"A B": "x", "C": "a\nb"},
            memory="much",
            access=DeviceAccess(groups=("1\n2",), runtime="a\x85b"),
        )
    assert caught.value.problems == [
        "image: 'latest' is not pinned; write name@sha256:… or an image's id",
        "memory: 'much' is no size such as 64g",
        "env.C: 'a\\nb' has characters that no setting needs",
        "group: '1\\n2' has characters that no setting needs",
        "runtime: 'a\\x85b' has characters that no setting needs",
        "env: 'A B' is no name of a variable",
    ]


@given(
    text=st.text(max_size=20) | st.sampled_from(['" #', "'", "$HOME", "${X:-y}", "{{ 1 }}", "\\n"])
)
def test_nothing_that_is_written_becomes_more_than_its_value(text):
    """Whatever the text, it comes out as itself in its place, or it is refused by name."""
    access = DeviceAccess(
        device_requests=({"Driver": "nvidia", "DeviceIDs": [text]},),
        devices=(text,),
        groups=(text,),
        mounts=(Mount(source=text, target="/x"),),
    )
    try:
        read = service(CUDA, access=access, env={"A": text})
    except InputError as error:
        assert repr(text) in str(error)  # noqa: PT017  values that may not enter end here
        return
    wanted = text.replace("$", "$$")  # Compose reads it as one
    [request] = read["deploy"]["resources"]["reservations"]["devices"]
    assert read["environment"]["A"] == wanted
    assert request["device_ids"] == [wanted]
    assert read["devices"] == [f"{wanted}:{wanted}"]
    assert read["group_add"] == [wanted]
    assert read["volumes"][1]["source"] == wanted
    assert set(read) == set(service(CUDA, access=access))
