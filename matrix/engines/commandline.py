"""Builds through a `docker` command line, where BuildKit is not to be had over the API alone."""

import re
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from matrix.engines.builder import BuildTimeout, Listener, Request, failed_step
from matrix.engines.context import unpack
from matrix.process import run

_LINE = re.compile(r"^#(\d+) (?:\d+\.\d+ )?(.*)$")


class CliBuilder:
    """`docker buildx build` where there is one, else `docker build` with its own BuildKit."""

    name = "buildkit-cli"
    mounts = True

    def __init__(
        self, binary: Path, env: Mapping[str, str], work: Path, stop: threading.Event
    ) -> None:
        self._binary = binary
        self._env = {**env, "DOCKER_BUILDKIT": "1"}
        self._work = work
        self._stop = stop

    def build(self, request: Request, listener: Listener, timeout: float) -> str:
        """Build from a folder with the request's files."""
        with tempfile.TemporaryDirectory(dir=self._work) as name:
            folder = Path(name)
            unpack(request.files, folder / "context")
            identity = folder / "id"
            lines = _Lines(listener)
            done = run(
                [*self._command(), *_options(request), "--iidfile", identity, folder / "context"],
                env=self._env, timeout=timeout, stop=self._stop, on_line=lines.tell,
            )  # fmt: skip
            if done.timed_out:
                raise BuildTimeout
            if done.code == 0 and identity.exists():
                return identity.read_text(encoding="utf-8").strip()
            step, words = lines.failed
            raise failed_step(lines.error or done.output[-2000:], step, words)

    def _command(self) -> list[str | Path]:
        asked = run([self._binary, "buildx", "version"], env=self._env, timeout=20, stop=self._stop)
        if asked.code == 0:
            return [self._binary, "buildx", "build", "--load"]
        return [self._binary, "build"]


def _options(request: Request) -> list[str]:
    options = ["--progress=plain"]
    if request.tag:
        options += ["--tag", request.tag]
    if request.network:
        options += ["--network", request.network]
    for name, value in request.labels.items():
        options += ["--label", f"{name}={value}"]
    for name, value in request.arguments.items():
        options += ["--build-arg", f"{name}={value}"]
    return options


class _Lines:
    """Reads `--progress=plain`: `#7 0.21 text` is output of step 7, whose name came first."""

    def __init__(self, listener: Listener) -> None:
        self.error = ""
        self._listener = listener
        self._names: dict[str, str] = {}
        self._words: dict[str, list[str]] = {}
        self._failed = ""

    @property
    def failed(self) -> tuple[str, tuple[str, ...]]:
        """Name and last lines of the step that failed."""
        return self._names.get(self._failed, ""), tuple(self._words.get(self._failed, ()))

    def tell(self, line: str) -> None:
        self._listener.write(line)
        found = _LINE.match(line)
        if not found:
            return
        number, text = found.groups()
        if number not in self._names:
            self._names[number] = text
            self._listener.stage(text)
        elif text.startswith("ERROR"):
            self._failed, self.error = number, text
        elif text.strip() and not text.startswith(("DONE", "CACHED", "sha256:")):
            self._words[number] = [*self._words.get(number, [])[-19:], text.strip()]
