"""Builds over the engine's API with docker-py alone: BuildKit (`version=2`) and classic.

docker-py's own `images.build` always takes the classic builder (docker-py issue 2230), and its tar
starts with a PAX header, which BuildKit takes for the Dockerfile.
"""

import json
import queue
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import docker
import requests
from docker.errors import APIError, DockerException

from matrix.engines import trace
from matrix.engines.builder import (
    BuildRefused,
    BuildTimeout,
    Listener,
    Request,
    failed_step,
)
from matrix.engines.context import pack
from matrix.process import Stopped

_POLL = 0.1
_SILENCE = 10.0  # seconds without a word before the engine is asked whether it lives
_ANSWER = 10.0
_CLASSIC_OWN = ("---> ", "Removing intermediate container")
FAULTS = (APIError, DockerException, requests.RequestException, OSError, ValueError)


class ApiBuilder:
    """`buildkit-api` or `classic`: the same request, told apart by `version`."""

    def __init__(
        self, client: docker.DockerClient, work: Path, stop: threading.Event, *, name: str
    ) -> None:
        self.name = name
        self.mounts = name == "buildkit-api"
        self._client = client
        self._work = work
        self._stop = stop

    def build(self, request: Request, listener: Listener, timeout: float) -> str:
        """Build; dropping the connection is what cancels a build."""
        parameters = {
            "version": "2" if self.mounts else "1",
            "dockerfile": "Dockerfile",
            "labels": json.dumps(dict(request.labels)),
            "buildargs": json.dumps(dict(request.arguments)),
            "rm": "1",
            "forcerm": "1",
        }
        if request.tag:
            parameters["t"] = request.tag
        if request.network:
            parameters["networkmode"] = request.network
        reader = _BuildKit(listener) if self.mounts else _Classic(listener)
        with pack(request.files, self._work) as body:
            call = _Call(self._client, parameters, body)
            for message in call.messages(time.monotonic() + timeout, self._stop):
                reader.tell(message)
        if not reader.image:
            raise BuildRefused("the engine ended the build without a word; was it stopped?")
        return reader.image


class _BuildKit:
    """Reads the stream of a BuildKit build."""

    def __init__(self, listener: Listener) -> None:
        self.image = ""
        self._transcript = trace.Transcript(listener.write, listener.stage)
        self._traced = False

    def tell(self, message: dict[str, Any]) -> None:
        if message.get("id") == "moby.buildkit.trace":
            self._traced = True
            for event in trace.decode(message["aux"]):
                self._transcript.tell(event)
        elif message.get("id") == "moby.image.id":
            self.image = message["aux"]["ID"]
        elif "error" in message:
            step, words = self._transcript.failed or ("", ())
            raise failed_step(message["error"], step, words)
        elif "stream" in message and not self._traced:
            raise BuildRefused("the engine answered with its classic builder")


class _Classic:
    """Reads the stream of a classic build."""

    def __init__(self, listener: Listener) -> None:
        self.image = ""
        self._listener = listener
        self._step = ""
        self._words: list[str] = []

    def tell(self, message: dict[str, Any]) -> None:
        if "error" in message:
            raise failed_step(message["error"], self._step, tuple(self._words))
        if isinstance(message.get("aux"), dict):
            self.image = message["aux"].get("ID", self.image)
        for line in str(message.get("stream", "")).splitlines():
            self._listener.write(line)
            if line.startswith("Step "):
                self._step, self._words = line, []
                self._listener.stage(line)
            elif (line := _plain(line)) and not line.startswith(_CLASSIC_OWN):
                self._words = [*self._words[-19:], line]


def _plain(line: str) -> str:
    """A line without the colours that the classic builder gives to errors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line).strip()


class _Call:
    """One request whose answer is read in a thread, so that it can be left at any time."""

    def __init__(
        self, client: docker.DockerClient, parameters: dict[str, str], body: IO[bytes]
    ) -> None:
        self._api = client.api
        self._response: requests.Response | None = None
        self._queue: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(parameters, body), daemon=True)

    def messages(self, deadline: float, stop: threading.Event) -> Iterator[dict[str, Any]]:
        """Yield the engine's messages until the answer ends; the connection is gone afterwards."""
        self._thread.start()
        try:
            heard = time.monotonic()
            while True:
                if stop.is_set():
                    raise Stopped
                if time.monotonic() > deadline:
                    raise BuildTimeout
                try:
                    item = self._queue.get(timeout=_POLL)
                except queue.Empty:
                    if time.monotonic() - heard > _SILENCE:
                        self._ask()
                        heard = time.monotonic()
                    continue
                heard = time.monotonic()
                if item is None:
                    return
                if isinstance(item, APIError):
                    raise BuildRefused(_sentence(item)) from item
                if isinstance(item, Exception):
                    message = f"the connection broke, was the engine stopped? {_sentence(item)}"
                    raise BuildRefused(message) from item
                yield item
        finally:
            self._drop()

    def _ask(self) -> None:
        """An engine that is frozen or gone leaves its streams open and silent."""
        try:
            self._api.get(self._api.base_url + "/_ping", timeout=_ANSWER)
        except FAULTS as error:
            message = f"the engine has not answered for {_ANSWER:.0f} s: {_sentence(error)}"
            raise BuildRefused(message) from error

    def _read(self, parameters: dict[str, str], body: IO[bytes]) -> None:
        api = self._api
        try:
            self._response = api._post(  # noqa: SLF001  the only way to BuildKit, see above
                api._url("/build"), data=body, params=parameters, stream=True, timeout=None,  # noqa: SLF001
                headers={"Content-Type": "application/x-tar"},
            )  # fmt: skip
            api._raise_for_status(self._response)  # noqa: SLF001
            for message in api._stream_helper(self._response, decode=True):  # noqa: SLF001
                self._queue.put(message)
        except Exception as error:  # noqa: BLE001  a thread hands over whatever ended it
            self._queue.put(error)
        self._queue.put(None)

    def _drop(self) -> None:
        """Shut the connection down: closing it does not wake a thread that reads from it."""
        if self._response is None:
            return
        with suppress(AttributeError, *FAULTS):
            reader = self._api._get_raw_response_socket(self._response)  # noqa: SLF001
            getattr(reader, "_sock", reader).shutdown(socket.SHUT_RDWR)
        self._thread.join(_ANSWER)
        self._response.close()


def _sentence(error: Exception) -> str:
    """The engine's own words where it has said something."""
    words = getattr(error, "explanation", None) or str(error)
    return " ".join(str(words).split())[:600]
