"""Published facts about torch releases, with source and status, and their typed loader.

The CSV files keep every row they were given, including what is known to be absent; the properties
here decide what counts. Trust order of sources: wheel contents, index listing, build scripts,
release notes, RFCs.
"""

import csv
import functools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:  # 80 ms that a command which does not need it should not pay
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

Status = Literal["observed", "declared", "reported", "unconfirmed", "absent"]
COLLECTED = "2026-11-22"  # when the CSV files were collected


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that reads digits as integers, so that `rocm7.14` follows `rocm7.2`."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9.]+", text)
    return tuple((0, int(p), "") if p[0] in "0123456789" else (1, 0, p) for p in parts)


def order(torch: str) -> tuple[object, ...]:
    """Sort key of releases: `2.10.0` after `2.9.1`, and after its own candidates and nightlies."""
    rest = torch.lstrip("0123456789.")
    head = torch.removesuffix(rest)
    return natural(head), rest == "" or rest.startswith("+"), natural(rest)


@functools.cache
def version(text: str) -> "Version":
    """Return the parsed version; raises `packaging.version.InvalidVersion`."""
    from packaging.version import Version  # noqa: PLC0415  as above

    return Version(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One published (or knowingly unpublished) build of torch for Linux x86_64.

    Source: `torch_builds.csv`, one row.
    """

    torch: str
    variant: str
    kind: str
    status: Status
    python_min: str
    python_max: str
    free_threaded: tuple[str, ...]
    released: str
    wheel_bytes: int | None
    source: str
    notes: str
    arch_list: tuple[str, ...] = ()
    """`sm_90`, `gfx942`; empty where unconfirmed."""
    triton: str = ""
    cudnn: str = ""
    nccl: str = ""
    glibc: str = ""
    """Oldest C library that the wheels' tag admits; "" where the tag does not say."""
    torchvision: str = ""
    torchaudio: str = ""

    @property
    def published(self) -> bool:
        """Whether the build counts as published: `unconfirmed` and `absent` never do."""
        return self.status in {"observed", "declared", "reported"}

    @property
    def is_default(self) -> bool:
        """Whether a plain install from the package registry gives this build."""
        return self.kind == "pypi-default"

    def has_python(self, python: str) -> bool:
        """Whether a wheel exists for `python` ("3.12", or "3.14t" for the free-threaded build)."""
        if python.endswith("t"):
            return f"cp{python[:-1].replace('.', '')}t" in self.free_threaded
        if not (self.python_min and self.python_max):
            return False
        return natural(self.python_min) <= natural(python) <= natural(self.python_max)

    @property
    def pythons(self) -> str:
        """The wheels' Python range, for people."""
        extra = "".join(f", {tag}" for tag in self.free_threaded)
        return f"{self.python_min} to {self.python_max}{extra}" if self.python_min else "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A requirement that a range of torch releases has beside its metadata."""

    torch: "SpecifierSet"
    requirement: str
    why: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """What a companion's own metadata says about torch."""

    package: str
    version: str
    torch: str
    exact: bool
    source: str
    status: str
    requires: tuple[str, ...] = ()
    """What it requires beside torch, as far as that was collected."""
    glibc: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A torchao and a torch that somebody says go together: `built`, `works` or `paired`.

    torchao's own metadata pins no torch; its project publishes a table.
    """

    torchao: str
    torch: str
    says: str
    source: str
    status: str


def table(name: str) -> Iterator[dict[str, str]]:
    """Rows of a CSV file of facts."""
    with (files(__package__) / name).open(encoding="utf-8") as stream:
        lines = csv.reader(stream)
        header = next(lines)
        for line in lines:  # a tenth of the time of a DictReader
            yield dict(zip(header, line, strict=True))


def _confirmed(text: str) -> str:
    return "" if "unconfirmed" in text else text


def _archs(text: str) -> tuple[str, ...]:
    """`7.5;8.0` is how NVIDIA's are written, `gfx942` how AMD's are."""
    parts = [part for part in _confirmed(text).split(";") if part]
    return tuple(p if p.startswith("gfx") else f"sm_{p.replace('.', '')}" for p in parts)


def glibc_of(tag: str) -> str:
    """The oldest glibc that a wheel's platform tag admits (PEP 600), or ""."""
    old = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
    found = re.search(r"manylinux_(\d+)_(\d+)", tag)
    return f"{found[1]}.{found[2]}" if found else next((v for k, v in old.items() if k in tag), "")


def _status(row: dict[str, str]) -> Status:
    if row["kind"] == "absent":
        return "absent"
    known: tuple[Status, ...] = get_args(Status)
    return next((s for s in known if s == row["evidence"]), "unconfirmed")


@functools.cache
def builds() -> dict[str, dict[str, Build]]:
    """All builds, keyed by torch version, then variant; both in ascending order."""
    found: dict[str, dict[str, Build]] = {}
    for row in table("torch_builds.csv"):
        build = Build(
            torch=row["torch"],
            variant=row["variant"],
            kind=row["kind"],
            status=_status(row),
            python_min=row["python_min"],
            python_max=row["python_max"],
            free_threaded=tuple(t for t in row["free_threaded"].split(";") if t),
            released=row["release_date"],
            wheel_bytes=int(row["wheel_bytes"]) if row["wheel_bytes"].isdigit() else None,
            source=row["source"],
            notes=row["notes"],
            arch_list=_archs(row["arch_list"]),
            triton=_confirmed(row["triton"]),
            cudnn=_confirmed(row["cudnn"]),
            nccl=_confirmed(row["nccl"]),
            glibc=glibc_of(row["platform_tag"]),
            torchvision=_confirmed(row["torchvision"]),
            torchaudio=_confirmed(row["torchaudio"]),
        )
        found.setdefault(build.torch, {})[build.variant] = build
    return {
        torch: dict(sorted(found[torch].items(), key=lambda item: natural(item[0])))
        for torch in sorted(found, key=natural)
    }


def published(torch: str) -> dict[str, Build]:
    """The published builds of one release, keyed by variant; empty for an unknown release."""
    return {v: b for v, b in builds().get(torch, {}).items() if b.published}


@functools.cache
def default_variant(torch: str) -> str | None:
    """The variant that a plain install of `torch` from the package registry gives."""
    return next((v for v, b in published(torch).items() if b.is_default), None)


@functools.cache
def needs() -> tuple[Need, ...]:
    """All extra requirements of torch releases (`needs.toml`)."""
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415  as above

    data = tomllib.loads((files(__package__) / "needs.toml").read_text(encoding="utf-8"))
    return tuple(
        Need(
            torch=SpecifierSet(need["torch"]),
            requirement=need["requirement"],
            why=need["why"],
            source=need["source"],
        )
        for need in data["need"]
    )


@functools.cache
def needs_of(torch: str) -> tuple[Need, ...]:
    """The extra requirements of one release."""
    return tuple(need for need in needs() if need.torch.contains(version(torch), prereleases=True))


@functools.cache
def pins() -> dict[tuple[str, str], Pin]:
    """Companions' pins on torch, keyed by (package, version); documentation rows are left out."""
    return {
        (row["package"], row["version"]): Pin(
            package=row["package"],
            version=row["version"],
            torch=row["torch_spec"],
            exact=row["torch_kind"] == "exact",
            source=row["source"],
            status=row["status"],
            requires=tuple(row["other"].split()) if row["status"] == "observed" else (),
            glibc=row["glibc"],
        )
        for row in table("companions.csv")
        if "(doc)" not in row["package"] and row["version"][:1].isdigit()
    }


@functools.cache
def torchao_pairs() -> dict[tuple[str, str], Pair]:
    """What is published about torchao and torch together, keyed by (torchao, torch)."""
    return {(row["torchao"], row["torch"]): Pair(**row) for row in table("torchao_pairs.csv")}


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverFloor:
    """The oldest driver on which a variant runs (minor-version compatibility).

    `own` is the driver that its toolkit came with: PTX needs that one; "" where unconfirmed.
    """

    variant: str
    floor: str
    source: str
    own: str = ""


@functools.cache
def driver_floors() -> dict[str, DriverFloor]:
    """NVIDIA driver floors keyed by variant; variants with an unconfirmed floor keep its series."""
    floors: dict[str, DriverFloor] = {}
    own: dict[str, str] = {}
    for row in table("drivers.csv"):
        numbers = re.match(r"\d+(\.\d+)*", row["min_driver_minor_compat"])
        if row["vendor"] == "nvidia" and row["variant_or_userspace"] and numbers:
            variant = row["variant_or_userspace"]
            if re.fullmatch(r"[\d.]+", row["driver_linux"]):
                own.setdefault(variant, row["driver_linux"])  # the first is of the oldest update
            floors[variant] = DriverFloor(
                variant=variant,
                floor=numbers[0],
                source=row["source"],
                own=own.get(variant, ""),
            )
    return floors


def driver_floor(variant: str) -> DriverFloor | None:
    """The floor of a CUDA variant; that of its CUDA major version where it has no row of its own.

    Within a major version every toolkit runs on the same drivers (NVIDIA CUDA Compatibility).
    """
    floors = driver_floors()
    if variant in floors or not re.fullmatch(r"cu\d{3}", variant):
        return floors.get(variant)
    major = variant[:-1]
    return next((replace(f, own="") for v, f in floors.items() if v.startswith(major)), None)
