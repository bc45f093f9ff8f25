"""What package indexes list, beside the facts: new releases, states, and rows to review. Pure.

An index may be a mirror of a part, so what it does not list is not gone: facts are added to, ranges
are widened, gaps are filled; nothing is ever removed, and what differs is told and left alone.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from matrix.facts import natural

State = Literal["seen", "absent", "unknown"]
OLDEST = Version("2.0")
MACHINES = ("x86_64", "aarch64")
UNCONFIRMED = frozenset({"", "unconfirmed"})
Row = dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file of an index: its name, bytes, day of upload; "" and None where it does not say."""

    filename: str
    size: int | None = None
    uploaded: str = ""
    requires_python: str = ""
    yanked: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What one index says of one project; `error` says why nothing is known of it.

    `metadata` reads a wheel's METADATA; None where the index does not give it apart.
    """

    place: str
    files: tuple[File, ...] = ()
    error: str = ""
    metadata: Callable[[File], str | None] = lambda _file: None
    complete: bool = True
    """Whether it is an index: of a folder of wheels nobody expects that it has everything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """A wheel for Linux. `pythons` are `3.12`, or `3.14t` where it is free-threaded."""

    file: File
    version: str
    local: str
    python: str
    machine: str
    platform: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """Whether an index has what a fact says, or a release that no fact is about."""

    package: str
    version: str
    variant: str
    state: State
    new: bool = False
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Synced:
    """A table of facts with what was learnt, and what was seen; `differs` is left as it was."""

    rows: tuple[Row, ...]
    seen: tuple[Seen, ...]
    differs: tuple[str, ...] = ()


def read_table(text: str) -> list[Row]:
    """Parse a CSV file of facts."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def write_table(rows: Sequence[Row]) -> str:
    """Write it as it was."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def wheels(files: Iterable[File]) -> Iterator[Wheel]:
    """Wheels of final releases for Linux, or any system, that were not yanked."""
    for file in files:
        try:
            _, version, _, tags = parse_wheel_filename(file.filename)
        except (InvalidWheelFilename, ValueError):
            continue
        if file.yanked or version.is_prerelease:
            continue
        for tag in sorted(tags, key=str):
            machine = next((name for name in MACHINES if tag.platform.endswith(name)), "")
            if tag.platform == "any" or ("linux" in tag.platform and machine):
                yield Wheel(
                    file=file,
                    version=version.public,
                    local=version.local or "",
                    python=_python(tag.interpreter, tag.abi),
                    machine=machine or "any",
                    platform=tag.platform.removesuffix(f"_{machine}"),
                )


def _python(interpreter: str, abi: str) -> str:
    """`cp312` → `3.12`, `cp314t` → `3.14t`; "" for a wheel of several Pythons."""
    number = interpreter.removeprefix("cp")
    if not interpreter.startswith("cp") or not number.isdigit() or abi == "abi3":
        return ""
    return f"{number[0]}.{number[1:]}{'t' if abi.endswith('t') else ''}"


def sync_torch(rows: Sequence[Row], listings: Sequence[Listing], day: str) -> Synced:
    """The builds of torch with what the indexes list; `day` is today, for the sources."""
    known = {(row["torch"], row["variant"]): dict(row) for row in rows}
    default = {row["torch"]: row["variant"] for row in rows if row["kind"] == "pypi-default"}
    found: dict[tuple[str, str], list[Wheel]] = {}
    seen: list[Seen] = []
    metadata: dict[tuple[str, str], Row] = {}
    for listing in listings:
        for version, every in _by_release(listing.files):
            # a default wheel for another machine may be of another variant: 2.4's is for processors
            own = [w for w in every if w.local or w.machine == "x86_64"]
            if Version(version) < OLDEST or not own:
                continue
            variant = own[0].local or default.get(version, "")
            told: Row = {}
            if not own[0].local and not variant:
                told = torch_metadata(_metadata(listing, own))
                variant = told.pop("variant", "")
                if not variant:
                    why = "its METADATA, which names the CUDA it is for, cannot be had"
                    seen.append(Seen(package="torch", version=version, variant="?",
                                     state="unknown", new=True, why=why))  # fmt: skip
                    continue
            found.setdefault((version, variant), []).extend(own)
            metadata.setdefault((version, variant), {}).update(told)
    differs: list[str] = []
    for (version, variant), own in found.items():
        row = known.get((version, variant))
        new = row is None
        if row is None:
            row = dict.fromkeys(rows[0], "") | {"torch": version, "variant": variant}
            row["kind"] = "stable" if own[0].local else "pypi-default"
            row["source"] = (
                f"index listing{' and wheel METADATA' * bool(metadata[version, variant])}"
            )
            row["source"] += f", {day}"
            row["evidence"], row["matrix_tier"] = "observed", "stable"
            known[version, variant] = row
        differs += _learn(row, {**metadata[version, variant], **_listed(row, own)}, day)
        seen.append(Seen(package="torch", version=version, variant=variant, state="seen", new=new))
    seen += _not_seen(rows, found, listings)
    return Synced(rows=_in_order(rows, known), seen=tuple(_sorted(seen)), differs=tuple(differs))


def _by_release(files: Iterable[File]) -> Iterator[tuple[str, list[Wheel]]]:
    """(version, wheels of one variant), oldest first."""
    groups: dict[tuple[str, str], list[Wheel]] = {}
    for wheel in wheels(files):
        groups.setdefault((wheel.version, wheel.local), []).append(wheel)
    for (version, _), own in sorted(groups.items(), key=lambda item: natural(item[0][0])):
        yield version, own


def _metadata(listing: Listing, own: Sequence[Wheel]) -> str | None:
    """The METADATA of the wheel that stands for a release."""
    return listing.metadata(_chosen(own).file)


def _chosen(own: Sequence[Wheel]) -> Wheel:
    """The wheel that stands for a release."""
    return min(own, key=lambda w: (w.machine != "x86_64", w.python != "3.11", w.python))


def torch_metadata(text: str | None) -> Row:
    """What a wheel of torch requires, as columns; with the `variant` that its CUDA makes it."""
    told: Row = {}
    for wanted in _requirements(text):
        version = _exact(wanted)
        if wanted.name == "cuda-toolkit":
            told["cuda_full"] = version
        if wanted.name == "cuda-toolkit" or wanted.name.startswith("nvidia-cuda-runtime"):
            told["variant"] = "cu" + "".join(version.split(".")[:2])
        for part in ("cudnn", "nccl", "cusparselt", "nvshmem"):
            if wanted.name.startswith(f"nvidia-{part}"):
                told[part] = version
        if wanted.name in {"triton", "setuptools"}:
            told[wanted.name] = version
    return told


def _requirements(text: str | None) -> Iterator[Requirement]:
    raw, _ = parse_email(text or "")
    for line in raw.get("requires_dist", []):
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue


def _exact(wanted: Requirement) -> str:
    """`==12.8.90` → `12.8.90`; another specifier stays."""
    text = str(wanted.specifier)
    return text.removeprefix("==") if text.count("=") == 2 else text  # noqa: PLR2004  `==`


def _listed(row: Mapping[str, str], own: Sequence[Wheel]) -> Row:
    """What the listing alone says of a build; ranges are those of the facts, widened."""
    plain = [w.python for w in own if w.python and not w.python.endswith("t")]
    ends = sorted({*plain, *filter(None, (row["python_min"], row["python_max"]))}, key=natural)
    threads = {f"cp{w.python.replace('.', '')}" for w in own if w.python.endswith("t")}
    machines = {w.machine for w in own}
    told = {
        "python_min": ends[0] if ends else "",
        "python_max": ends[-1] if ends else "",
        "free_threaded": _union(row["free_threaded"], threads),
        "machines": _union(row["machines"], machines),
        "platform_tag": next((w.platform for w in own if w.machine == "x86_64"), ""),
        "release_date": min((w.file.uploaded for w in own if w.file.uploaded), default=""),
        "wheel_bytes": next(
            (str(w.file.size) for w in own if w.file.size and w.python == "3.11"
             and w.machine == "x86_64"), "",
        ),
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}


def _union(before: str, more: set[str]) -> str:
    have = [part for part in before.split(";") if part]
    return ";".join([*have, *sorted(more.difference(have), key=natural)])


_WIDENED = frozenset({"python_min", "python_max", "free_threaded", "machines"})


def _learn(row: Row, told: Mapping[str, str], day: str) -> Iterator[str]:
    """Fill and widen a row in place; yields what differs from it, which stays."""
    for name, value in told.items():
        if row[name] in UNCONFIRMED or name in _WIDENED:
            row[name] = value
        elif name not in {"release_date", "platform_tag"} and row[name] != value:
            yield f"torch {row['torch']} {row['variant']}: {name} is {row[name]}, listed {value}"
    if row["evidence"] in {"", "unconfirmed", "declared", "reported"} and row["kind"] != "absent":
        row["evidence"] = "observed"
        row["source"] = f"{row['source']}; index listing, {day}"


def _not_seen(
    rows: Iterable[Row], found: Mapping[tuple[str, str], object], listings: Sequence[Listing]
) -> Iterator[Seen]:
    """Facts that no index has: absent where one answers for their kind of build, else unknown."""
    locals_ = {w.local for one in listings if one.complete for w in wheels(one.files)}
    errors = [f"{listing.place}: {listing.error}" for listing in listings if listing.error]
    for row in rows:
        key = (row["torch"], row["variant"])
        if key in found or row["kind"] == "absent":
            continue
        kind = "" if row["kind"] == "pypi-default" else row["variant"]
        state: State = "absent" if kind in locals_ else "unknown"
        why = "" if state == "absent" else "; ".join(errors) or "no index lists such builds"
        yield Seen(package="torch", version=key[0], variant=key[1], state=state, why=why)


def _in_order(before: Sequence[Row], known: Mapping[tuple[str, str], Row]) -> tuple[Row, ...]:
    """Rows stay where they are; new ones follow the newest release before them."""
    rows = [known[row["torch"], row["variant"]] for row in before]
    added = [row for key, row in known.items() if not any(row is other for other in rows)]
    for row in sorted(added, key=lambda r: (natural(r["torch"]), natural(r["variant"]))):
        places = [
            place
            for place, other in enumerate(rows)
            if other["kind"] != "absent" and natural(other["torch"]) <= natural(row["torch"])
        ]
        rows.insert(places[-1] + 1 if places else 0, row)
    return tuple(rows)


def sync_companion(
    package: str, rows: Sequence[Row], listings: Sequence[Listing], day: str
) -> Synced:
    """The companions with releases of one that are newer than all that the facts know."""
    own = [row for row in rows if row["package"] == package]
    newest = max((Version(row["version"]) for row in own), default=Version("0"))
    have = {row["version"] for row in own}
    listed = {version for listing in listings for version in _versions(listing.files)}
    added: dict[str, Row] = {}
    seen: list[Seen] = []
    for listing in listings:
        for version, found in _by_release(listing.files):
            if version in have or version in added or Version(version) <= newest:
                continue
            text = _metadata(listing, found)
            if text is None:
                why = "its METADATA, which says what it needs, cannot be had"
                seen.append(Seen(package=package, version=version, variant="", state="unknown",
                                 new=True, why=why))  # fmt: skip
                continue
            added[version] = _companion(package, version, found, text, day, rows[0])
    errors = "; ".join(f"{one.place}: {one.error}" for one in listings if one.error)
    seen += [Seen(package=package, version=v, variant="", state="seen", new=True) for v in added]
    for version in have:
        state: State = "seen" if version in listed else "absent" if listed else "unknown"
        why = errors if state == "unknown" else ""
        seen.append(Seen(package=package, version=version, variant="", state=state, why=why))
    last = max((place for place, row in enumerate(rows) if row["package"] == package), default=0)
    fresh = [added[version] for version in sorted(added, key=natural)]
    merged = (*rows[: last + 1], *fresh, *rows[last + 1 :])
    return Synced(rows=merged, seen=tuple(_sorted(seen)))


def _versions(files: Iterable[File]) -> Iterator[str]:
    """The releases that have any file."""
    for file in files:
        wheel = file.filename.endswith(".whl")
        try:
            parsed = (parse_wheel_filename if wheel else parse_sdist_filename)(file.filename)
        except (InvalidWheelFilename, InvalidSdistFilename, ValueError):
            continue
        yield parsed[1].public


def _companion(
    package: str, version: str, own: Sequence[Wheel], text: str, day: str, like: Row
) -> Row:
    raw, _ = parse_email(text)
    wanted = [r for r in _requirements(text) if r.name == "torch"]
    spec = str(wanted[0].specifier) if wanted else ""
    exact = spec.startswith("==") and "," not in spec and "*" not in spec
    wheel = _chosen(own)
    tag = "-".join(wheel.file.filename.removesuffix(".whl").split("-")[-3:])
    levels = re.findall(r"manylinux_([0-9]+)_([0-9]+)", tag)
    glibc = ".".join(min(levels, key=lambda level: [int(n) for n in level])) if levels else ""
    return dict.fromkeys(like, "") | {
        "package": package,
        "version": version,
        "torch_spec": (spec or "*") if wanted else "(none)",
        "torch_kind": "exact" if exact else "range" if spec else "unpinned" if wanted else "none",
        "extra": str(wanted[0].marker or "") if wanted else "",
        "requires_python": raw.get("requires_python", ""),
        "glibc": glibc,
        "wheel_tag": tag,
        "source": f"wheel METADATA, {day}",
        "status": "observed",
    }


def _sorted(seen: Iterable[Seen]) -> list[Seen]:
    return sorted(seen, key=lambda s: (s.package, natural(s.version), natural(s.variant)))
