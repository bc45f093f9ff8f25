"""Labels on everything that is made on an engine, and the removal of what dead runs left there."""

import functools
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from matrix.engines.connection import Engine

OURS = "torch-matrix"
OWNER = "torch-matrix.owner"
RUN = "torch-matrix.run"
JOB = "torch-matrix.job"
OWNER_FILE = "owner"


def owner_of(folder: Path) -> str:
    """Whose runs these are: those of one results folder on one machine.

    An engine may serve several machines and checkouts, some with the same names; whether a run
    lives is known only where its lock is, and the owner's name lies beside it.
    """
    path = folder / OWNER_FILE
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f".{OWNER_FILE}.{secrets.token_hex(4)}"
        new.write_text(secrets.token_hex(8), encoding="ascii")
        with suppress(FileExistsError):  # another run was first
            path.hardlink_to(new)
        new.unlink()
        return path.read_text(encoding="ascii")


def labels(owner: str, run: str, job: str = "") -> dict[str, str]:
    """The labels of a thing that goes with its run."""
    return {OURS: "1", OWNER: owner, RUN: run, **({JOB: job} if job else {})}


def reap(engine: Engine, owner: str, lives: Callable[[str], bool]) -> tuple[str, ...]:
    """Remove containers and volumes of runs of this owner that live no more; says which.

    Images outlive their run, which makes the next one quick. Raises `EngineLost`.
    """
    client = engine.client
    mine = {"label": [f"{OURS}=1", f"{OWNER}={owner}", RUN]}
    living = functools.cache(lives)

    def dead(thing: Mapping[str, Any]) -> bool:
        return not living(thing["Labels"][RUN])

    with engine.errors():
        containers = [
            container.id[:12]
            for container in client.containers.list(all=True, filters=mine, sparse=True)
            if dead(container.attrs) and _removed(container.remove, v=True, force=True)
        ]
        volumes = [
            volume.name
            for volume in client.volumes.list(filters=mine)
            if dead(volume.attrs) and _removed(volume.remove, force=True)
        ]
    return (*containers, *volumes)


def _removed(remove: Callable[..., Any], **options: Any) -> bool:  # noqa: ANN401
    """Whether it is gone by us; what another process removes or uses meanwhile is its own."""
    try:
        remove(**options)
    except NotFound:
        return False
    except APIError as error:
        if error.status_code == 409:  # noqa: PLR2004  in use, or being removed
            return False
        raise
    return True
