"""matrix.toml → `Definition`, or one error that lists every mistake with its TOML path."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from matrix import shape
from matrix.accelerators import AcceleratorName, AccessSettings, Mount
from matrix.errors import InputError
from matrix.meaning import mistakes
from matrix.scenarios import Scenario, scenarios
from matrix.schema import BUILTIN_SUITES, PYTHONS, strings
from matrix.selection import Predicate, compile_selection

TEST_TOOLS = ("pytest", "pytest-benchmark")


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
    """A set of tests run in a cell: pytest tests or one command, which runs in `folder`."""

    name: str
    folder: Path = Path()
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
    gpus: int = 1
    rounds: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiver:
    """A problem the user accepts: it is shown with its reason and never makes an exit code."""

    matches: Predicate
    feature: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A named selection of cells and suites."""

    name: str
    select: tuple[str, ...] = ()
    suites: tuple[str, ...] = BUILTIN_SUITES
    waivers: tuple[Waiver, ...] = ()
    baseline: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Runner:
    """Settings of one runner; `local` is this machine, with its own engine where none is named."""

    name: str
    slots: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    docker: str = ""
    tls: Path | None = None
    memory: str = ""
    access: AccessSettings = field(default_factory=AccessSettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """Where runs share compiled code: a folder or URL, "" for nowhere; `push` writes there too."""

    remote: str = ""
    push: bool = True


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
    scenarios: Mapping[str, Scenario]
    images: Mapping[str, str]
    pytorch_index: str
    cache: Cache = Cache()


def load(path: Path) -> Definition:
    """Read and check a matrix file; raises `InputError` with every mistake in it."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no matrix file at `{path}`", ["name one with `--file`"]) from None
    except (ValueError, RecursionError, OSError) as error:  # TOML and UTF-8 errors are ValueErrors
        raise InputError(f"`{path}` cannot be read", [str(error)]) from None
    return parse(data, path)


def parse(data: Mapping[str, Any], path: Path) -> Definition:
    """Check parsed TOML and build the `Definition`; `path` is where relative paths start."""
    problems = [*shape.check(data), *mistakes(shape.sound(data), data, path.parent)]
    if problems:
        raise InputError(f"`{path}` has {len(problems)} mistake(s):", problems)
    return _build(data, path)


def _build(data: Mapping[str, Any], path: Path) -> Definition:
    matrix = data.get("matrix", {})
    pythons = tuple(matrix.get("python", PYTHONS))
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
            name: _runner(name, item, path.parent)
            for name, item in {"local": {}, **data.get("runners", {})}.items()
        },
        scenarios=scenarios(data.get("scenarios", {})),
        images=dict(data.get("images", {})),
        pytorch_index=matrix.get("pytorch_index", "https://download.pytorch.org/whl").rstrip("/"),
        cache=_cache(data.get("cache", {}), path.parent),
    )


def _cache(item: Mapping[str, Any], folder: Path) -> Cache:
    remote = item.get("remote", "")
    if remote and "://" not in remote:
        remote = str((folder / remote).absolute())
    return Cache(remote=remote, push=item.get("push", True))


def _runner(name: str, item: Mapping[str, Any], folder: Path) -> Runner:
    mounts = [text.partition(":") for text in item.get("driver_mounts", ())]
    return Runner(
        name=name,
        slots=item.get("slots"),
        env=dict(item.get("env", {})),
        docker=item.get("docker", ""),
        tls=(folder / item["tls"]).resolve() if "tls" in item else None,
        memory=item.get("memory", ""),
        access=AccessSettings(
            gpu=item.get("gpu"),
            devices=tuple(item.get("devices", ())),
            driver_mounts=tuple(Mount(source=s, target=t or s) for s, _, t in mounts),
            groups=tuple(item.get("groups", ())),
        ),
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
            folder=folder.resolve(),
            # inside a source archive the tests' paths are relative to its root
            tests=tuple(Path(t) if source else (folder / t).resolve() for t in tests),
            command=strings(item.get("command")),
            source=source,
            requirements=tuple(item.get("requirements", ())),
            companions=tuple(item.get("companions", ())),
            pytest_args=tuple(item.get("pytest_args", ())),
            env=dict(item.get("env", {})),
            exclusive=item.get("exclusive", name == "throughput"),
            gpus=item.get("gpus", 2 if name == "feature" else 1),  # collectives need a second one
            rounds=item.get("rounds", 1),
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
            waivers=tuple(
                Waiver(
                    matches=compile_selection(waiver["select"]),
                    feature=waiver["feature"],
                    reason=waiver["reason"],
                )
                for waiver in item.get("waivers", ())
            ),
            baseline=item.get("baseline", ""),
        )
    return profiles
