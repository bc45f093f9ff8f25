"""Labels on everything that is made on an engine, and the removal of what dead runs left there."""

import hashlib
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from matrix.engines.connection import Engine

OURS = "torch-matrix"
OWNER = "torch-matrix.owner"
RUN = "torch-matrix.run"
JOB = "torch-matrix.job"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaped:
    """What was removed, by its names."""

    containers: tuple[str, ...]
    volumes: tuple[str, ...]
    images: tuple[str, ...]


def owner_of(folder: Path) -> str:
    """Whose runs these are: those of one results folder on one machine.

    An engine may serve several machines and checkouts; whether a run lives is known only where
    its lock is.
    """
    return hashlib.sha256(f"{socket.gethostname()}\0{folder.resolve()}".encode()).hexdigest()[:16]


def labels(owner: str, run: str, job: str = "") -> dict[str, str]:
    """The labels of a thing that goes with its run."""
    return {OURS: "1", OWNER: owner, RUN: run, **({JOB: job} if job else {})}


def reap(engine: Engine, owner: str, lives: Callable[[str], bool]) -> Reaped:
    """Remove containers, volumes and images of runs of this owner that live no more.

    An image that is to outlive its run carries no label of a run. Raises `EngineLost`.
    """
    client = engine.client
    mine = {"label": [f"{OURS}=1", f"{OWNER}={owner}", RUN]}
    known: dict[str, bool] = {}

    def dead(found: Iterable[Any], where: str) -> list[Any]:
        chosen = []
        for item in found:
            run = str((item.attrs[where] or {}).get(RUN, ""))
            if run not in known:
                known[run] = lives(run)
            if not known[run]:
                chosen.append(item)
        return chosen

    with engine.errors():
        containers = client.containers.list(all=True, filters=mine, sparse=True)
        gone = [
            c.id[:12] for c in dead(containers, "Labels") if _removed(c.remove, v=True, force=True)
        ]
        volumes = dead(client.volumes.list(filters=mine), "Labels")
        freed = [v.name for v in volumes if _removed(v.remove, force=True)]
        images = client.api.images(filters=mine, all=False)
        unused = [
            image["Id"]
            for image in images
            if not known.setdefault(run := image["Labels"][RUN], lives(run))
            and _removed(client.images.remove, image["Id"], force=True)
        ]
    return Reaped(containers=tuple(gone), volumes=tuple(freed), images=tuple(unused))


def _removed(remove: Callable[..., Any], *arguments: Any, **options: Any) -> bool:  # noqa: ANN401
    """Whether it is gone by us; what another process removes or uses meanwhile is its own."""
    try:
        remove(*arguments, **options)
    except NotFound:
        return False
    except APIError as error:
        if error.status_code == 409:  # noqa: PLR2004  in use, or being removed
            return False
        raise
    return True
