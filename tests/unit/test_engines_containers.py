"""How containers are ordered, and how their ends are told apart, around a stand-in engine."""

import threading
from types import SimpleNamespace

import docker
import pytest

from matrix.accelerators import DeviceAccess, Mount
from matrix.engines import containers
from matrix.engines.archives import Caps
from matrix.engines.connection import Engine, EngineLost
from matrix.engines.containers import fetch, follow, started
from matrix.engines.orders import Limits, Order, settings
from matrix.engines.output import Output
from matrix.engines.refusals import StartRefused, explain
from matrix.process import Stopped

LIMITS = Limits(memory=1 << 30, tmp=1 << 29, shm=1 << 28, cpus=(2, 3))


def order(**more):
    return Order(**{"image": "sha256:1", "command": ("python", "-V"), "env": {"A": "1"},
                    "labels": {"torch-matrix": "1"}, "limits": LIMITS, **more})  # fmt: skip


def refusal(text, status=500):
    response = SimpleNamespace(status_code=status, reason="", url="")
    kind = docker.errors.NotFound if status == 404 else docker.errors.APIError
    return kind("no", response=response, explanation=text)


def test_every_container_is_locked_in():
    told = settings(order())
    assert told["network_mode"] == "none"
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges"]
    assert told["user"] == "10001:10001"
    assert told["init"] is True
    assert told["mem_limit"] == told["memswap_limit"] == 1 << 30
    assert told["pids_limit"] == 4096
    assert told["shm_size"] == 1 << 28
    assert told["cpuset_cpus"] == "2,3"
    assert told["tmpfs"] == {"/tmp": f"size={1 << 29},exec,mode=1777,uid=10001,gid=10001"}
    assert told["labels"] == {"torch-matrix": "1"}
    assert not {"privileged", "cap_add", "volumes", "ports", "pid_mode", "ipc_mode"} & set(told)


def test_what_goes_in_is_a_volume_and_what_is_mounted_is_read_only():
    told = settings(order(files={"/results": b""}, binds=("/opt/py",)))
    by_target = {mount["Target"]: mount for mount in told["mounts"]}
    assert by_target["/results"]["Type"] == "volume"
    assert by_target["/results"]["VolumeOptions"]["Labels"] == {"torch-matrix": "1"}
    assert by_target["/opt/py"]["Type"] == "bind"
    assert by_target["/opt/py"]["ReadOnly"] is True
    assert "/root" not in by_target


def test_what_lies_below_root_can_be_reached():
    """Every image keeps its own /root shut for others."""
    told = settings(order(binds=("/root/tools/python",)))
    assert [mount["Target"] for mount in told["mounts"] if mount["Type"] == "volume"] == ["/root"]


def test_access_to_devices():
    access = DeviceAccess(
        device_requests=({"driver": "cdi", "device_ids": ["nvidia.com/gpu=0"]},),
        devices=("/dev/kfd",), groups=("44",), mounts=(Mount(source="/drv", target="/drv"),),
        env={"B": "2"}, runtime="nvidia",
    )  # fmt: skip
    told = settings(order(access=access))
    assert told["device_requests"][0]["DeviceIDs"] == ["nvidia.com/gpu=0"]
    assert (told["devices"], told["group_add"]) == (["/dev/kfd"], ["44"])
    assert told["runtime"] == "nvidia"
    assert told["environment"] == {"A": "1", "B": "2"}
    assert told["mounts"][0]["ReadOnly"] is True


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "/run/containerd/containerd.sock"])
def test_no_cell_gets_an_engines_socket(source):
    with pytest.raises(StartRefused, match="is an engine's socket, which no cell may have"):
        settings(order(access=DeviceAccess(mounts=(Mount(source=source, target="/x"),))))


@pytest.mark.parametrize(
    ("text", "verdict", "sentence"),
    [
        pytest.param('could not select device driver "" with capabilities: [[gpu]]', "no-runner",
                     "the engine has no NVIDIA container toolkit: ", id="gpu"),
        pytest.param("Unknown runtime specified nvidia", "no-runner",
                     "the engine has no runtime `nvidia`: ", id="runtime-20.10"),
        pytest.param("unknown or invalid runtime name: nvidia", "no-runner",
                     "the engine has no runtime `nvidia`: ", id="runtime-26"),
        pytest.param('could not select device driver "cdi" with capabilities: []', "no-runner",
                     "the engine does not know CDI: ", id="cdi-20.10"),
        pytest.param("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all",
                     "no-runner", "the engine's CDI specs do not have nvidia.com/gpu=all: ",
                     id="cdi-28"),
        pytest.param('error gathering device information while adding custom device "/dev/kfd": '
                     "no such file or directory", "no-runner",
                     "the engine's machine has no /dev/kfd: ", id="device"),
        pytest.param("OCI runtime create failed: nvidia-container-cli: initialization error: x",
                     "no-runner", "the toolkit gives no GPU (nvidia-container-cli: ",
                     id="toolkit"),
        pytest.param("Unable to find group render: no matching entries in group file", "infra",
                     "the image has no group `render`; ", id="group-20.10"),
        pytest.param("unable to find group render: no matching entries in group file", "infra",
                     "the image has no group `render`; ", id="group-28"),
        pytest.param('exec: "docker-init": executable file not found in $PATH', "infra",
                     "the engine's machine has no `docker-init`; ", id="init"),
        pytest.param("Unknown runtime specified x", "no-runner",
                     "the engine has no runtime `x`; ", id="another-runtime"),
        pytest.param("No such image: sha256:12", "infra", "the image `sha256:12` is not on ",
                     id="image"),
        pytest.param('invalid mount config for type "bind": bind source path does not exist: /x',
                     "infra", "the engine's machine has no `/x`; ", id="mount"),
        pytest.param('exec: "/opt/x": stat /opt/x: no such file or directory: unknown', "infra",
                     "the image has no `/opt/x` that runs; ", id="program"),
        pytest.param("Requested CPUs are not available - requested 7, available: 0-1", "infra",
                     "the engine may not use the processors that were asked for; ", id="cpus"),
        pytest.param("mkdir /x: no space left on device", "infra", "the engine's disk is full; ",
                     id="disk"),
        pytest.param("something\n new", "infra",
                     "the engine did not start the container: something new", id="unknown"),
    ],
)  # fmt: skip
def test_each_refusal_is_a_sentence_and_never_evidence(text, verdict, sentence):
    refused = explain(refusal(text))
    assert refused.verdict == verdict
    assert refused.reason.startswith(sentence)
    assert "{" not in refused.reason


class Stream(list):
    """Output that may take its time."""

    def close(self):
        pass


class Container:
    """A container that has ended, or ends when it is killed."""

    id = "c1"

    def __init__(self, chunks=(), code=0, *, oom=False, runs=False, events=("start", "die")):
        self.chunks, self.runs = chunks, threading.Event()
        if not runs:
            self.runs.set()
        self.calls = []
        state = {"ExitCode": code, "OOMKilled": oom, "Running": False,
                 "StartedAt": "2026-01-01T00:00:00.123456789Z",
                 "FinishedAt": "2026-01-01T00:00:05.123456789Z"}  # fmt: skip
        self.attrs = {"State": state}
        self.events = Stream({"Action": action} for action in events)
        self.error = None

    def logs(self, **_options):
        def stream():
            yield from self.chunks
            self.runs.wait(10)

        return stream()

    def kill(self):
        self.calls.append("kill")
        self.attrs["State"]["ExitCode"] = 137
        self.runs.set()

    def reload(self):
        if self.error:
            raise self.error

    def put_archive(self, target, data):
        self.calls.append(f"put {target}")

    def start(self):
        self.calls.append("start")
        if self.error:
            raise self.error

    def remove(self, _id, **options):
        self.calls.append(f"remove {options}")


def engine_of(container):
    client = SimpleNamespace(
        events=lambda **_options: container.events,
        containers=SimpleNamespace(create=lambda **_options: container),
        api=SimpleNamespace(remove_container=container.remove),
    )
    heart = SimpleNamespace(
        ping=lambda: None, api=SimpleNamespace(kill=lambda _i: container.kill())
    )
    return Engine("tcp://x:1", client, heart)


@pytest.fixture
def end(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "POLL", 0.01)

    def run(container, *, timeout=10.0, stop=None, on_line=None):
        return follow(engine_of(container), container, log=tmp_path / "log", timeout=timeout,
                      stop=stop or threading.Event(), on_line=on_line)  # fmt: skip

    return run


def test_output_goes_to_the_log_and_to_who_watches(end, tmp_path):
    told = []
    ended = end(Container([b"one\ntw", b"o\nthr", b"ee"]), on_line=told.append)
    assert (tmp_path / "log").read_text() == "one\ntwo\nthree"
    assert told == ["one", "two", "three"]
    assert (ended.code, ended.cause, ended.last_line) == (0, "", "three")


@pytest.mark.parametrize(
    ("container", "cause"),
    [
        pytest.param(Container(code=137, oom=True), "oom", id="memory-limit"),
        pytest.param(Container(code=0, oom=True), "", id="a-child-at-the-memory-limit"),
        pytest.param(Container(code=137), "", id="killed-from-inside"),
        pytest.param(Container(code=137, events=("kill", "die")), "stopped-by-engine",
                     id="killed-through-the-engine"),
        pytest.param(Container(code=0, events=("kill", "die")), "stopped-by-engine",
                     id="asked-to-end-and-obeyed"),
        pytest.param(Container(code=1), "", id="by-itself"),
    ],
)  # fmt: skip
def test_the_cause_of_an_end(end, container, cause):
    assert end(container).cause == cause


def test_an_engine_that_forgot_the_end_was_restarted(end):
    with pytest.raises(EngineLost) as caught:
        end(Container(code=255, events=()))
    assert str(caught.value) == "the engine at `tcp://x:1` was restarted while the container ran"


def test_a_log_that_ends_while_nobody_answers_is_a_lost_engine(end):
    container = Container([b"half"])
    container.error = ConnectionRefusedError("refused")
    with pytest.raises(EngineLost, match="went away: refused"):
        end(container)


def test_a_container_that_was_removed(end):
    container = Container()
    container.error = refusal("No such container", 404)
    with pytest.raises(EngineLost, match="the container was removed by someone else"):
        end(container)


def test_a_log_that_ends_before_its_container_is_taken_up_again(end, monkeypatch, tmp_path):
    """Engines end it when they rotate their log."""
    monkeypatch.setattr(containers, "SETTLE", 0.05)
    container, asked = Container([b"x\n"]), []
    state = container.attrs["State"]
    state["Running"] = True

    def logs(**options):
        asked.append(options["tail"])
        state["Running"] = len(asked) < 3
        return iter([b"x\n"])

    container.logs = logs
    assert end(container).code == 0
    assert asked == ["all", 0, 0]
    assert (tmp_path / "log").read_text() == "x\n" * 3


def test_a_deadline_is_remembered(end):
    """A status of 137 alone could be anything."""
    container = Container(runs=True)
    ended = end(container, timeout=0.05)
    assert (ended.code, ended.cause) == (137, "timeout")
    assert container.calls == ["kill"]


def test_a_stop_kills_and_is_raised(end):
    stop = threading.Event()
    stop.set()
    container = Container(runs=True)
    with pytest.raises(Stopped):
        end(container, stop=stop)
    assert container.calls == ["kill"]


def test_a_full_disk_of_ours_is_not_the_cells_fault(end, monkeypatch):
    def full(_self, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Output, "write", full)
    with pytest.raises(OSError, match="No space left"):
        end(Container([b"x"]))


def test_files_are_there_before_it_starts_and_all_goes_after_it(tmp_path):
    container = Container()
    with started(engine_of(container), order(files={"/results": b"tar"})):
        pass
    assert container.calls == ["put /results", "start", "remove {'v': True, 'force': True}"]


def test_one_that_does_not_start_is_removed():
    container = Container()
    container.error = refusal("Unknown runtime specified x", 400)
    with pytest.raises(StartRefused), started(engine_of(container), order()):
        pass
    assert container.calls[-1] == "remove {'v': True, 'force': True}"


def test_an_engine_that_is_too_old():
    """The SDK refuses by itself what an old engine does not know."""
    container = Container()
    container.error = docker.errors.InvalidVersion("no device_requests")
    with pytest.raises(StartRefused) as caught, started(engine_of(container), order()):
        pass
    assert caught.value.reason == "the engine cannot do this: no device_requests"


def test_an_engine_that_is_back_does_not_run_a_lost_container_on(tmp_path):
    """Its work is done elsewhere by then, maybe on the same GPU."""
    container = Container()
    engine = engine_of(container)
    with pytest.raises(EngineLost), started(engine, order()):
        raise EngineLost("two pings were late")
    assert container.calls == ["start", "remove {'v': True, 'force': True}"]


def test_nobody_waits_for_a_lost_engine_once_more():
    def refuse():
        raise ConnectionRefusedError("refused")

    container = Container()
    engine = engine_of(container)

    def lose():
        with started(engine, order()):
            engine.heart.ping = refuse
            raise EngineLost("it went away")

    with pytest.raises(EngineLost):
        lose()
    assert container.calls == ["start"]


def test_a_file_that_a_container_did_not_leave(tmp_path):
    def get_archive(_path):
        raise refusal("no such file", 404)

    container = Container()
    container.get_archive = get_archive
    got = fetch(engine_of(container), container, "/results/out/x", tmp_path, Caps())
    assert (got.files, got.complaints) == ((), ())


def test_a_log_has_a_limit_and_says_what_is_missing(tmp_path):
    told = []
    with Output(tmp_path / "log", told.append, cap=10) as output:
        output.write(b"12345678\n")
        output.write(b"abc\nlast\n")
    assert (tmp_path / "log").read_text() == "12345678\na\n[log cap reached: 8 bytes dropped]\n"
    assert told == ["12345678", "abc", "last"], "who watches hears all"
    assert output.last_line == "last"


def test_a_line_without_end_costs_no_memory(tmp_path):
    with Output(tmp_path / "log", cap=10) as output:
        for _ in range(20):
            output.write(b"x" * 65536)
        assert len(output._rest) <= 65536
