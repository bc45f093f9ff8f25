"""What package indexes list, beside the facts: new releases, states, and rows to review. Pure.

An index may be a mirror of a part, so what it does not list is not gone: facts are added to, ranges
are widened, gaps are filled; nothing is ever removed, and what differs is told and left alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from packaging.metadata import parse_email
from packaging.version import Version

from matrix.facts import natural
from matrix.facts.listings import (
    Listing,
    Row,
    Wheel,
    by_release,
    chosen,
    metadata_of,
    requirements,
    torch_metadata,
    versions,
    wheels,
)

State = Literal["seen", "absent", "unknown"]
OLDEST = Version("2.0")
UNCONFIRMED = frozenset({"", "unconfirmed"})


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


def sync_torch(rows: Sequence[Row], listings: Sequence[Listing], day: str) -> Synced:
    """The builds of torch with what the indexes list; `day` is today, for the sources."""
    known = {(row["torch"], row["variant"]): dict(row) for row in rows}
    default = {row["torch"]: row["variant"] for row in rows if row["kind"] == "pypi-default"}
    found: dict[tuple[str, str], list[Wheel]] = {}
    seen: list[Seen] = []
    metadata: dict[tuple[str, str], Row] = {}
    for listing in listings:
        for version, every in by_release(listing.files):
            # a default wheel for another machine may be of another variant: 2.4's is for processors
            own = [w for w in every if w.local or w.machine == "x86_64"]
            if Version(version) < OLDEST or not own:
                continue
            variant = own[0].local or default.get(version, "")
            told: Row = {}
            if not own[0].local and not variant:
                told = torch_metadata(metadata_of(listing, own))
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
    listed = {version for listing in listings for version in versions(listing.files)}
    added: dict[str, Row] = {}
    seen: list[Seen] = []
    for listing in listings:
        for version, found in by_release(listing.files):
            if version in have or version in added or Version(version) <= newest:
                continue
            text = metadata_of(listing, found)
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


def _companion(
    package: str, version: str, own: Sequence[Wheel], text: str, day: str, like: Row
) -> Row:
    raw, _ = parse_email(text)
    wanted = [r for r in requirements(text) if r.name == "torch"]
    spec = str(wanted[0].specifier) if wanted else ""
    exact = spec.startswith("==") and "," not in spec and "*" not in spec
    wheel = chosen(own)
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
