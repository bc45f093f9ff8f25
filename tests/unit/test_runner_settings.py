"""[runners.NAME] of matrix.toml: every mistake is named at once, and what is right arrives."""

import tomllib

import jsonschema
import pytest

from matrix import schema
from matrix.accelerators import AccessSettings, Mount
from matrix.definition import Runner, load, parse
from matrix.errors import InputError

TORCH = "[[torch]]\nversion = '2.6.0'\n"


def refusal(text, folder):
    with pytest.raises(InputError) as caught:
        parse(tomllib.loads(TORCH + text), folder / "matrix.toml")
    return caught.value.problems


def test_every_mistake_is_listed_at_once(tmp_path):
    problems = refusal(
        """
[runners.GPU]
slots = 0
docker = "gpu1:2376"
tls = "certificates"
memory = "64 GB"
gpu = "device-node"
devices = ["/dev/nvidia0", "nvidia1", "/dev/../etc"]
driver_mounts = ["/usr/local/nvidia", "relative", "/a:/b:/c"]
groups = ["render", "109"]
memry = "64g"
[runners.second]
slots = 1
[runners.local]
docker = "unix:///run/docker.sock"
tls = "certificates"
""",
        tmp_path,
    )
    assert problems == [
        "runners.GPU.memry: unknown key; did you mean `memory`?",
        "runners.GPU: a runner's name has only lower-case letters, digits, - and _",
        "runners.GPU.slots: at least 1, got 0",
        (
            "runners.GPU.docker: `gpu1:2376` is no engine; write `unix:///path`, `tcp://host:2376` "
            "or `ssh://user@host`"
        ),
        "runners.GPU.memory: `64 GB` is no size; write `64g` or `512m`",
        "runners.GPU.devices: `nvidia1` is no device node; write `/dev/nvidia0`",
        "runners.GPU.devices: `/dev/../etc` is no device node; write `/dev/nvidia0`",
        (
            "runners.GPU.driver_mounts: `relative` is no mount; write `/path` or "
            "`/path:/path/in/the/container`"
        ),
        (
            "runners.GPU.driver_mounts: `/a:/b:/c` is no mount; write `/path` or "
            "`/path:/path/in/the/container`"
        ),
        (
            "runners.GPU.groups: `render` is no number; images lack the host's group names, "
            "`stat -c %g /dev/kfd` prints the number"
        ),
        "runners.GPU.gpu: unknown `device-node`; did you mean `device-nodes`?",
        "runners.GPU.tls: only a `tcp://` engine has certificates, not `gpu1:2376`",
        "runners.GPU.tls: `certificates` has no ca.pem",
        "runners.GPU.tls: `certificates` has no cert.pem",
        "runners.GPU.tls: `certificates` has no key.pem",
        "runners.second.docker: missing; only `local` is this machine, name the runner's engine",
        "runners.local.tls: only a `tcp://` engine has certificates, not `unix:///run/docker.sock`",
        "runners.local.tls: `certificates` has no ca.pem",
        "runners.local.tls: `certificates` has no cert.pem",
        "runners.local.tls: `certificates` has no key.pem",
    ]


@pytest.mark.parametrize(
    ("address", "right"),
    [
        pytest.param("unix:///var/run/docker.sock", True, id="unix"),
        pytest.param("tcp://10.0.0.1:2376", True, id="tcp"),
        pytest.param("tcp://[::1]:2376", True, id="tcp-ipv6"),
        pytest.param("ssh://me@gpu1:2222", True, id="ssh-with-port"),
        pytest.param("ssh://gpu1", True, id="ssh"),
        pytest.param("unix://docker.sock", False, id="relative-socket"),
        pytest.param("tcp://gpu1", False, id="no-port"),
        pytest.param("http://gpu1:2375", False, id="another-scheme"),
        pytest.param("ssh://me:secret@gpu1", False, id="password-in-the-file"),
        pytest.param("ssh://-oProxyCommand=x", False, id="host-that-looks-like-an-option"),
        pytest.param("", False, id="empty"),
    ],
)
def test_an_engine_is_addressed_as_docker_does(tmp_path, address, right):
    text = f"{TORCH}[runners.gpu1]\ndocker = '{address}'"
    if right:
        definition = parse(tomllib.loads(text), tmp_path / "m.toml")
        assert definition.runners["gpu1"].docker == address
    else:
        [problem] = refusal(f"[runners.gpu1]\ndocker = '{address}'", tmp_path)
        assert problem.startswith(f"runners.gpu1.docker: `{address}` is no engine; write ")


def test_everything_a_user_may_write_arrives(tmp_path):
    """And the editors' schema accepts it."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (folder / name).touch()
    path = tmp_path / "matrix.toml"
    path.write_text(
        TORCH
        + """
[runners.gpu1]
docker = "tcp://gpu1:2376"
tls = "certificates"
slots = 2
memory = "64g"
env = { NCCL_NVLS_ENABLE = "0" }
gpu = "device-nodes"
devices = ["/dev/nvidia0"]
driver_mounts = ["/opt/driver:/usr/local/nvidia", "/usr/lib/libcuda.so.1"]
groups = ["44"]
"""
    )
    definition = load(path)
    assert definition.runners == {
        "local": Runner(name="local"),
        "gpu1": Runner(
            name="gpu1",
            slots=2,
            env={"NCCL_NVLS_ENABLE": "0"},
            docker="tcp://gpu1:2376",
            tls=folder,
            memory="64g",
            access=AccessSettings(
                gpu="device-nodes",
                devices=("/dev/nvidia0",),
                driver_mounts=(
                    Mount(source="/opt/driver", target="/usr/local/nvidia"),
                    Mount(source="/usr/lib/libcuda.so.1", target="/usr/lib/libcuda.so.1"),
                ),
                groups=("44",),
            ),
        ),
    }
    jsonschema.validate(tomllib.loads(path.read_text()), schema.json_schema())


@pytest.mark.parametrize(
    "source",
    ["/", "/run", "/var", "/var/run/", "/usr/../run", "//run", "/run/docker", "/run/user/1000",
     "/var/run/containerd", "/srv/docker.sock"],
)  # fmt: skip
def test_a_mount_that_would_bring_an_engines_socket_is_refused(tmp_path, source):
    """Who can speak to an engine owns its machine."""
    text = f'[runners.local]\ndriver_mounts = ["{source}:/usr/local/nvidia"]\n'
    [problem] = refusal(text, tmp_path)
    assert problem == (
        f"runners.local.driver_mounts: `{source}` may bring an engine's socket into cells; name "
        "the driver's own files or folders"
    )


@pytest.mark.parametrize("source", ["/run/nvidia/driver", "/usr/lib", "/runtime", "/var/lib/x"])
def test_folders_of_drivers_are_no_sockets(tmp_path, source):
    data = f"{TORCH}[runners.local]\ndriver_mounts = ['{source}']\n"
    (tmp_path / "m.toml").write_text(data)
    [mount] = load(tmp_path / "m.toml").runners["local"].access.driver_mounts
    assert mount.source == source


def test_a_name_that_no_file_system_takes_is_a_mistake_too(tmp_path):
    name = "c" * 300
    problems = refusal(f"[runners.gpu1]\ndocker = 'tcp://g:2376'\ntls = '{name}'", tmp_path)
    assert problems[0] == f"runners.gpu1.tls: `{name}` has no ca.pem"
