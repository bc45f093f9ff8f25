"""Which builder an engine has, found by building something small with it; never swapped silently.

BuildKit over the engine's API → BuildKit through a command line → the classic builder.
"""

import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import docker
from docker.errors import APIError

from matrix.engines.api import ApiBuilder
from matrix.engines.builder import (
    LABEL,
    Builder,
    BuildRefused,
    BuildTimeout,
    Listener,
    Request,
    StepFailed,
)
from matrix.engines.commandline import CliBuilder
from matrix.errors import InputError

BUILDERS = ("buildkit-api", "buildkit-cli", "classic")
PROBE_TIMEOUT = 60.0


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
            continue
        except BuildTimeout as error:  # busy is no reason to swap it for another
            message = f"{builder.name} has not built one line within {PROBE_TIMEOUT:.0f} s"
            raise BuildRefused(message) from error
        with suppress(APIError):  # another process may have made and removed the same
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
    yield ApiBuilder(client, work, stop, name="buildkit-api")
    for command in _commands(env):
        yield CliBuilder(command, env, work, stop)
    yield ApiBuilder(client, work, stop, name="classic")


def _commands(env: Mapping[str, str]) -> Iterator[Path]:
    """Every `docker` on the PATH: a newer one without buildx may hide the distribution's."""
    folders = [*env.get("PATH", os.defpath).split(os.pathsep), "/usr/bin"]
    found = (shutil.which("docker", path=folder) for folder in dict.fromkeys(folders) if folder)
    yield from dict.fromkeys(Path(path).resolve() for path in found if path)
