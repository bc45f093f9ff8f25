"""Base images: which one a cell is built on, and making one from the distribution's packages."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from matrix.cells import Cell
from matrix.definition import Definition
from matrix.engines.builder import LABEL
from matrix.errors import InfrastructureError, InputError
from matrix.process import run
from matrix.render import base_image

SUITE, SUITE_PYTHON = "bookworm", "3.11"
LOCAL = f"torch-matrix/base:py{SUITE_PYTHON}-{SUITE}"
PINNED = "torch-matrix/pinned"
PACKAGES = ("passwd", "ca-certificates", "python3", "python3-venv", "python3-dev", "g++")
MIRROR = "http://deb.debian.org/debian"
MAKE_TIMEOUT = 1800.0
# what nobody reads in a cell is not unpacked, and no file is flushed on its own
_DPKG = ("force-unsafe-io", "path-exclude=/usr/share/doc/*", "path-exclude=/usr/share/man/*",
         "path-exclude=/usr/share/locale/*")  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """A base that is there: its name, the digest or id it had, and what `FROM` gets for it."""

    name: str
    digest: str
    reference: str

    def __str__(self) -> str:
        return f"{self.name} {self.digest}"


def find(
    client: docker.DockerClient, cell: Cell, definition: Definition, env: Mapping[str, str]
) -> Base | str:
    """Return the base of a cell, else one sentence about what is missing and what to do.

    Where the default base is absent, the one of `base build` serves cells with its Python.
    """
    name = base_image(cell, definition, env)
    own = cell.accelerator in definition.images or env.get(_variable(cell))
    names = [name] if own or cell.python != SUITE_PYTHON else [name, LOCAL]
    for candidate in names:
        if not candidate:
            continue
        try:
            return _pin(client, candidate)
        except ImageNotFound:
            continue
    build = f", or make `{LOCAL}` with `python -m matrix base build`"
    return (
        f"this engine has no base image `{name or 'for ' + cell.python}`: `docker pull` it, name "
        f"another one as `{cell.accelerator}` in [images] or ${_variable(cell)}"
        + build
        * (cell.python == SUITE_PYTHON)
    )


def _variable(cell: Cell) -> str:
    return f"MATRIX_IMAGE_{cell.accelerator.upper()}"


def _pin(client: docker.DockerClient, name: str) -> Base:
    """What a tag means now, in a form that cannot move while a run goes on."""
    image = client.images.get(name)
    repository = name.partition("@")[0].rpartition(":")[0] or name
    for digest in image.attrs.get("RepoDigests") or ():
        if digest.startswith(f"{repository}@") or name.startswith(digest.partition("@")[0]):
            return Base(name=name, digest=digest.partition("@")[2], reference=digest)
    # BuildKit looks an id up in a registry, so the id becomes a tag
    identity = image.id.partition(":")[2]
    reference = f"{PINNED}:{identity}"
    client.api.tag(image.id, PINNED, identity)
    return Base(name=name, digest=image.id, reference=reference)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A base image that was made; `size` in bytes."""

    name: str
    id: str
    size: int
    python: str
    tool: str
    seconds: float


def make(
    client: docker.DockerClient,
    *,
    env: Mapping[str, str],
    stop: threading.Event,
    note: Callable[[str], None],
) -> Made:
    """Make `LOCAL` from Debian's packages (`$MATRIX_APT_MIRROR` names a mirror).

    Raises `InputError` where no tool for it is installed, `InfrastructureError` where it fails.
    """
    clock = time.monotonic()
    tool = shutil.which("mmdebstrap") or shutil.which("debootstrap")
    if tool is None:
        raise InputError("no tool makes a base image here", ["`apt-get install mmdebstrap`"])
    mirror = env.get("MATRIX_APT_MIRROR", "")
    with tempfile.TemporaryDirectory(prefix="torch-matrix-base-") as name:
        archive = Path(name) / "root.tar"
        note(f"{Path(tool).name}: {SUITE} with {', '.join(PACKAGES)}")
        for argv in _commands(tool, Path(name), archive, mirror):
            done = run(argv, env=env, timeout=MAKE_TIMEOUT, stop=stop, on_line=note)
            if done.code != 0:
                what = f"`{Path(tool).name}` took too long" if done.timed_out else done.last_line
                hint = "; $MATRIX_APT_MIRROR names another mirror"
                raise InfrastructureError(f"the base image cannot be made: {what}{hint}")
        note(f"import of {archive.stat().st_size >> 20} MiB")
        changes = ["ENV LANG=C.UTF-8", f"LABEL {LABEL}=1", f"LABEL {LABEL}.base={SUITE}"]
        repository, _, tag = LOCAL.rpartition(":")
        client.api.import_image(str(archive), repository=repository, tag=tag, changes=changes)
    image = client.images.get(LOCAL)
    return Made(
        name=LOCAL,
        id=image.id,
        size=image.attrs["Size"],
        python=SUITE_PYTHON,
        tool=Path(tool).name,
        seconds=time.monotonic() - clock,
    )


def _commands(tool: str, folder: Path, archive: Path, mirror: str) -> list[list[str | Path]]:
    packages = f"--include={','.join(PACKAGES)}"
    if tool.endswith("/mmdebstrap"):
        options = [f"--dpkgopt={option}" for option in _DPKG]
        mirrors = [mirror] if mirror else []  # by itself it adds security updates
        return [[tool, "--variant=apt", packages, *options, SUITE, archive, *mirrors]]
    root = folder / "root"
    return [
        [tool, "--variant=minbase", packages, SUITE, root, mirror or MIRROR],
        ["tar", "--numeric-owner", "-C", root, "-cf", archive, "."],
    ]
