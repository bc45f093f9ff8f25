"""Cell → Dockerfile text. Pure; every value is checked before it can enter the text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import jinja2

from matrix import facts, resources
from matrix.accelerators import ACCELERATORS, accelerator_of
from matrix.cells import Cell
from matrix.definition import TEST_TOOLS, Definition, Suite
from matrix.errors import InputError
from matrix.indexes import requirement

# wheels bring the vendors' libraries, so one base serves all (facts/base_images.csv); bookworm's
# glibc 2.36 and g++ 12 stay the same while the floating `-slim` tags move on
DEFAULT_IMAGE = "python:{python}-slim-bookworm"
DEFAULT_TOOLS = "ghcr.io/astral-sh/uv:0.8"
UID = 10001  # above those that distributions hand out: Ubuntu's image already has a 1000

_VERSION = r"\d+(?:\.\d+)*(?:(?:a|b|rc)\d+|\.(?:post|dev)\d+)*"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_CLAUSE = r" ?(?:===?|~=|!=|[<>]=?) ?[0-9A-Za-z.*+!_-]+"
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "torch": re.compile(_VERSION, re.ASCII),
    "variant": re.compile(r"cpu|cu\d{2,}|rocm\d+(?:\.\d+)+", re.ASCII),
    "python": re.compile(r"3\.\d{1,2}t?", re.ASCII),
    "image": re.compile(
        rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{{1,5}})?/)?{_COMPONENT}(?:/{_COMPONENT})*"
        r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
        re.ASCII,
    ),
    "index": re.compile(
        r"https?://[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{1,5})?(?:/[A-Za-z0-9._~+-]+)*/?"
    ),
    "requirement": re.compile(
        r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9._-]+(?:, ?[A-Za-z0-9._-]+)*\])?"
        rf"(?:{_CLAUSE}(?:,{_CLAUSE})*| @ https?://[A-Za-z0-9._~:/?#&()*+,;=%-]+)?"
        r"(?: ?; ?[A-Za-z0-9_ .,<>=!'\"()-]+)?",
        re.ASCII,
    ),
}
_SHAPES: Mapping[str, str] = {
    "torch": "a release such as 2.13.0",
    "variant": "a variant such as cu130",
    "python": "a version such as 3.12 or 3.14t",
    "image": "an image such as registry/name:tag or name@sha256:…",
    "index": "a plain http(s) address",
    "requirement": "a requirement such as numpy<2",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One install step of a cell's image, from a lock of its own in the build context.

    `requirements` are what was asked for; the lock holds them and all they need, less what the
    layers before hold.
    """

    name: str
    requirements: tuple[str, ...]

    @property
    def lock(self) -> str:
        """Path of the layer's lock in the build context."""
        return f"locks/{self.name}.txt"


def layers(cell: Cell, suites: tuple[Suite, ...]) -> tuple[Layer, ...]:
    """Split a cell's requirements into layers that are installed in turn, stable ones first."""
    default = cell.variant == facts.default_variant(cell.torch)
    torch = [requirement(cell.torch, cell.variant, default=default)]
    torch += [need.requirement for need in facts.needs_of(cell.torch)]
    tools = {extra for suite in suites for extra in suite.requirements}
    if any(not suite.command for suite in suites):
        tools |= set(TEST_TOOLS)
    wanted = {"torch": torch, "companions": cell.companions, "tools": sorted(tools)}
    return tuple(Layer(name=n, requirements=tuple(r)) for n, r in wanted.items() if r)


def base_image(cell: Cell, definition: Definition, env: Mapping[str, str]) -> str:
    """The base of a cell: `$MATRIX_IMAGE_CPU` and the like, else [images], else the default.

    `{python}` in a user's image stands for the cell's version; "" where there is no base.
    """
    name = cell.accelerator
    image = env.get(f"MATRIX_IMAGE_{name.upper()}") or definition.images.get(name, "")
    if not image and not cell.python.endswith("t"):
        image = DEFAULT_IMAGE
    return image.replace("{python}", cell.python)


def render(
    cell: Cell,
    definition: Definition,
    *,
    suites: tuple[Suite, ...],
    env: Mapping[str, str] = MappingProxyType({}),
    mounts: bool = True,
) -> str:
    """Render the Dockerfile of a cell; raises `InputError` with every value that may not enter.

    `env` may override the base (`base_image`). The build context must hold the lock of each of
    `layers` and a folder `payload`. Without `mounts` the classic builder takes it.
    """
    if problems := list(_problems(cell, definition, suites, env)):
        raise InputError(f"`{cell.id}` cannot become a Dockerfile:", problems)
    default = cell.variant == facts.default_variant(cell.torch)
    template = _templates().get_template(f"{cell.accelerator}.Dockerfile.j2")
    return template.render(
        id=cell.id,
        torch=cell.torch,
        variant=cell.variant,
        python=cell.python,
        accelerator=cell.accelerator,
        toolkit=ACCELERATORS[cell.accelerator].toolkit(cell.variant),
        wanted=requirement(cell.torch, cell.variant, default=default),
        image=base_image(cell, definition, env),
        tools=DEFAULT_TOOLS,
        index="" if default else f"{definition.pytorch_index}/{cell.variant}",
        layers=layers(cell, suites),
        uid=UID,
        mounts=mounts,
    )


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.templates()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  no HTML; values are checked instead
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["natural"] = facts.natural
    return environment


def _problems(
    cell: Cell, definition: Definition, suites: tuple[Suite, ...], env: Mapping[str, str]
) -> Iterator[str]:
    """Yield every value that does not have the shape it must have."""
    values = [
        ("torch", "torch", cell.torch),
        ("variant", "variant", cell.variant),
        ("python", "python", cell.python),
        ("matrix.pytorch_index", "index", definition.pytorch_index),
    ]
    values += [("companion", "requirement", c) for c in cell.companions]
    for suite in suites:
        where = f"suites.{suite.name}.requirements"
        values += [(where, "requirement", r) for r in suite.requirements]
    if accelerator_of(cell.variant):
        image = base_image(cell, definition, env)
        if image:
            values.append((f"base image of {cell.accelerator}", "image", image))
        else:
            yield (
                f"python: the official images have no {cell.python}; name one that has it as "
                f"`{cell.accelerator}` in [images]"
            )
    for place, kind, value in values:
        if not _PATTERNS[kind].fullmatch(value):
            yield f"{place}: {value!r} is not {_SHAPES[kind]}"
