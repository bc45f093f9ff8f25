"""What an index lists of a project, parsed; and tables of facts, written as they were. Pure."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)

from matrix.facts import natural

MACHINES = ("x86_64", "aarch64")
Row = dict[str, str]
Members = AbstractContextManager[Callable[[str], str | None] | None]
"""An opened wheel: the text of a member by its path, None where it has none; None if unreadable."""


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
    members: Callable[[File], Members] = lambda _file: nullcontext()
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


def by_release(files: Iterable[File]) -> Iterator[tuple[str, list[Wheel]]]:
    """(version, wheels of one variant), oldest first."""
    groups: dict[tuple[str, str], list[Wheel]] = {}
    for wheel in wheels(files):
        groups.setdefault((wheel.version, wheel.local), []).append(wheel)
    for (version, _), own in sorted(groups.items(), key=lambda item: natural(item[0][0])):
        yield version, own


def metadata_of(listing: Listing, own: Sequence[Wheel]) -> str | None:
    """The METADATA of the wheel that stands for a release."""
    return listing.metadata(chosen(own).file)


def chosen(own: Sequence[Wheel]) -> Wheel:
    """The wheel that stands for a release."""
    return min(own, key=lambda w: (w.machine != "x86_64", w.python != "3.11", w.python))


def torch_metadata(text: str | None) -> Row:
    """What a wheel of torch requires, as columns; with the `variant` that its CUDA makes it."""
    told: Row = {}
    for wanted in requirements(text):
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


def requirements(text: str | None) -> Iterator[Requirement]:
    """What METADATA requires; lines that cannot be read are left out."""
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


def versions(files: Iterable[File]) -> Iterator[str]:
    """The releases that have any file."""
    for file in files:
        wheel = file.filename.endswith(".whl")
        try:
            parsed = (parse_wheel_filename if wheel else parse_sdist_filename)(file.filename)
        except (InvalidWheelFilename, InvalidSdistFilename, ValueError):
            continue
        yield parsed[1].public
