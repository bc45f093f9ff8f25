"""How an engine is found, and how its loss shows."""

import threading
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest
import requests

from matrix.engines import connection, tunnel
from matrix.engines.connection import Engine, EngineLost, Pulse, connect
from matrix.engines.tunnel import NoEngine, Tunnel
from matrix.process import Completed


class Client:
    """In the place of the SDK's client."""

    def __init__(self, answers=()):
        self.answers = list(answers)
        self.api = SimpleNamespace(version=lambda **_options: {"ApiVersion": "1.51"})
        self.closed = False

    def ping(self):
        answer = self.answers.pop(0) if self.answers else None
        if answer:
            raise answer

    def close(self):
        self.closed = True


@pytest.fixture
def made(monkeypatch):
    """The arguments of all clients that are made; sockets of this machine answer."""
    seen = []

    def client(**options):
        seen.append(options)
        return Client()

    monkeypatch.setattr(docker, "DockerClient", client)
    monkeypatch.setattr(connection, "_knock", lambda _url: None)
    return seen


@pytest.mark.parametrize(
    ("url", "env", "wanted"),
    [
        pytest.param("", {}, "unix:///var/run/docker.sock", id="default"),
        pytest.param("", {"DOCKER_HOST": "tcp://h:1"}, "tcp://h:1", id="environment"),
        pytest.param("unix:///x", {"DOCKER_HOST": "tcp://h:1"}, "unix:///x", id="named"),
    ],
)
def test_which_engine(made, url, env, wanted):
    engine = connect(url, env)
    assert engine.url == wanted
    assert {options["base_url"] for options in made} == {wanted}
    assert made[1]["timeout"] > 60 > made[2]["timeout"], "work is patient, the pulse is not"
    assert (made[1]["version"], made[2]["version"]) == ("1.51", "1.51")
    assert engine.is_local == wanted.startswith("unix")


def test_tls_as_the_docker_command_has_it(made, tmp_path):
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    env = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    connect("tcp://h:2376", env)
    tls = made[0]["tls"]
    assert tls.ca_cert == str(tmp_path / "ca.pem")
    assert tls.cert == (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    assert tls.verify is True
    connect("tcp://h:2375", {})
    assert made[-1]["tls"] is False


def test_certificates_and_proxies_for_the_web_are_not_the_engines(made):
    """`REQUESTS_CA_BUNDLE` would take the place of the engine's own certificate."""
    engine = connect("tcp://h:2376", {})
    assert engine.client.api.trust_env is False
    assert engine.heart.api.trust_env is False


def test_certificates_that_are_missing(made, tmp_path):
    with pytest.raises(NoEngine, match=r"no Docker engine answers at `tcp://h:1`: .*certificate"):
        connect("tcp://h:1", {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)})


def test_an_address_that_is_none():
    with pytest.raises(NoEngine) as caught:
        connect("npipe://x", {})
    assert str(caught.value) == (
        "`npipe://x` is no address of an engine, which begins with one of unix://, tcp://, "
        "http://, https://, ssh://"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(FileNotFoundError(2, "No such file or directory"),
                     "start one, or say where one is with DOCKER_HOST", id="absent"),
        pytest.param(PermissionError(13, "Permission denied"),
                     "this user may not use it: join its group, often `docker`", id="denied"),
    ],
)  # fmt: skip
def test_no_engine(monkeypatch, error, said):
    def knock(_url):
        raise error

    monkeypatch.setattr(connection, "_knock", knock)
    with pytest.raises(NoEngine) as caught:
        connect("unix:///x", {})
    assert str(caught.value) == f"no Docker engine answers at `unix:///x`: {error}; {said}"
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("answer", [{}, [], "Not a Docker engine"])
def test_something_else_that_listens_there(made, monkeypatch, answer):
    api = SimpleNamespace(version=lambda **_options: answer)
    monkeypatch.setattr(docker, "DockerClient", lambda **_: SimpleNamespace(api=api, close=list))
    with pytest.raises(NoEngine, match="no Docker engine answers at `tcp://h:80`: "):
        connect("tcp://h:80", {})


LOSSES = [
    pytest.param(requests.ConnectionError("refused"), "went away: refused", id="refused"),
    pytest.param(requests.exceptions.ChunkedEncodingError("ended"), "went away: ended", id="cut"),
    pytest.param(ConnectionResetError("reset"), "went away: reset", id="reset"),
    pytest.param(requests.ReadTimeout("t"),
                 "does not answer any more (it hangs, or its machine does)", id="timeout"),
    pytest.param(requests.ConnectionError("Read timed out."),
                 "does not answer any more (it hangs, or its machine does)", id="as-the-sdk-says"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "said"), LOSSES)
def test_all_that_the_sdk_raises_where_no_engine_is(error, said):
    engine = Engine("tcp://x:1", Client(), Client([error]))
    with pytest.raises(EngineLost) as caught:
        engine.check()
    assert str(caught.value) == f"the engine at `tcp://x:1` {said}"


def test_an_engine_that_was_stopped_took_its_socket_away(tmp_path, monkeypatch):
    def knock(_url):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(connection, "_knock", knock)
    with pytest.raises(EngineLost, match=r"went away: .*No such file"):
        Engine(f"unix://{tmp_path}/s", Client(), Client()).check()


def test_an_engine_that_refuses_is_there():
    response = SimpleNamespace(status_code=500, reason="", url="")
    error = docker.errors.APIError("no", response=response)
    engine = Engine("tcp://x:1", Client(), Client())
    with pytest.raises(docker.errors.APIError), engine.errors():
        raise error


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr(connection.time, "monotonic", lambda: now.time)
    return now


def pulse_of(*answers):
    return Pulse(Engine("tcp://x:1", Client(), Client(answers)))


def test_a_pulse_is_felt_now_and_then(clock):
    pulse = pulse_of(ConnectionResetError("gone"))
    pulse.feel()
    clock.time += connection.PULSE_EVERY + 1
    with pytest.raises(EngineLost):
        pulse.feel()


def test_one_late_answer_is_a_busy_engine_two_are_a_frozen_one(clock):
    late = requests.ReadTimeout("late")
    pulse = pulse_of(late, None, late, late)
    for _ in range(3):
        clock.time += connection.PULSE_EVERY + 1
        pulse.feel()
    clock.time += connection.PULSE_EVERY + 1
    with pytest.raises(EngineLost, match="does not answer"):
        pulse.feel()


@pytest.fixture
def ssh(monkeypatch):
    """An ssh that makes its socket, or says why not."""
    world = SimpleNamespace(says="", commands=[])

    def run(command, *, env, timeout, stop):
        world.commands.append(command)
        if world.says:
            return Completed(code=255, output=world.says, seconds=0.1, timed_out=False)
        Path(command[command.index("-L") + 1].partition(":")[0]).touch()
        stop.wait(20)
        return Completed(code=0, output="", seconds=0.1, timed_out=False)

    monkeypatch.setattr(tunnel, "run", run)
    return world


def test_an_engine_through_ssh(made, ssh):
    engine = connect("ssh://me@far:2222/run/user/7/docker.sock", {})
    place = engine.tunnel.socket
    assert made[0]["base_url"] == f"unix://{place}"
    assert not engine.is_local
    assert ssh.commands[0][-6:] == [f"{place}:/run/user/7/docker.sock", "-p", "2222", "--",
                                    "me@far", "cat"]  # fmt: skip
    assert "BatchMode=yes" in ssh.commands[0], "nobody is there to type a password"
    engine.close()
    assert not place.parent.exists()
    assert not engine.tunnel.thread.is_alive()


def test_a_login_that_is_refused(ssh):
    ssh.says = "me@far: Permission denied (publickey)."
    with pytest.raises(NoEngine, match=r"made no tunnel: me@far: Permission denied \(publickey\)"):
        connect("ssh://me@far", {})
    assert threading.active_count() == 1


def test_a_tunnel_that_never_comes(ssh, monkeypatch):
    monkeypatch.setattr(tunnel, "run", lambda *_a, stop, **_o: stop.wait(20))
    held = Tunnel("ssh://far", {})
    with pytest.raises(NoEngine, match="no connection within 0 s"):
        held.wait(timeout=0.05)
