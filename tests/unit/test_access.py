"""How containers and processes get GPUs, by vendor and by what the engine has."""

import pytest

from matrix.accelerators import AccessSettings, DeviceAccess, EngineFacts, Gpu, Mount, cuda, rocm

H200 = Gpu(uuid="GPU-aa", index=0, name="NVIDIA H200", minor=1)
OTHER = Gpu(uuid="GPU-bb", index=1, name="NVIDIA H200", minor=0)
UNNAMED = Gpu(uuid="0000:01:00.0", index=1, name="NVIDIA H200")
MI300 = Gpu(uuid="GPU-00ff", index=0, name="gfx942", minor=128)
ANY = EngineFacts()
TOOLKIT = EngineFacts(runtimes=("runc", "nvidia", "amd"))
CDI = EngineFacts(cdi_devices=("nvidia.com/gpu=0", "nvidia.com/gpu=all", "amd.com/gpu=0"))
DRIVER = (Mount(source="/usr/local/nvidia", target="/usr/local/nvidia"),)
NONE = AccessSettings()


def nvidia_request(*ids):
    return ({"Driver": "nvidia", "DeviceIDs": list(ids), "Capabilities": [["gpu"]]},)


def test_engine_facts_are_what_docker_info_says():
    """As engine 28.5 answers with a CDI spec, and as 20.10 answers."""
    devices = [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}, {"Source": "x", "ID": "y"}]
    new = {"ServerVersion": "28.5.2", "NCPU": 8, "Runtimes": {"runc": {}, "nvidia": {}},
           "DiscoveredDevices": devices}  # fmt: skip
    assert EngineFacts.of(new) == EngineFacts(
        version="28.5.2", cores=8, runtimes=("runc", "nvidia"), cdi_devices=("nvidia.com/gpu=0",)
    )
    assert EngineFacts.of({"ServerVersion": "20.10.24", "NCPU": 2, "Runtimes": {"runc": {}}}) == (
        EngineFacts(version="20.10.24", cores=2, runtimes=("runc",))
    )
    assert EngineFacts.of({"DiscoveredDevices": None, "Runtimes": None}) == ANY


@pytest.mark.parametrize(
    ("engine", "settings", "driver"),
    [
        pytest.param(TOOLKIT, NONE, "nvidia", id="a-runtime-means-the-toolkit"),
        pytest.param(CDI, NONE, "cdi", id="specs-mean-cdi"),
        pytest.param(ANY, NONE, "nvidia", id="an-engine-does-not-tell-of-the-toolkits-hook"),
        pytest.param(ANY, AccessSettings(driver_mounts=DRIVER), "", id="mounts-mean-nodes"),
        pytest.param(TOOLKIT, AccessSettings(driver_mounts=DRIVER), "nvidia", id="toolkit-first"),
        pytest.param(TOOLKIT, AccessSettings(gpu="cdi"), "cdi", id="forced-cdi"),
        pytest.param(TOOLKIT, AccessSettings(gpu="device-nodes"), "", id="forced-nodes"),
        pytest.param(CDI, AccessSettings(gpu="toolkit"), "nvidia", id="forced-toolkit"),
    ],
)
def test_the_way_to_nvidia_gpus_is_what_the_engine_has_or_the_file_says(engine, settings, driver):
    found = cuda.access((H200,), engine, settings)
    assert [request["Driver"] for request in found.device_requests] == ([driver] if driver else [])
    assert bool(found.devices) == (not driver)


def test_the_toolkit_is_asked_by_uuid_and_wins_over_the_image():
    """An image of a cell says NVIDIA_VISIBLE_DEVICES=void."""
    assert cuda.access((H200, OTHER), TOOLKIT, NONE) == DeviceAccess(
        device_requests=nvidia_request("GPU-aa", "GPU-bb"),
        env={
            "NVIDIA_VISIBLE_DEVICES": "GPU-aa,GPU-bb",
            "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
        },
    )
    assert cuda.access((UNNAMED,), TOOLKIT, NONE).device_requests == nvidia_request("1")


@pytest.mark.parametrize(
    ("specs", "name"),
    [
        pytest.param(("nvidia.com/gpu=0", "nvidia.com/gpu=GPU-aa"), "GPU-aa", id="uuid"),
        pytest.param(("nvidia.com/gpu=0", "amd.com/gpu=GPU-aa"), "0", id="index"),
        pytest.param((), "0", id="an-engine-that-lists-none"),
    ],
)
def test_cdi_devices_are_named_as_the_specs_name_them(specs, name):
    engine = EngineFacts(cdi_devices=specs)
    [request] = cuda.access((H200,), engine, AccessSettings(gpu="cdi")).device_requests
    assert request == {"Driver": "cdi", "DeviceIDs": [f"nvidia.com/gpu={name}"]}


def test_nvidia_nodes_come_with_the_drivers_files_on_the_loaders_path():
    """The node's number is the driver's, not the index."""
    mounts = (*DRIVER, Mount(source="/x/libcuda.so.1", target="/usr/lib/libcuda.so.1"))
    settings = AccessSettings(gpu="device-nodes", driver_mounts=mounts, groups=("44",))
    assert cuda.access((H200,), ANY, settings) == DeviceAccess(
        devices=("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia1"),
        groups=("44",),
        mounts=mounts,
        env={"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64:/usr/local/nvidia"},
    )


def test_named_nodes_replace_the_usual_ones_but_never_give_another_gpu():
    nodes = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia1")
    settings = AccessSettings(gpu="device-nodes", devices=nodes)
    assert cuda.access((H200,), ANY, settings).devices == ("/dev/nvidiactl", "/dev/nvidia1")


def test_amd_nodes_come_with_the_numbers_of_their_groups(monkeypatch):
    monkeypatch.setattr(rocm, "_owners", lambda nodes: ("109",) if nodes[0] == "/dev/kfd" else ())
    assert rocm.access((MI300,), ANY, NONE) == DeviceAccess(
        devices=("/dev/kfd", "/dev/dri/renderD128"), groups=("109",)
    )
    elsewhere = AccessSettings(groups=("992", "44"), devices=("/dev/kfd", "/dev/dri/renderD129"))
    assert rocm.access((MI300,), ANY, elsewhere) == DeviceAccess(
        devices=("/dev/kfd", "/dev/dri/renderD128"), groups=("992", "44")
    )


def test_groups_of_nodes_are_read_and_root_is_none_of_them(tmp_path, monkeypatch):
    gid = 109

    class Node:
        def __init__(self, path):
            self.path = path

        def stat(self):
            if self.path == "gone":
                raise FileNotFoundError(self.path)
            return type("Stat", (), {"st_gid": 0 if self.path == "root" else gid})

    monkeypatch.setattr(rocm, "Path", Node)
    assert rocm._owners(("kfd", "root", "gone", "render")) == ("109",)


def test_amd_cdi_and_runtime_need_the_groups_too():
    settings = AccessSettings(groups=("109",))
    assert rocm.access((MI300,), CDI, settings) == DeviceAccess(
        device_requests=({"Driver": "cdi", "DeviceIDs": ["amd.com/gpu=0"]},), groups=("109",)
    )
    assert rocm.access((MI300,), TOOLKIT, settings) == DeviceAccess(
        runtime="amd", groups=("109",), env={"AMD_VISIBLE_DEVICES": "0"}
    )


def test_a_process_of_this_machine_sees_its_gpus_by_uuid():
    assert cuda.visible((H200, UNNAMED)) == {
        "CUDA_VISIBLE_DEVICES": "GPU-aa,1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    assert rocm.visible((MI300,)) == {"ROCR_VISIBLE_DEVICES": "GPU-00ff"}


@pytest.mark.parametrize(
    ("vendor", "specs", "settings", "uuids"),
    [
        pytest.param(cuda, ("0", "1", "all"), NONE, ["nvidia.com/gpu=0", "nvidia.com/gpu=1"],
                     id="indices"),
        pytest.param(cuda, ("0", "GPU-bb", "GPU-aa", "all"), NONE, ["GPU-bb", "GPU-aa"],
                     id="uuids"),
        pytest.param(cuda, (), AccessSettings(devices=("/dev/nvidiactl", "/dev/nvidia3")),
                     ["/dev/nvidia3"], id="nodes"),
        pytest.param(rocm, ("0",), NONE, ["amd.com/gpu=0"], id="amd-indices"),
        pytest.param(rocm, (), AccessSettings(devices=("/dev/kfd", "/dev/dri/renderD129")),
                     ["/dev/dri/renderD129"], id="amd-nodes"),
        pytest.param(cuda, (), NONE, [], id="none"),
    ],
)  # fmt: skip
def test_gpus_of_another_machine_are_what_its_engine_or_its_settings_list(
    vendor, specs, settings, uuids
):
    engine = EngineFacts(cdi_devices=tuple(f"{vendor.CDI}={name}" for name in specs))
    assert [gpu.uuid for gpu in vendor.listed(engine, settings)] == uuids


NVIDIA_TEXTS = [
    ('could not select device driver "" with capabilities: [[gpu]]', "no NVIDIA container toolkit"),
    ('could not select device driver "nvidia" with capabilities: [[gpu]]', "no NVIDIA container"),
    ('could not select device driver "cdi" with capabilities: []', "does not know CDI"),
    ("Unknown runtime specified nvidia", "has no runtime `nvidia`"),
    ("unknown or invalid runtime name: nvidia", "has no runtime `nvidia`"),
    (
        "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all",
        "specs do not have nvidia.com/gpu=all: run",
    ),
    (
        'error gathering device information while adding custom device "/dev/nvidia0": no such …',
        "has no /dev/nvidia0",
    ),
    (
        "nvidia-container-cli: initialization error: nvml error: driver not loaded",
        "no NVIDIA driver",
    ),
    (
        "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0, please update",
        "too old for the image (cuda>=13.0)",
    ),
    ("nvidia-container-cli: device error: GPU-aa: unknown device", "no GPU GPU-aa"),
]
AMD_TEXTS = [
    ('could not select device driver "cdi" with capabilities: []', "does not know CDI"),
    ("unresolvable CDI devices amd.com/gpu=0", "specs do not have amd.com/gpu=0: run"),
    (
        'error gathering device information while adding custom device "/dev/kfd": no such file',
        "has no /dev/kfd",
    ),
    ("Unable to find group render: no matching entries in group file", "has no group `render`"),
    ("unable to find group video: no matching entries in group file", "has no group `video`"),
    ("unknown or invalid runtime name: amd", "has no runtime `amd`"),
]


@pytest.mark.parametrize(
    ("vendor", "text", "part"),
    [(cuda, *texts) for texts in NVIDIA_TEXTS] + [(rocm, *texts) for texts in AMD_TEXTS],
)
def test_an_engines_refusal_becomes_one_sentence(vendor, text, part):
    sentence = vendor.explain_refusal(
        f'500 Server Error for http+docker://localhost: Internal Server Error ("{text}")'
    )
    assert part in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("vendor", [cuda, rocm])
def test_another_error_is_not_explained_away(vendor):
    assert vendor.explain_refusal("no space left on device") is None
    assert vendor.explain_refusal('custom device "/dev/fuse": no such file') is None
