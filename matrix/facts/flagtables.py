"""Tables of what serving engines read, with the releases that indexes list and they lack. Pure.

A release is added once and not read again: what a published wheel defines does not change.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from matrix.facts import natural
from matrix.facts.definitions import read_flags
from matrix.facts.enginereads import read_graph_defaults, read_variables
from matrix.facts.flags import COLUMNS, Flag, row_of, spans, stretch_of
from matrix.facts.graphdefaults import GRAPH_COLUMNS, GraphDefault
from matrix.facts.listings import File, Listing, Row, by_release, chosen
from matrix.facts.sync import Seen

OLDEST = {"sglang": "0.4.0", "vllm": "0.6.0"}
RELEASES = "engine_releases.csv"
VARIABLES = "engine_variables.csv"
GRAPHS = "graph_defaults.csv"
TABLES: Mapping[str, tuple[str, ...]] = {
    RELEASES: ("engine", "release", "date", "flags", "source", "status"),
    VARIABLES: ("engine", "name", "since", "until"),
    GRAPHS: ("engine", *GRAPH_COLUMNS, "since", "until"),
    "sglang_flags.csv": COLUMNS,
    "vllm_flags.csv": COLUMNS,
}
"""File name → columns."""
Tables = Mapping[str, Sequence[Row]]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncedFlags:
    """The tables with what was learnt, and what was seen."""

    tables: dict[str, list[Row]]
    seen: tuple[Seen, ...]


class Told(NamedTuple):
    """What one release's files tell."""

    flags: tuple[Flag, ...]
    variables: tuple[str, ...]
    graphs: tuple[GraphDefault, ...]


def sync_flags(engine: str, tables: Tables, listings: Sequence[Listing], day: str) -> SyncedFlags:
    """The tables with an engine's releases that are not in them; `day` is today, for sources."""
    known = {row["release"]: row for row in tables[RELEASES] if row["engine"] == engine}
    told = _told(engine, tables, known)
    seen: list[Seen] = []
    for listing in listings:
        for version, wheels in by_release(listing.files):
            if version in known or natural(version) < natural(OLDEST[engine]):
                continue
            file = chosen(wheels).file
            found = _read(engine, listing, file)
            if found.flags:
                told[version] = found
                known[version] = _release(engine, version, file, len(found.flags), day)
            seen.append(_seen(engine, version, known=version in known))
    return SyncedFlags(tables=_merged(engine, tables, known, told), seen=tuple(seen))


def _read(engine: str, listing: Listing, file: File) -> Told:
    with listing.members(file) as read:
        if read is None:
            return Told((), (), ())
        graphs = read_graph_defaults(read) if engine == "sglang" else ()
        return Told(read_flags(engine, read), read_variables(engine, read), graphs)


def _told(engine: str, tables: Tables, known: Iterable[str]) -> dict[str, Told]:
    """The tables as what each release tells."""
    order = sorted(known, key=natural)
    flags = _expanded(tables[f"{engine}_flags.csv"], order, lambda row: stretch_of(row).flag)
    variables = _expanded(_own(engine, tables[VARIABLES]), order, lambda row: row["name"])
    graphs = _expanded(_own(engine, tables[GRAPHS]), order, _graph)
    return {release: Told(flags[release], variables[release], graphs[release]) for release in order}


def _merged(
    engine: str, tables: Tables, known: Mapping[str, Row], told: Mapping[str, Told]
) -> dict[str, list[Row]]:
    flags = spans({release: one.flags for release, one in told.items()})
    variables = spans({release: one.variables for release, one in told.items()})
    graphs = spans({release: one.graphs for release, one in told.items()})
    now = {
        RELEASES: [known[release] for release in sorted(known, key=natural)],
        VARIABLES: [
            {"engine": engine, "name": name, "since": since, "until": until}
            for name, since, until in sorted(variables, key=lambda s: (s[0], natural(s[1])))
        ],
        GRAPHS: [
            {"engine": engine, **graph.row(), "since": since, "until": until}
            for graph, since, until in sorted(graphs, key=lambda s: (natural(s[1]), s[0]))
        ],
    }
    both = {name: [*_others(engine, tables[name]), *rows] for name, rows in now.items()}
    both = {name: sorted(rows, key=lambda row: row["engine"]) for name, rows in both.items()}
    ordered = sorted(flags, key=lambda span: (span[0].name, natural(span[1])))
    own = {f"{engine}_flags.csv": [row_of(*span) for span in ordered]}
    return {name: list(rows) for name, rows in tables.items()} | both | own


def _release(engine: str, version: str, file: File, flags: int, day: str) -> Row:
    return {
        "engine": engine,
        "release": version,
        "date": file.uploaded,
        "flags": str(flags),
        "source": f"{file.filename}, read {day}",
        "status": "observed",
    }


def _seen(engine: str, version: str, *, known: bool) -> Seen:
    why = "" if known else "no definitions of flags can be read out of its wheel"
    return Seen(package=engine, version=version, variant="flags",
                state="seen" if known else "unknown", new=True, why=why)  # fmt: skip


def _graph(row: Row) -> GraphDefault:
    return GraphDefault(*(int(row[name]) for name in GRAPH_COLUMNS))


def _own(engine: str, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["engine"] == engine]


def _others(engine: str, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["engine"] != engine]


def _expanded(
    rows: Iterable[Row], order: Sequence[str], read: Callable[[Row], T]
) -> dict[str, tuple[T, ...]]:
    """Rows of stretches as what each release has."""
    place = {release: number for number, release in enumerate(order)}
    parsed = [(read(row), place[row["since"]], place[row["until"]]) for row in rows]
    return {
        release: tuple(thing for thing, first, last in parsed if first <= here <= last)
        for release, here in place.items()
    }
