"""What every command starts from: the definition, its cells, this machine, and the store."""

import functools
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix import definition as definitions
from matrix.cells import Cell, Expansion, expand, select
from matrix.definition import Definition, Profile, Suite
from matrix.errors import InputError, NothingToRun
from matrix.explain import explain
from matrix.indexes import Availability, IndexConfig, read_config
from matrix.locks import Resolver, uv
from matrix.process import cell_environment
from matrix.schema import hint
from matrix.store import Store


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A matrix file and the results beside it; nothing is read before it is asked for."""

    file: Path
    results: Path
    env: Mapping[str, str]
    stop: threading.Event

    @classmethod
    def of(cls, file: Path, env: Mapping[str, str]) -> "Workspace":
        """A workspace with its results beside the matrix file."""
        return cls(file=file, results=file.parent / "results", env=env, stop=threading.Event())

    @functools.cached_property
    def definition(self) -> Definition:
        """The checked matrix file."""
        return definitions.load(self.file)

    @functools.cached_property
    def indexes(self) -> IndexConfig:
        """The user's package indexes."""
        return read_config(self.env)

    @functools.cached_property
    def resolver(self) -> Resolver:
        """uv, in a clean environment, with those indexes."""
        env = cell_environment(self.env)
        return Resolver(binary=uv(), config=self.indexes, env=env, stop=self.stop)

    @functools.cached_property
    def availability(self) -> Availability:
        """What the indexes offer, remembered for a day."""
        return Availability(
            self.store.local / "availability.json",
            self.indexes,
            self.definition.pytorch_index,
            self.resolver.ask,
        )

    @functools.cached_property
    def expansion(self) -> Expansion:
        """All cells and exclusions of the definition."""
        return expand(self.definition, self.availability.offers)

    @functools.cached_property
    def store(self) -> Store:
        """The bundles."""
        return Store(self.results.absolute())  # cells' processes run in folders of their own

    def profile(self, name: str) -> Profile:
        """A profile by name; raises `InputError`."""
        profiles = self.definition.profiles
        if name not in profiles:
            raise InputError(f"no profile `{name}`", [hint(name, list(profiles))])
        return profiles[name]

    def cells(self, profile: Profile, selections: Sequence[str]) -> tuple[Cell, ...]:
        """The cells of a profile; given selections take the place of the profile's.

        Raises `NothingToRun` where none is left.
        """
        chosen = select(self.expansion.cells, selections or profile.select)
        if not chosen:
            wanted = ", ".join(f"`{s}`" for s in selections or profile.select) or "everything"
            some = ", ".join(cell.id for cell in self.expansion.cells[:4]) or "none"
            message = (
                f"no cell matches {wanted}; {self.file.name} has {len(self.expansion.cells)} "
                f"(such as {some}); `python -m matrix list --all` shows them"
            )
            raise NothingToRun(message)
        return chosen

    def suites(self, profile: Profile, names: Iterable[str]) -> tuple[Suite, ...]:
        """The suites to run; raises `InputError` for unknown ones."""
        wanted = tuple(names) or profile.suites
        known = self.definition.suites
        unknown = [f"no suite `{n}`; {hint(n, list(known))}" for n in wanted if n not in known]
        if unknown:
            raise InputError("the suites cannot be run:", unknown)
        return tuple(known[name] for name in dict.fromkeys(wanted))

    def baseline(self, profile: Profile, measured: Iterable[str]) -> str | None:
        """The cell that ratios are given against: the newest measured one the profile selects."""
        if not profile.baseline:
            return None
        have = set(measured)
        found = [c.id for c in select(self.expansion.cells, [profile.baseline]) if c.id in have]
        return found[-1] if found else None

    def explain(self, cell_id: str) -> tuple[str, dict[str, str]]:
        """Say in one line what any id is, and the same as data; raises `InputError`."""
        return explain(cell_id, self.definition, self.expansion)
