"""What containers ask of an engine for GPUs, on a real engine whose GPU plumbing is a stand-in.

It proves the requests, not the GPUs. `MATRIX_FAKE_GPU=1` says that the engine at `DOCKER_HOST` runs
on this machine and was started for it:

- with an executable `nvidia-container-runtime-hook` in its PATH (one that does nothing);
- from engine 28 on, with `--cdi-spec-dir` of specs that give /dev/null as /dev/nvidia0 of
  `nvidia.com/gpu=0`, and as /dev/kfd and /dev/dri/renderD128 of `amd.com/gpu=0`.

`MATRIX_IMAGE_CPU` names an image there that has a shell.
"""

import os
import stat
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, NotFound

from matrix.accelerators import AccessSettings, DeviceAccess, EngineFacts, Gpu, Mount, cuda, rocm

pytestmark = pytest.mark.skipif(
    os.environ.get("MATRIX_FAKE_GPU") != "1" or not os.environ.get("MATRIX_IMAGE_CPU"),
    reason="needs an engine with stand-in GPU plumbing: MATRIX_FAKE_GPU=1, MATRIX_IMAGE_CPU",
)
NVIDIA = Gpu(uuid="GPU-11111111-2222-3333-4444-555555555555", index=0, name="NVIDIA H200")
AMD = Gpu(uuid="GPU-00000000000000ff", index=0, name="gfx942", minor=128)
GROUPS = AccessSettings(groups=("12345",))
LABEL = f"torch-matrix.test={uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def engine():
    client = docker.from_env()
    yield client
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        container.remove(force=True)
    for image in client.images.list(filters={"label": LABEL}):
        client.images.remove(image.id, force=True)
    client.close()


@pytest.fixture(scope="module")
def facts(engine):
    return EngineFacts.of(engine.info())


@pytest.fixture
def cdi(facts):
    if not facts.cdi_devices:
        pytest.skip(f"engine {facts.version} lists no CDI devices")
    return facts


@contextmanager
def container(engine, access, command, image=None, **more):
    """A container with this access that was started; removed again, also where it was refused."""
    made = engine.containers.create(
        image or os.environ["MATRIX_IMAGE_CPU"],
        ["sh", "-c", command],
        labels=dict([LABEL.split("=")]),
        device_requests=[docker.types.DeviceRequest(**r) for r in access.device_requests],
        devices=[f"{node}:{node}:rwm" for node in access.devices],
        group_add=list(access.groups),
        mounts=[
            docker.types.Mount(m.target, m.source, type="bind", read_only=m.read_only)
            for m in access.mounts
        ],
        environment=dict(access.env),
        network_mode="none",
        user="10001:10001",
        cap_drop=["ALL"],
        **({"runtime": access.runtime} if access.runtime else {}),
        **more,
    )
    try:
        made.start()
        yield made
    finally:
        with suppress(NotFound):
            made.remove(force=True)


def output(engine, access, command, **more):
    with container(engine, access, command, **more) as made:
        code = made.wait(timeout=60)["StatusCode"]
        text = made.logs().decode()
    assert code == 0, text
    return text


def refused(engine, access, **more):
    """What the engine says."""
    with pytest.raises(APIError) as caught, container(engine, access, "true", **more):
        pass
    return str(caught.value.explanation)


def test_the_toolkit_gets_the_uuids_though_the_image_says_void(engine, facts):
    """An engine starts such a container only where the toolkit's hook is, and calls it."""
    base = engine.containers.create(os.environ["MATRIX_IMAGE_CPU"], ["true"])
    changes = ["ENV NVIDIA_VISIBLE_DEVICES=void", f"LABEL {LABEL}"]
    image = base.commit(repository="torch-matrix-test", tag="void", changes=changes)
    base.remove()
    access = cuda.access((NVIDIA,), facts, AccessSettings(gpu="toolkit"))
    text = output(engine, access, "env | grep NVIDIA_ | sort", image=image.id)
    assert text.splitlines() == [
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        f"NVIDIA_VISIBLE_DEVICES={NVIDIA.uuid}",
    ]


def test_cdi_gives_the_devices_of_the_spec(engine, cdi):
    """And it is what an engine that lists them is asked for, unless its runner says otherwise."""
    access = cuda.access((NVIDIA,), cdi, AccessSettings())
    assert access.device_requests[0]["Driver"] == "cdi"
    assert output(engine, access, "stat -c %F /dev/nvidia0") == "character special file\n"


def test_amd_cdi_gives_the_devices_and_the_groups_are_numbers(engine, cdi):
    access = rocm.access((AMD,), cdi, GROUPS)
    command = "stat -c %F /dev/kfd /dev/dri/renderD128; id -G"
    assert output(engine, access, command).splitlines() == [
        "character special file", "character special file", "10001 12345",
    ]  # fmt: skip


def test_the_engine_lists_the_gpus_of_its_machine(cdi):
    assert [gpu.uuid for gpu in cuda.listed(cdi, AccessSettings())] == ["nvidia.com/gpu=0"]
    assert [gpu.uuid for gpu in rocm.listed(cdi, AccessSettings())] == ["amd.com/gpu=0"]


@pytest.fixture
def node():
    """A device node of a GPU that no machine has."""
    path = Path("/dev/nvidia250")
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root may make a device node")
    yield path
    path.unlink()


def test_device_nodes_come_with_the_drivers_files(engine, facts, node, tmp_path):
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64" / "libcuda.so.1").write_text("a driver")
    tmp_path.chmod(0o755)
    settings = AccessSettings(
        gpu="device-nodes",
        devices=("/dev/zero",),
        driver_mounts=(Mount(source=str(tmp_path), target="/usr/local/nvidia"),),
    )
    gpu = Gpu(uuid="GPU-250", index=0, name="NVIDIA H200", minor=250)
    access = cuda.access((gpu,), facts, settings)
    command = f"""stat -c %F {node} /dev/zero && cat /usr/local/nvidia/lib64/libcuda.so.1 &&
        echo && echo $LD_LIBRARY_PATH && ! touch /usr/local/nvidia/x 2>/dev/null"""
    assert output(engine, access, command).splitlines() == [
        "character special file",
        "character special file",
        "a driver",
        "/usr/local/nvidia/lib64:/usr/local/nvidia",
    ]


def test_a_refusal_of_cdi_is_explained(engine, facts):
    """An old engine does not know CDI, a new one does not know this device."""
    gpu = Gpu(uuid="GPU-none", index=77, name="NVIDIA H200")
    access = cuda.access((gpu,), facts, AccessSettings(gpu="cdi"))
    wanted = "do not have nvidia.com/gpu=77: run" if facts.cdi_devices else "does not know CDI"
    assert wanted in cuda.explain_refusal(refused(engine, access))
    access = rocm.access((gpu,), facts, AccessSettings(gpu="cdi"))
    wanted = "do not have amd.com/gpu=77: run" if facts.cdi_devices else "does not know CDI"
    assert wanted in rocm.explain_refusal(refused(engine, access))


def test_a_refusal_of_a_driver_is_explained(engine, facts):
    """As by an engine without the toolkit; here its hook lacks what is asked for."""
    access = cuda.access((NVIDIA,), facts, AccessSettings(gpu="toolkit"))
    [request] = access.device_requests
    request["Capabilities"] = [["no-such-capability"]]
    text = refused(engine, access)
    assert text.startswith('could not select device driver "nvidia"')
    assert "no NVIDIA container toolkit" in cuda.explain_refusal(text)


def test_a_refusal_of_a_node_is_explained(engine, facts):
    gpu = Gpu(uuid="GPU-none", index=0, name="none", minor=251)
    nvidia = cuda.access((gpu,), facts, AccessSettings(gpu="device-nodes", devices=("/dev/null",)))
    assert "has no /dev/nvidia251" in cuda.explain_refusal(refused(engine, nvidia))
    amd = rocm.access((gpu,), facts, AccessSettings(gpu="device-nodes", devices=("/dev/null",)))
    assert "has no /dev/dri/renderD251" in rocm.explain_refusal(refused(engine, amd))


def test_a_refusal_of_a_group_is_explained(engine):
    text = refused(engine, DeviceAccess(groups=("no-such-group",)))
    assert "has no group `no-such-group`" in rocm.explain_refusal(text)


def test_a_refusal_of_a_runtime_is_explained(engine):
    for name, vendor in (("nvidia", cuda), ("amd", rocm)):
        text = refused(engine, DeviceAccess(runtime=name))
        assert f"has no runtime `{name}`" in vendor.explain_refusal(text)
