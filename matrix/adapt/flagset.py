"""The flags of one release: from its own files where they are there, else from the tables.

Looked up by name, alias or (in SGLang, whose argparse allows it) an unambiguous beginning.
"""

import functools
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matrix.errors import InputError
from matrix.facts import flags as tables
from matrix.facts import natural
from matrix.facts.flags import ENGINES, Flag
from matrix.facts.graphdefaults import GraphDefault
from matrix.schema import hint


@dataclass(frozen=True, kw_only=True, slots=True)
class FlagSet:
    """What one release can be told, and where that was read."""

    engine: str
    release: str
    source: str
    names: Mapping[str, Flag]
    """Flags by name and alias."""
    variables: frozenset[str]
    graphs: tuple[GraphDefault, ...]

    def first(self, names: Iterable[str]) -> Flag | None:
        """The first of these names that the release has, under that name; plain ones first."""
        found = [replace(self.names[name], name=name) for name in names if name in self.names]
        return next((f for f in found if not f.status), found[0] if found else None)

    def find(self, name: str) -> Flag:
        """A flag that a person wrote, under its own name; raises `InputError`."""
        if name in self.names:
            return self.names[name]
        begin = {f.name: f for n, f in self.names.items() if n.startswith(name)}
        if self.engine == "sglang" and name.startswith("--") and len(begin) == 1:
            return next(iter(begin.values()))
        raise InputError("flag:", [self._unknown(name, sorted(begin))])

    def _unknown(self, name: str, begin: Sequence[str]) -> str:
        """Why a flag is refused, and what to do."""
        what = f"`{name}` is no flag of {self.engine} {self.release}"
        gone = tables.retired(self.engine).get(name)
        spans = [one for one in tables.stretches(self.engine) if one.flag.name == name]
        if spans:
            order = list(tables.releases(self.engine))
            since, until = spans[0].since, spans[-1].until
            later = self.release in order and order.index(since) > order.index(self.release)
            what += f": it comes with {since}" if later else f": it was last in {until}"
            if later:
                return what
            instead = gone.instead if gone else spans[-1].flag.instead
            if instead:
                what += f"; use `{instead}`"
            return f"{what} ({gone.why}; source: {gone.source})" if gone else what
        if begin:
            return f"{what}; it could be {', '.join(f'`{one}`' for one in begin)}"
        near = hint(name, list(self.names))
        return f"{what}; {near}" if near.startswith("did") else what


def flags_of_release(engine: str, release: str, source: str = "") -> FlagSet:
    """The flags of a release; raises `InputError` for an unknown engine or release.

    With `source` from there; else from the installed package if it is that release.
    """
    if engine not in ENGINES:
        raise InputError("engine:", [f"engine `{engine}`: {hint(engine, list(ENGINES))}"])
    installed = _installed(engine)
    release = release or installed
    if source:
        return _read(engine, release, Path(source))
    if not release:
        known = f"{engine} is not installed here, so name a release"
        raise InputError("release:", [f"{known}; the newest known is {_newest(engine)}"])
    if release == installed and (place := _folder(engine)):
        return _read(engine, release, place)
    known_releases = tables.releases(engine)
    if release not in known_releases:
        newer = natural(release) > natural(_newest(engine))
        near = hint(release, list(known_releases))
        near = near if near.startswith("did") and not newer else (
            f"the newest known is {_newest(engine)}; `sync` adds releases, `--source` reads a wheel"
        )  # fmt: skip
        problem = f"{engine} {release}: no flags of such a release are known; {near}"
        raise InputError("release:", [problem])
    return _tabled(engine, release)


@functools.cache
def _tabled(engine: str, release: str) -> FlagSet:
    return FlagSet(
        engine=engine,
        release=release,
        source=tables.releases(engine)[release].source,
        names=_named(tables.flags_of(engine, release).values()),
        variables=tables.variables_of(engine, release),
        graphs=tables.graph_defaults(engine, release),
    )


def _named(flags: Iterable[Flag]) -> dict[str, Flag]:
    return {name: flag for flag in flags for name in (*flag.aliases, flag.name)}


def _newest(engine: str) -> str:
    return list(tables.releases(engine))[-1]


def _installed(engine: str) -> str:
    if _folder(engine) is None:
        return ""
    from importlib import metadata  # noqa: PLC0415  15 ms that most need not spend

    try:
        return metadata.version(engine)
    except metadata.PackageNotFoundError:
        return ""


def _folder(engine: str) -> Path | None:
    """Where the package is installed, found without importing it."""
    spec = importlib.util.find_spec(engine)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).parent if places else None


def _read(engine: str, release: str, place: Path) -> FlagSet:
    """The flags in a wheel, a source archive, or a folder that has the package in it."""
    from matrix.adapt.enginefiles import opened  # noqa: PLC0415  only where files are read
    from matrix.facts.definitions import read_flags  # noqa: PLC0415
    from matrix.facts.enginereads import read_graph_defaults, read_variables  # noqa: PLC0415

    with opened(engine, place) as (version, read):
        found = read_flags(engine, read)
        release = release or version
        if not found:
            raise InputError("source:", [f"`{place}` has no definitions of {engine}'s flags"])
        if version and version != release:
            raise InputError("source:", [f"`{place}` is {engine} {version}, not {release}"])
        return FlagSet(
            engine=engine,
            release=release or "of this folder",
            source=place.name if place.is_file() else "the installed package's own files",
            names=_named(found),
            variables=frozenset(read_variables(engine, read)),
            graphs=read_graph_defaults(read) if engine == "sglang" else (),
        )
