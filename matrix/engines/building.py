"""Which builder an engine has, found by building something small with it; never swapped silently.

BuildKit over the engine's API → BuildKit through a command line → the classic builder.
"""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import docker

from matrix.engines.context import Files
from matrix.errors import InputError

BUILDERS = ("buildkit-api", "buildkit-cli", "classic")
LABEL, RUN_LABEL = "torch-matrix", "torch-matrix.run"
PROBE_TIMEOUT = 60.0
_EXIT_CODE = re.compile(r"(?:exit code|non-zero code): (\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """An image to build from `files`, whose `Dockerfile` says how; no tag is needed."""

    files: Files
    tag: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    network: str = ""


class StepFailed(Exception):  # noqa: N818  the step failed, not the engine
    """A RUN step ended with a code other than 0; `words` are its last lines."""

    def __init__(self, step: str, words: tuple[str, ...], code: int) -> None:
        super().__init__(f"`{step}` ended with code {code}: {' '.join(words)}")
        self.step = step
        self.words = words
        self.code = code


class BuildRefused(Exception):  # noqa: N818  it says who
    """The engine or its builder did not do it, and no step is to blame."""


class BuildTimeout(Exception):  # noqa: N818  as its builtin namesake
    """The build passed its deadline and was cancelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """Who hears of a build: `write` every line of its log, `stage` the step that begins."""

    write: Callable[[str], None] = lambda _line: None
    stage: Callable[[str], None] = lambda _step: None


class Builder(Protocol):
    """One way to build an image."""

    name: str
    mounts: bool

    def build(self, request: Request, listener: Listener, timeout: float) -> str:
        """Build; returns the image's id.

        Raises `StepFailed`, `BuildRefused`, `BuildTimeout`, `Stopped`.
        """


def failed_step(error: str, step: str, words: tuple[str, ...]) -> Exception:
    """What a builder's error message means: a step that failed, or no step at all."""
    if found := _EXIT_CODE.search(error):
        return StepFailed(step, words, int(found[1]))
    return BuildRefused(" ".join(error.split())[:600])


def choose(
    client: docker.DockerClient,
    base: str,
    *,
    env: Mapping[str, str],
    work: Path,
    stop: threading.Event,
) -> tuple[Builder, tuple[str, ...]]:
    """Find the first builder that really builds on `base`; also says why others did not.

    `$MATRIX_BUILDER` names the only one to try. Raises `BuildRefused` where none builds.
    """
    wanted = env.get("MATRIX_BUILDER", "")
    if wanted and wanted not in BUILDERS:
        raise InputError(f"$MATRIX_BUILDER is `{wanted}`", [f"one of {', '.join(BUILDERS)}"])
    refusals: list[str] = []
    for builder in _candidates(client, env, work, stop):
        if wanted and builder.name != wanted:
            continue
        try:
            image = builder.build(_probe(base, mounts=builder.mounts), Listener(), PROBE_TIMEOUT)
        except (BuildRefused, StepFailed) as error:
            refusals.append(f"{builder.name}: {error}")
        except BuildTimeout:
            refusals.append(f"{builder.name}: nothing after {PROBE_TIMEOUT:.0f} s")
        else:
            client.api.remove_image(image, noprune=builder.mounts)
            return builder, tuple(refusals)
    raise BuildRefused("; ".join(refusals) or f"this engine cannot be built on with {wanted}")


def _probe(base: str, *, mounts: bool) -> Request:
    mount = "--mount=type=cache,target=/probe --mount=type=tmpfs,target=/tmp " * mounts
    text = f"FROM {base}\nRUN {mount}true\n"
    return Request(files={"Dockerfile": text.encode()}, labels={LABEL: "1"})


def _candidates(
    client: docker.DockerClient, env: Mapping[str, str], work: Path, stop: threading.Event
) -> Iterator[Builder]:
    from matrix.engines.api import ApiBuilder  # noqa: PLC0415  they import what is above
    from matrix.engines.commandline import CliBuilder  # noqa: PLC0415  as above

    yield ApiBuilder(client, work, stop, name="buildkit-api")
    for command in _commands(env):
        yield CliBuilder(command, env, work, stop)
    yield ApiBuilder(client, work, stop, name="classic")


def _commands(env: Mapping[str, str]) -> Iterator[Path]:
    """Every `docker` on the PATH: a newer one without buildx may hide the distribution's."""
    folders = [*env.get("PATH", os.defpath).split(os.pathsep), "/usr/bin"]
    found = (shutil.which("docker", path=folder) for folder in dict.fromkeys(folders) if folder)
    yield from dict.fromkeys(Path(path).resolve() for path in found if path)
