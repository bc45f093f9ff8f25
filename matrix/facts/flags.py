"""Command-line flags of serving engines, release by release: what each takes, what became of it.

A table has one row per flag and stretch of releases in which it was defined the same way. It is
extracted from the releases' own files (`matrix.facts.definitions`), never written by hand.
"""

import functools
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, Self, TypeVar, get_args

from matrix.facts import natural, table
from matrix.facts.graphdefaults import GRAPH_COLUMNS, GraphDefault

Takes = Literal["nothing", "int", "float", "str", "json", "other"]
Number = Literal["", "?", "+", "*"]
"""How many values: "" is one; otherwise as argparse writes it."""
ENGINES = ("sglang", "vllm")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """One flag of one release."""

    name: str
    aliases: tuple[str, ...] = ()
    takes: Takes = "str"
    number: Number = ""
    values: tuple[str, ...] = ()
    """The values that its definition names; empty where it names none."""
    closed: bool = False
    """Whether argparse refuses all other values."""
    status: Literal["", "deprecated", "refused"] = ""
    """`refused`: defined only to stop the launch."""
    instead: str = ""
    """What the release says to use in its place."""

    def refusal(self, values: Iterable[str]) -> str:
        """Why the flag does not take these values, or ""."""
        given = list(values)
        if self.status == "refused":
            return f"`{self.name}` only stops the launch{self._hint()}"
        if self.takes == "nothing":
            return f"`{self.name}` takes no value, got `{' '.join(given)}`" if given else ""
        if not given and self.number in {"", "+"}:
            return f"`{self.name}` needs a value"
        if len(given) > 1 and self.number not in {"+", "*"}:
            return f"`{self.name}` takes one value, got {len(given)}"
        return next(filter(None, map(self._one, given)), "")

    def _one(self, value: str) -> str:
        number = {"int": int, "float": float}.get(self.takes)
        if number:
            try:
                number(value)
            except ValueError:
                return f"`{self.name}` takes {_ARTICLE[self.takes]}, got `{value}`"
        if self.values and self.closed and value not in self.values:
            return f"`{self.name}` does not take `{value}`; it takes {', '.join(self.values)}"
        return ""

    def _hint(self) -> str:
        return f"; use `{self.instead}`" if self.instead else ""


_ARTICLE = {"int": "a whole number", "float": "a number"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A release of a serving engine whose flags were extracted."""

    version: str
    date: str
    """Day of its upload; "" where the index does not say."""
    source: str

    @classmethod
    def of(cls, row: Mapping[str, str]) -> Self:
        """Read it from a row of `engine_releases.csv`."""
        return cls(version=row["release"], date=row["date"], source=row["source"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A flag's definition and the first and last release that has it so."""

    flag: Flag
    since: str
    until: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Retired:
    """What a person wrote of a flag that went, with the source."""

    flag: str
    instead: str
    why: str
    source: str


@functools.cache
def releases(engine: str) -> dict[str, Release]:
    """The releases of an engine whose flags are known, oldest first."""
    found = [Release.of(row) for row in table("engine_releases.csv") if row["engine"] == engine]
    return {one.version: one for one in found}


@functools.cache
def stretches(engine: str) -> tuple[Stretch, ...]:
    """All definitions of an engine's flags."""
    return tuple(map(stretch_of, table(f"{engine}_flags.csv")))


def flags_of(engine: str, release: str) -> dict[str, Flag]:
    """The flags of one release by name; raises `KeyError` for a release that is not known."""
    found = (stretch_of(row).flag for row in _rows(engine, release, f"{engine}_flags.csv"))
    return {flag.name: flag for flag in found}


def _rows(engine: str, release: str, name: str) -> Iterator[dict[str, str]]:
    """Rows of an engine's table whose stretch has a release."""
    order = {known: place for place, known in enumerate(releases(engine))}
    here = order[release]
    for row in table(name):
        own = row.get("engine", engine) == engine
        if own and order[row["since"]] <= here <= order[row["until"]]:
            yield row


@functools.cache
def variables_of(engine: str, release: str) -> frozenset[str]:
    """The engine's own environment variables that a release declares."""
    return frozenset(row["name"] for row in _rows(engine, release, "engine_variables.csv"))


@functools.cache
def graph_defaults(engine: str, release: str) -> tuple[GraphDefault, ...]:
    """The release's own table of the largest captured batch; empty where it could not be read."""
    return tuple(
        GraphDefault(*(int(row[name]) for name in GRAPH_COLUMNS))
        for row in _rows(engine, release, "graph_defaults.csv")
    )


@functools.cache
def retired(engine: str) -> dict[str, Retired]:
    """What took the place of flags that went without saying so (`retired_flags.toml`)."""
    text = (files(__package__) / "retired_flags.toml").read_text(encoding="utf-8")
    return {
        one["flag"]: Retired(**{k: v for k, v in one.items() if k != "engine"})
        for one in tomllib.loads(text)["retired"]
        if one["engine"] == engine
    }


COLUMNS = ("flag", "since", "until", "takes", "number", "values", "closed", "status", "instead",
           "aliases")  # fmt: skip


def stretch_of(row: Mapping[str, str]) -> Stretch:
    """Read a row of a flag table."""
    takes: tuple[Takes, ...] = get_args(Takes)
    number: tuple[Number, ...] = get_args(Number)
    return Stretch(
        since=row["since"],
        until=row["until"],
        flag=Flag(
            name=row["flag"],
            aliases=tuple(row["aliases"].split()),
            takes=next(t for t in takes if t == row["takes"]),
            number=next(n for n in number if n == row["number"]),
            values=tuple(row["values"].split()),
            closed=row["closed"] == "yes",
            status="refused" if row["status"] == "refused" else
            "deprecated" if row["status"] == "deprecated" else "",
            instead=row["instead"],
        ),
    )  # fmt: skip


def row_of(flag: Flag, since: str, until: str) -> dict[str, str]:
    """Write it."""
    return {
        "flag": flag.name,
        "since": since,
        "until": until,
        "takes": flag.takes,
        "number": flag.number,
        "values": " ".join(flag.values),
        "closed": "yes" if flag.closed else "",
        "status": flag.status,
        "instead": flag.instead,
        "aliases": " ".join(flag.aliases),
    }


def spans(by_release: Mapping[str, Iterable[T]]) -> Iterator[tuple[T, str, str]]:
    """Each thing with the first and last release of every unbroken stretch that has it."""
    open_: dict[T, tuple[str, str]] = {}
    for release in sorted(by_release, key=natural):
        now = dict.fromkeys(by_release[release])
        for thing in [thing for thing in open_ if thing not in now]:
            yield thing, *open_.pop(thing)
        for thing in now:
            open_[thing] = (open_.get(thing, (release, ""))[0], release)
    for thing, (since, until) in open_.items():
        yield thing, since, until
