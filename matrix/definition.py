"""matrix.toml → `Definition`, or one error that lists every mistake with its TOML path."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from matrix import facts, schema
from matrix.accelerators import ACCELERATORS, AcceleratorName, accelerator_of
from matrix.errors import InputError
from matrix.selection import Predicate, SelectionError, compile_selection

BUILTIN_SUITES = ("feature", "throughput")
TEST_TOOLS = ("pytest", "pytest-benchmark")
KEYWORD_VARIANTS = ("default", "published")


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstAvailable:
    """A choice between variants, made by what the user's indexes offer."""

    candidates: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchBlock:
    """One `[[torch]]` block: releases × variants × Python versions."""

    path: str
    versions: tuple[str, ...]
    variants: tuple[str | FirstAvailable, ...]
    pythons: tuple[str, ...]
    device: AcceleratorName | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Companion:
    """One `[[companion]]`: a package whose versions each give further cells."""

    path: str
    package: str
    versions: tuple[str, ...]
    torch: SpecifierSet


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclude:
    """One `[[exclude]]` of the user."""

    path: str
    text: str
    matches: Predicate
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """A set of tests run in a cell: pytest tests or one command."""

    name: str
    tests: tuple[Path, ...] = ()
    command: tuple[str, ...] = ()
    source: str = ""
    requirements: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    pytest_args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 1800.0
    test_timeout: float = 180.0
    exclusive: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A named selection of cells and suites."""

    name: str
    select: tuple[str, ...] = ()
    suites: tuple[str, ...] = BUILTIN_SUITES
    baseline: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Runner:
    """Settings of one runner; `local` is this machine."""

    name: str
    slots: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """What to test, as the user wrote it, checked."""

    path: Path
    torch: tuple[TorchBlock, ...]
    companions: tuple[Companion, ...]
    excludes: tuple[Exclude, ...]
    suites: Mapping[str, Suite]
    profiles: Mapping[str, Profile]
    runners: Mapping[str, Runner]
    images: Mapping[str, str]
    pytorch_index: str


def load(path: Path) -> Definition:
    """Read and check a matrix file; raises `InputError` with every mistake in it."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no matrix file at `{path}`", ["name one with `--file`"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"`{path}` cannot be read", [str(error)]) from None
    return parse(data, path)


def parse(data: Mapping[str, Any], path: Path) -> Definition:
    """Check parsed TOML and build the `Definition`; `path` is where relative paths start."""
    problems = schema.check(data)
    if not problems:
        problems = list(_meaning(data, path.parent))
    if problems:
        raise InputError(f"`{path}` has {len(problems)} mistake(s):", problems)
    return _build(data, path)


def strings(value: str | list[str] | None) -> tuple[str, ...]:
    """A string or a list of strings, as a tuple."""
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _build(data: Mapping[str, Any], path: Path) -> Definition:
    matrix = data.get("matrix", {})
    pythons = tuple(matrix.get("python", ("3.11",)))
    blocks = tuple(
        TorchBlock(
            path=f"torch[{number}]",
            versions=strings(block["version"]),
            variants=tuple(
                v if isinstance(v, str) else FirstAvailable(candidates=tuple(v["first_available"]))
                for v in block.get("variants", ["default"])
            ),
            pythons=tuple(block.get("python", pythons)),
            device=block.get("device"),
        )
        for number, block in enumerate(data.get("torch", ()))
    )
    return Definition(
        path=path,
        torch=blocks,
        companions=tuple(
            Companion(
                path=f"companion[{number}]",
                package=item["package"].lower(),
                versions=strings(item["version"]),
                torch=SpecifierSet(item.get("torch", "")),
            )
            for number, item in enumerate(data.get("companion", ()))
        ),
        excludes=tuple(
            Exclude(
                path=f"exclude[{number}]",
                text=item["select"],
                matches=compile_selection(item["select"]),
                reason=item["reason"],
            )
            for number, item in enumerate(data.get("exclude", ()))
        ),
        suites=_suites(data.get("suites", {}), path.parent),
        profiles=_profiles(data.get("profiles", {})),
        runners={
            name: Runner(name=name, slots=item.get("slots"), env=dict(item.get("env", {})))
            for name, item in {"local": {}, **data.get("runners", {})}.items()
        },
        images=dict(data.get("images", {})),
        pytorch_index=matrix.get("pytorch_index", "https://download.pytorch.org/whl").rstrip("/"),
    )


def _suites(data: Mapping[str, Any], folder: Path) -> dict[str, Suite]:
    suites = {}
    for name in (*BUILTIN_SUITES, *(n for n in data if n not in BUILTIN_SUITES)):
        item = data.get(name, {})
        source = item.get("source", "")
        tests = strings(item.get("tests"))
        defaults = {k: float(item[k]) for k in ("timeout", "test_timeout") if k in item}
        suites[name] = Suite(
            name=name,
            # inside a source archive the tests' paths are relative to its root
            tests=tuple(Path(t) if source else (folder / t).resolve() for t in tests),
            command=strings(item.get("command")),
            source=source,
            requirements=tuple(item.get("requirements", ())),
            companions=tuple(item.get("companions", ())),
            pytest_args=tuple(item.get("pytest_args", ())),
            env=dict(item.get("env", {})),
            exclusive=item.get("exclusive", name == "throughput"),
            **defaults,
        )
    return suites


def _profiles(data: Mapping[str, Any]) -> dict[str, Profile]:
    profiles = {"default": Profile(name="default")}
    for name, item in data.items():
        profiles[name] = Profile(
            name=name,
            select=tuple(item.get("select", ())),
            suites=tuple(item.get("suites", BUILTIN_SUITES)),
            baseline=item.get("baseline", ""),
        )
    return profiles


def _meaning(data: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Yield what is wrong with the content of a well-shaped file."""
    if not data.get("torch"):
        yield "torch: nothing to test; add a [[torch]] block with a `version`"
    defaults = data.get("matrix", {}).get("python")
    for number, block in enumerate(data.get("torch", ())):
        yield from _torch_block(f"torch[{number}]", block, defaults)
    for number, item in enumerate(data.get("companion", ())):
        yield from _specifier(f"companion[{number}].torch", item.get("torch", ""))
        for version in strings(item["version"]):
            yield from _requirement(f"companion[{number}].version", f"{item['package']}=={version}")
    for number, item in enumerate(data.get("exclude", ())):
        yield from _selection(f"exclude[{number}].select", item["select"])
    for name, item in data.get("suites", {}).items():
        yield from _suite(f"suites.{name}", name, item, folder)
    known = [*BUILTIN_SUITES, *data.get("suites", {})]
    for name, item in data.get("profiles", {}).items():
        for number, text in enumerate(item.get("select", ())):
            yield from _selection(f"profiles.{name}.select[{number}]", text)
        for suite in item.get("suites", ()):
            if suite not in known:
                yield f"profiles.{name}.suites: no suite `{suite}`; {schema.hint(suite, known)}"
    for name, item in data.get("runners", {}).items():
        if item.get("slots", 1) < 1:
            yield f"runners.{name}.slots: at least 1, got {item['slots']}"


def _torch_block(path: str, block: Mapping[str, Any], defaults: list[str] | None) -> Iterator[str]:
    known = facts.builds()
    versions = [v for v in strings(block["version"]) if v in known]
    for version in strings(block["version"]):
        if version not in known:
            yield (
                f"{path}.version: torch {version} does not exist in the facts of "
                f"{facts.COLLECTED}; {schema.hint(version, list(known))}"
            )
    for variant in _named_variants(block.get("variants", ())):
        yield from _variant(f"{path}.variants", variant, versions)
    for python in block.get("python", ()):
        rows = [b for v in versions for b in facts.published(v).values()]
        if rows and not any(build.has_python(python) for build in rows):
            ranges = "; ".join(
                f"torch {v} has {next(iter(facts.published(v).values())).pythons}" for v in versions
            )
            yield f"{path}.python: no wheel for Python {python}: {ranges}"
    if "python" in block and not block["python"]:
        yield f"{path}.python: empty; leave it out or name a version"
    if (device := block.get("device")) is not None and device not in ACCELERATORS:
        yield f"{path}.device: unknown `{device}`; {schema.hint(device, list(ACCELERATORS))}"
    if defaults == []:
        yield "matrix.python: empty; leave it out or name a version"


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


def _suite(path: str, name: str, item: Mapping[str, Any], folder: Path) -> Iterator[str]:
    if not name.replace("-", "").replace("_", "").isalnum() or name != name.lower():
        yield f"{path}: a suite's name has only lower-case letters, digits, - and _"
    if name in BUILTIN_SUITES:
        for key in ("tests", "command", "source"):
            if key in item:
                yield f"{path}.{key}: the tests of `{name}` are part of torch-matrix; name another"
    elif ("tests" in item) == ("command" in item):
        yield f"{path}: needs either `tests` or `command`"
    for number, text in enumerate(item.get("requirements", ())):
        yield from _requirement(f"{path}.requirements[{number}]", text)
    if "source" in item:
        yield from _requirement(f"{path}.source", item["source"])
        if "==" not in item["source"]:
            yield f"{path}.source: `{item['source']}` needs an exact `name==version`"
    else:
        for test in strings(item.get("tests")):
            if not (folder / test).exists():
                yield f"{path}.tests: `{test}` does not exist beside the matrix file"
    for key in ("timeout", "test_timeout"):
        if item.get(key, 1) <= 0:
            yield f"{path}.{key}: must be more than 0, got {item[key]}"
