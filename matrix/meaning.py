"""What is wrong with the content of a well-shaped matrix.toml, each mistake with its TOML path."""

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from matrix import facts, scenarios, schema
from matrix.accelerators import ACCELERATORS, GPU_ACCESS, accelerator_of
from matrix.schema import BUILTIN_SUITES, PYTHONS, strings
from matrix.selection import SelectionError, compile_selection

# what a runner's texts look like, and how a wrong one is put right
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_ENGINE = re.compile(
    r"unix:///\S+|tcp://\w[\w.-]*:\d{1,5}|tcp://\[[0-9a-fA-F:]+\]:\d{1,5}"
    r"|ssh://(?:\w[\w.-]*@)?\w[\w.-]*(?::\d{1,5})?",
    re.ASCII,
)
_RUNNER_TEXTS = {
    "docker": (_ENGINE, "no engine; write `unix:///path`, `tcp://host:2376` or `ssh://user@host`"),
    "memory": (re.compile(r"[1-9]\d*[kmg]"), "no size; write `64g` or `512m`"),
    "devices": (
        re.compile(r"/dev/[A-Za-z0-9_-][A-Za-z0-9_/-]*"),
        "no device node; write `/dev/nvidia0`",
    ),
    "driver_mounts": (
        re.compile(r"/[^:,\s\x00-\x1f]*(?::/[^:,\s\x00-\x1f]+)?"),
        "no mount; write `/path` or `/path:/path/in/the/container`",
    ),
    "groups": (
        re.compile(r"\d{1,10}"),
        "no number; images lack the host's group names, `stat -c %g /dev/kfd` prints the number",
    ),
}
# where engines keep their sockets, and what holds those folders
_SOCKETS = re.compile(r"/|/var|/run|/run/(?:docker|containerd|podman|crio|user)(?:/.*)?|.*\.sock")
KEYWORD_VARIANTS = ("default", "published")
_EXACT = re.compile(r"[A-Za-z0-9][\w.-]*\s*==\s*[\w.+!-]+")
_PYTHON = re.compile(r"3\.\d{1,2}t?")


def mistakes(data: Mapping[str, Any], raw: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Yield what is wrong with the content of the well-shaped parts of a file; `raw` is it all."""
    if not data.get("torch"):
        yield "torch: nothing to test; add a [[torch]] block with a `version`"
    defaults = data.get("matrix", {}).get("python")
    yield from _pythons("matrix.python", defaults)
    users = [block for _, block in _numbered(data, "torch") if "python" not in block]
    versions = [v for block in users for v in strings(block["version"]) if v in facts.builds()]
    yield from _wheels("matrix.python", defaults, versions)
    for number, block in _numbered(data, "torch"):
        yield from _torch_block(f"torch[{number}]", block)
    yield from _duplicates(data, defaults)
    for number, item in _numbered(data, "companion"):
        yield from _specifier(f"companion[{number}].torch", item.get("torch", ""))
        for version in strings(item["version"]):
            yield from _requirement(f"companion[{number}].version", f"{item['package']}=={version}")
    for number, item in _numbered(data, "exclude"):
        yield from _selection(f"exclude[{number}].select", item["select"])
    for name, item in data.get("suites", {}).items():
        yield from _suite(f"suites.{name}", name, item, raw["suites"][name], folder)
    known = [*BUILTIN_SUITES, *(raw["suites"] if isinstance(raw.get("suites"), dict) else ())]
    for name, item in data.get("profiles", {}).items():
        yield from _profile(f"profiles.{name}", item, known)
    for name, item in data.get("runners", {}).items():
        yield from _runner(f"runners.{name}", name, item, raw["runners"][name], folder)
    for name, item in data.get("scenarios", {}).items():
        yield from scenarios.mistakes(name, item, raw["scenarios"][name])


def _runner(
    path: str, name: str, item: Mapping[str, Any], raw: Mapping[str, Any], folder: Path
) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"{path}: a runner's name has only lower-case letters, digits, - and _"
    if item.get("slots", 1) < 1:
        yield f"{path}.slots: at least 1, got {item['slots']}"
    for key, (pattern, wrong) in _RUNNER_TEXTS.items():
        for text in strings(item.get(key)):
            if not pattern.fullmatch(text):
                yield f"{path}.{key}: `{text}` is {wrong}"
    for text in strings(item.get("driver_mounts")):
        source = text.partition(":")[0]
        place = f"/{posixpath.normpath(source).lstrip('/')}"
        if _SOCKETS.fullmatch(re.sub(r"^/var/run(?=/|$)", "/run", place)):
            why = "may bring an engine's socket into cells; name the driver's own files or folders"
            yield f"{path}.driver_mounts: `{source}` {why}"
    if (how := item.get("gpu")) is not None and how not in GPU_ACCESS:
        yield f"{path}.gpu: unknown `{how}`; {schema.hint(how, list(GPU_ACCESS))}"
    if name != "local" and "docker" not in raw:
        yield f"{path}.docker: missing; only `local` is this machine, name the runner's engine"
    if "tls" not in item:
        return
    if not item.get("docker", "tcp://").startswith("tcp://"):
        yield f"{path}.tls: only a `tcp://` engine has certificates, not `{item['docker']}`"
    for file in ("ca.pem", "cert.pem", "key.pem"):
        if not os.path.isfile(folder / item["tls"] / file):  # noqa: PTH113  as below
            yield f"{path}.tls: `{item['tls']}` has no {file}"


def _numbered(data: Mapping[str, Any], section: str) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((n, item) for n, item in enumerate(data.get(section, ())) if item is not None)


def _pythons(path: str, pythons: list[str] | None) -> Iterator[str]:
    if pythons == []:
        yield f"{path}: empty; leave it out or name a version"
    for python in pythons or ():
        if not _PYTHON.fullmatch(python):
            yield f'{path}: `{python}` is no Python version; write "3.12" or "3.14t"'


def _torch_block(path: str, block: Mapping[str, Any]) -> Iterator[str]:
    known = facts.builds()
    versions = [v for v in strings(block["version"]) if v in known]
    for version in strings(block["version"]):
        if version not in known:
            yield (
                f"{path}.version: torch {version} does not exist in the facts of "
                f"{facts.COLLECTED}; {schema.hint(version, list(known))}"
            )
    for key, what in (("version", "name a release"), ("variants", "leave it out or name a build")):
        if key in block and not block[key]:
            yield f"{path}.{key}: empty; {what}"
    for key in ("version", "variants", "python"):
        values = [str(value) for value in (block.get(key) or ()) if isinstance(block[key], list)]
        for value in dict.fromkeys(v for v in values if values.count(v) > 1):
            yield f"{path}.{key}: `{value}` stands there twice"
    if {"first_available": []} in block.get("variants", ()):
        yield f"{path}.variants: `first_available` names no build"
    for variant in _named_variants(block.get("variants", ())):
        yield from _variant(f"{path}.variants", variant, versions)
    yield from _pythons(f"{path}.python", block.get("python"))
    yield from _wheels(f"{path}.python", block.get("python"), versions)
    if (device := block.get("device")) is not None and device not in ACCELERATORS:
        yield f"{path}.device: unknown `{device}`; {schema.hint(device, list(ACCELERATORS))}"


def _wheels(path: str, pythons: list[str] | None, versions: list[str]) -> Iterator[str]:
    """Yield the Pythons that none of these releases has a wheel for."""
    builds = [build for version in versions for build in facts.published(version).values()]
    for python in filter(_PYTHON.fullmatch, pythons or ()):
        if builds and not any(build.has_python(python) for build in builds):
            ranges = {b.torch: b.pythons for b in builds}
            lists = "; ".join(f"torch {torch} has {range_}" for torch, range_ in ranges.items())
            yield f"{path}: no wheel for Python {python}: {lists}"


def _duplicates(data: Mapping[str, Any], defaults: list[str] | None) -> Iterator[str]:
    """Cells that two blocks make; where an index chooses the variant, `expand` finds them."""
    owners: dict[str, int] = {}
    for number, block in _numbered(data, "torch"):
        own: set[str] = set()
        for torch in filter(facts.builds().get, strings(block["version"])):
            names = [v for v in block.get("variants", ["default"]) if isinstance(v, str)]
            special = {
                "default": [facts.default_variant(torch)],
                "published": facts.published(torch),
            }
            for variant in (v for name in names for v in special.get(name, [name])):
                build = facts.published(torch).get(variant or "")
                for python in filter(_PYTHON.fullmatch, block.get("python", defaults or PYTHONS)):
                    if build and build.has_python(python):
                        own.add(f"torch{torch}-{variant}-py{python}")
        for cell in sorted(own, key=facts.natural):
            if owners.setdefault(cell, number) != number:
                yield f"torch[{number}]: cell `{cell}` is already made by torch[{owners[cell]}]"


def _named_variants(variants: list[Any]) -> Iterator[str]:
    for variant in variants:
        yield from variant["first_available"] if isinstance(variant, dict) else [variant]


def _variant(path: str, variant: str, versions: list[str]) -> Iterator[str]:
    if variant in KEYWORD_VARIANTS:
        return
    if accelerator_of(variant) is None:
        yield f"{path}: `{variant}` is no variant; write `cpu`, `cu130`, `rocm7.2`, `default` …"
    elif versions and not any(variant in facts.builds()[v] for v in versions):
        lists = "; ".join(f"torch {v} has {', '.join(facts.published(v))}" for v in versions)
        yield f"{path}: `{variant}` was never published: {lists}"


def _profile(path: str, item: Mapping[str, Any], suites: list[str]) -> Iterator[str]:
    for number, text in enumerate(item.get("select", ())):
        yield from _selection(f"{path}.select[{number}]", text)
    for number, waiver in enumerate(item.get("waivers", ())):
        yield from _selection(f"{path}.waivers[{number}].select", waiver["select"])
    if item.get("baseline"):
        yield from _selection(f"{path}.baseline", item["baseline"])
    for suite in item.get("suites", ()):
        if suite not in suites:
            yield f"{path}.suites: no suite `{suite}`; {schema.hint(suite, suites)}"


def _specifier(path: str, text: str) -> Iterator[str]:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        yield f"{path}: `{text}` is no version specifier; write `>=2.9` or `>=2.6,<2.12`"


def _requirement(path: str, text: str) -> Iterator[str]:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        yield f"{path}: `{text}` is no requirement ({str(error).splitlines()[0]})"


def _selection(path: str, text: str) -> Iterator[str]:
    try:
        compile_selection(text)
    except SelectionError as error:
        yield f"{path}: {error}"


def _suite(
    path: str, name: str, item: Mapping[str, Any], raw: Mapping[str, Any], folder: Path
) -> Iterator[str]:
    if not name.replace("-", "").replace("_", "").isalnum() or name != name.lower():
        yield f"{path}: a suite's name has only lower-case letters, digits, - and _"
    if name in BUILTIN_SUITES:
        for key in ("tests", "command", "source"):
            if key in item:
                yield f"{path}.{key}: the tests of `{name}` are part of torch-matrix; name another"
    elif ("tests" in raw) == ("command" in raw):
        yield f"{path}: needs either `tests` or `command`"
    if item.get("command") == []:
        yield f"{path}.command: empty; name a program"
    for number, text in enumerate(item.get("requirements", ())):
        yield from _requirement(f"{path}.requirements[{number}]", text)
    if "source" in item:
        yield from _requirement(f"{path}.source", item["source"])
        if not _EXACT.fullmatch(item["source"]):
            yield f"{path}.source: `{item['source']}` needs an exact `name==version`"
    else:
        for test in strings(item.get("tests")):
            if not os.path.exists(folder / test):  # noqa: PTH110  Path.exists raises for long names
                yield f"{path}.tests: `{test}` does not exist beside the matrix file"
    for key in ("timeout", "test_timeout", "gpus", "rounds"):
        if not item.get(key, 1) > 0:  # also for nan
            yield f"{path}.{key}: must be more than 0, got {item[key]}"
