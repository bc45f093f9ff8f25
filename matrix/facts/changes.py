"""What releases of torch changed, by their notes, and where our own facts show the same."""

import csv
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files

from matrix.facts import natural

FEATURE, GATED, NONE = "feature", "gated", "none"
NOT_LINKED = "not linked"

_CHECKED = {"python_min", "python_max", "free_threaded", "triton", "cudnn", "nccl", "arch_list"}
_CHECKED |= {"cusparselt", "nvshmem", "setuptools", "platform_tag", "cuda_full", "machines"}
_CHECKED |= {"torchvision", "torchaudio"}
"""Columns of `torch_builds.csv` that a gated change may name."""
_MOST = 3
Builds = Iterable[Mapping[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change that a release brought, and how we can observe it.

    `observe` is `feature` (`observed_by`: ids of features), `gated` (columns of
    `torch_builds.csv`, `variants` or `default-variant`) or `none` (the reason why not).
    Source: `breaking_changes.csv`, one row.
    """

    id: str
    torch: str
    area: str
    severity: str
    change: str
    source: str
    status: str
    observe: str
    observed_by: str

    @property
    def features(self) -> tuple[str, ...]:
        """Ids of the features that show it."""
        ids = tuple(re.findall(r"[\w.-]+", self.observed_by))
        return ids if self.observe == FEATURE else ()


def read(lines: Iterable[str]) -> tuple[Change, ...]:
    """Changes of a CSV file; what says nothing of its observation is `not linked`."""
    found = []
    for row in csv.DictReader(lines):
        names = ("torch", "area", "severity", "change", "source", "status")
        observe = (row.get("observe") or "").strip() or NONE
        linked = row.get("observe") and row.get("observed_by")
        found.append(
            Change(
                id=row.get("id") or "",
                observe=observe,
                observed_by=(row.get("observed_by") or "").strip() if linked else NOT_LINKED,
                **{name: row[name] for name in names},
            )
        )
    return tuple(found)


@functools.cache
def changes() -> tuple[Change, ...]:
    """All changes that we know of (`breaking_changes.csv`)."""
    return read(_text("breaking_changes.csv").splitlines())


@functools.cache
def builds() -> tuple[dict[str, str], ...]:
    """The published builds, as they stand in `torch_builds.csv`."""
    rows = csv.DictReader(_text("torch_builds.csv").splitlines())
    known = {"observed", "declared", "reported"}
    return tuple(r for r in rows if r["evidence"] in known and r["kind"] != "absent")


@functools.cache
def minors() -> tuple[str, ...]:
    """The minor releases with published builds, ascending: `2.9`, `2.10`."""
    return tuple(sorted({minor(row["torch"]) for row in builds()}, key=natural))


def minor(release: str) -> str:
    """The minor release: `2.6` of `2.6.0`."""
    return ".".join(release.split(".")[:2])


def gate(change: Change, rows: Builds) -> tuple[bool | None, str]:
    """Whether published builds show a gated change, and what differs; None: cannot be evaluated.

    Compared are the last release before the change's and the first one since.
    """
    rows = list(rows)
    releases = sorted({row["torch"] for row in rows}, key=natural)
    at = natural(change.torch)
    before = [release for release in releases if natural(release) < at]
    since = [release for release in releases if natural(release) >= at]
    named = set(re.findall(r"[\w-]+", change.observed_by))
    columns = sorted(named & _CHECKED)
    if not before or not since or not (columns or named & {"variants", "default-variant"}):
        return None, "no check of the published builds is named by it"
    old, new = before[-1], since[0]
    was, now = ({r["variant"]: r for r in rows if r["torch"] == t} for t in (old, new))
    found = []
    if "default-variant" in named:
        found += _differs("default variant", *(_default(builds) for builds in (was, now)))
    if "variants" in named:
        found += _differs("variants", " ".join(sorted(was)), " ".join(sorted(now)))
    for column in columns:
        pairs = {
            "default": (was.get(_default(was), {}), now.get(_default(now), {})),
            **{variant: (was[variant], now[variant]) for variant in sorted(was.keys() & now)},
        }
        told = [
            text
            for where, (one, other) in pairs.items()
            for text in _differs(f"{column} ({where})", one.get(column, ""), other.get(column, ""))
        ]
        found += told[:_MOST]
    return bool(found), f"{old} and {new}: " + (
        "; ".join(found) or "no difference in what it names"
    )


def _default(builds: Mapping[str, Mapping[str, str]]) -> str:
    return next((name for name, row in builds.items() if row["kind"] == "pypi-default"), "")


def _differs(what: str, old: str, new: str) -> list[str]:
    known = {old, new}.isdisjoint({"unconfirmed"}) and (old or new)
    return [f"{what} {old or 'none'} → {new or 'none'}"] if known and old != new else []


def _text(name: str) -> str:
    return (files("matrix.facts") / name).read_text(encoding="utf-8")
