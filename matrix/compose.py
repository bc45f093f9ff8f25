"""Cell → Compose file that pins it for production. Pure; every value is checked and quoted."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import jinja2

from matrix import resources
from matrix.accelerators import ACCELERATORS, DeviceAccess
from matrix.cells import Cell
from matrix.errors import InputError

# where torch of an image's account keeps what it compiles (`USER` is set there)
CACHE = "/tmp/torchinductor_matrix"  # noqa: S108  a path in a container
IMAGE = "${IMAGE:?name@sha256:… of this cell}"

_DIGEST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._:/-]*@)?sha256:[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MEMORY = re.compile(r"[1-9]\d*[kmg]", re.ASCII)


def render(
    cell: Cell,
    *,
    image: str = "",
    access: DeviceAccess | None = None,
    env: Mapping[str, str] = MappingProxyType({}),
    memory: str = "",
) -> str:
    """Render the Compose file of a cell; raises `InputError` with every value that may not enter.

    `image` is `name@sha256:…` or an image's id, `access` leads to the GPUs of one runner, `env` is
    what that runner sets. Without the first two the file asks Compose's environment for them.
    """
    found = ACCELERATORS[cell.device].unpinned() if access is None else access
    fixed = {"USER": "matrix", "TRITON_CACHE_DIR": f"{CACHE}/triton"}
    if problems := list(_problems(image, found, {**found.env, **env}, memory)):
        raise InputError(f"`{cell.id}` cannot become a Compose file:", problems)
    # only what a vendor's module wrote without a machine may have variables of Compose in it
    text = _quoted_with_variables if access is None else _quoted
    variables = {name: text(value) for name, value in {**fixed, **found.env}.items()}
    variables |= {name: _quoted(value) for name, value in env.items()}
    return _template().render(
        id=cell.id,
        project=_quoted(cell.id.replace(".", "-")),
        image=_quoted(image) if image else _quoted_with_variables(IMAGE),
        env=variables,
        cache=_quoted(CACHE),
        mounts=[
            {
                "source": _quoted(mount.source),
                "target": _quoted(mount.target),
                "read_only": json.dumps(mount.read_only),
            }
            for mount in found.mounts
        ],
        device_requests=[
            {
                "driver": text(request["Driver"]),
                "ids": f"[{', '.join(text(name) for name in request['DeviceIDs'])}]",
            }
            for request in found.device_requests
        ],
        devices=[text(f"{node}:{node}") for node in found.devices],
        groups=[text(group) for group in found.groups],
        runtime=_quoted(found.runtime) if found.runtime else "",
        memory=_quoted(memory) if memory else "",
        gpu=cell.device != "cpu",
        check=_check(cell),
        volume=_quoted(f"torch-matrix-{replace(cell, companions=()).id}"),
    )


def _check(cell: Cell) -> str:
    """A fresh process that allocates and computes; ROCm's torch calls its devices `cuda`, too."""
    device = "cpu" if cell.device == "cpu" else "cuda"
    code = f"import torch; assert torch.ones(2, device='{device}').sum().item() == 2"
    return f"[{', '.join(_quoted(word) for word in ('CMD', 'python', '-c', code))}]"


def _quoted(value: str) -> str:
    """A JSON string is a YAML scalar that ends where it should; Compose reads `$$` as a dollar."""
    return _quoted_with_variables(value.replace("$", "$$"))


def _quoted_with_variables(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _problems(
    image: str, access: DeviceAccess, env: Mapping[str, str], memory: str
) -> Iterator[str]:
    """Yield every value that does not have the shape it must have."""
    if image and not _DIGEST.fullmatch(image):
        yield f"image: {image!r} is not pinned; write name@sha256:… or an image's id"
    if memory and not _MEMORY.fullmatch(memory):
        yield f"memory: {memory!r} is no size such as 64g"
    values = [(f"env.{name}", value) for name, value in env.items()]
    values += [("device", node) for node in access.devices]
    values += [("group", group) for group in access.groups]
    values += [("mount", path) for m in access.mounts for path in (m.source, m.target)]
    values += [("runtime", access.runtime)]
    values += [("gpu", name) for r in access.device_requests for name in r["DeviceIDs"]]
    for place, value in values:
        if not value.isprintable():  # YAML folds or refuses some of the others, also in quotes
            yield f"{place}: {value!r} has characters that no setting needs"
    for name in env:
        if not _NAME.fullmatch(name):
            yield f"env: {name!r} is no name of a variable"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.templates()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  no HTML; values are quoted instead
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("compose.yaml.j2")
