"""Room on an engine's disk: a watermark, and removal of our own images and build caches only."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from matrix.engines.builder import LABEL, RUN_LABEL
from matrix.engines.labels import OWNER
from matrix.errors import InputError, RunnerUnfit

MIN_FREE_GB = 10.0
YOUNG = 3600.0  # seconds: another run may be about to use what it has just made
LONGEST = 7 * 86400.0  # seconds: whether a run of another machine or checkout lives is not known
_IN_USE = 409
# in BuildKit's words for what a step of ours left: nothing else has a uv or a cache there
_OURS = ("/run/build/uv ", "/run/build/cache", "/opt/constraints.txt", "torch-matrix")


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """Whose images these are: the owner of this run, and which of the owner's runs live."""

    owner: str
    lives: Callable[[str], bool]


def make_room(
    client: docker.DockerClient, runs: Runs, env: Mapping[str, str], note: Callable[[str], None]
) -> None:
    """Prune when less than `$MATRIX_MIN_FREE_GB` is free; raises `RunnerUnfit` if still less is.

    Only an engine on this machine says what is free.
    """
    text = env.get("MATRIX_MIN_FREE_GB", "")
    try:
        wanted = float(text or MIN_FREE_GB) * 1e9
    except ValueError:
        raise InputError(f"$MATRIX_MIN_FREE_GB is `{text}`", ["a number of gigabytes"]) from None
    free = free_bytes(client)
    if free is None or free >= wanted:
        return
    for line in prune(client, runs):
        note(line)
    if (free := free_bytes(client)) is not None and free < wanted:
        reason = (
            f"{free / 1e9:.1f} GB are free on the engine's disk, {wanted / 1e9:.1f} are wanted; "
            "`docker system prune` frees what is not ours, $MATRIX_MIN_FREE_GB asks for less"
        )
        raise RunnerUnfit("infra", reason)


def free_bytes(client: docker.DockerClient) -> int | None:
    """Free bytes below the engine's data folder, None where it is another machine's."""
    if not client.api.base_url.startswith("http+docker://"):
        return None
    folder = Path(client.info().get("DockerRootDir", ""))
    return shutil.disk_usage(folder).free if folder.is_dir() else None


def prune(client: docker.DockerClient, runs: Runs) -> list[str]:
    """Remove cells and tools that no living run needs and what built them; says what went.

    Bases stay, and what is younger than an hour, and everything without our label. Of runs of
    another owner nobody here knows whether they live: theirs stay for a week.
    """
    removed = [
        f"removed image {image['Id'][7:19]}, {image['Size'] / 1e6:.0f} MB"
        for image in client.api.images(filters={"label": f"{LABEL}=1"})
        if not _is_needed(image, runs) and _remove(client, image)
    ]
    if freed := _prune_records(client):
        removed.append(f"removed build cache, {freed / 1e6:.0f} MB")
    return removed


def _is_needed(image: Mapping[str, Any], runs: Runs) -> bool:
    labels = image.get("Labels") or {}
    age = time.time() - float(image["Created"])
    if run := labels.get(RUN_LABEL):
        if labels.get(OWNER) == runs.owner:
            return age < YOUNG or runs.lives(run)
        return age < LONGEST
    tools = not labels.keys().isdisjoint((f"{LABEL}.tools", f"{LABEL}.stage"))
    return not tools or age < YOUNG


def _remove(client: docker.DockerClient, image: Mapping[str, Any]) -> bool:
    try:
        for tag in image.get("RepoTags") or [image["Id"]]:
            client.api.remove_image(image["Id"] if tag == "<none>:<none>" else tag)
    except ImageNotFound:
        return True
    except APIError as error:
        if error.status_code == _IN_USE:  # a container has it, or another run does
            return False
        raise
    return True


def _prune_records(client: docker.DockerClient) -> int:
    """Prune BuildKit's records that are ours, one by one; returns bytes."""
    api = client.api
    freed = 0
    for record in client.df().get("BuildCache") or ():
        ours = any(word in record.get("Description", "") for word in _OURS)
        if not ours or record.get("InUse"):
            continue
        parameters = {"all": "1", "filters": json.dumps({"id": {record["ID"]: True}})}
        answer = api._post(api._url("/build/prune"), params=parameters)  # noqa: SLF001  no filters in docker-py
        freed += int(api._result(answer, json=True).get("SpaceReclaimed", 0))  # noqa: SLF001
    return freed
