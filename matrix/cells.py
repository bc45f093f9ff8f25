"""Definition + facts → cells and exclusions, and the selection among them."""

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from matrix import facts
from matrix.accelerators import AcceleratorName, accelerator_of
from matrix.definition import Definition, FirstAvailable, TorchBlock
from matrix.errors import InputError
from matrix.selection import Fields, Predicate, SelectionError, compile_selection

MAX_ID = 100
_ID = re.compile(
    r"torch(?P<torch>[0-9][0-9a-z.]*)-(?P<variant>[a-z0-9.]+)-py(?P<python>\d+\.\d+t?)(?:-(?P<tail>.+))?"
)
_COMPANION = re.compile(r"(?P<package>[a-z][a-z0-9._-]*?)(?P<version>\d+(?:\.[0-9a-z]+)+)")

Offers = Callable[[str, str, str], str]
"""(torch, variant, python) → "" if the user's indexes offer that wheel, else the reason."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One environment to test: torch × variant × Python, with companions.

    `device` is where the definition wants its tests to run; it is not part of the id, because
    where they really ran is measured.
    """

    torch: str
    variant: str
    python: str
    companions: tuple[str, ...] = ()
    device: AcceleratorName

    @functools.cached_property
    def id(self) -> str:
        """The nox id, image tag and directory name; only `[a-z0-9._-]`, at most 100 characters."""
        tail = "".join(f"-{c.replace('==', '')}" for c in self.companions)
        full = re.sub(
            r"[^a-z0-9._-]", "-", f"torch{self.torch}-{self.variant}-py{self.python}{tail}"
        )
        if len(full) <= MAX_ID:
            return full
        digest = hashlib.sha256(full.encode()).hexdigest()[:8]
        return f"{full[: MAX_ID - 9]}-{digest}"

    @property
    def accelerator(self) -> AcceleratorName:
        """What the build is made for."""
        accelerator = accelerator_of(self.variant)
        assert accelerator is not None, self.variant
        return accelerator.NAME

    @property
    def fields(self) -> Fields:
        """What selections see."""
        return {
            "id": self.id,
            "torch": self.torch,
            "variant": self.variant,
            "accelerator": self.accelerator,
            "python": self.python,
            "device": self.device,
            "companion": ";".join(self.companions),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Excluded:
    """A combination that is no cell, with the rule, the source and the date that exclude it."""

    id: str
    rule: str
    reason: str
    source: str
    date: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Expansion:
    """All cells of a definition in a stable order, and what is no cell."""

    cells: tuple[Cell, ...]
    excluded: tuple[Excluded, ...]

    def find(self, cell_id: str) -> Cell | None:
        """Return the cell with this id."""
        return next((cell for cell in self.cells if cell.id == cell_id), None)


def expand(definition: Definition, offers: Offers) -> Expansion:
    """Expand a definition; raises `InputError` where two blocks make the same cell."""
    cells: dict[str, Cell] = {}
    excluded: dict[str, Excluded] = {}
    owners: dict[str, str] = {}
    problems: list[str] = []
    for block in definition.torch:
        for item in _of_block(block, offers):
            if isinstance(item, Excluded):
                excluded.setdefault(item.id, item)
                continue
            if item.id in owners:
                problems.append(
                    f"{block.path}: cell `{item.id}` is already made by {owners[item.id]}"
                )
            owners[item.id] = block.path
            cells[item.id] = item
    for base in tuple(cells.values()):
        for item in _with_companions(base, definition):
            if isinstance(item, Excluded):
                excluded[item.id] = item
            else:
                cells[item.id] = item
    for exclude in definition.excludes:
        hit = [cell for cell in cells.values() if exclude.matches(cell.fields)]
        if not hit:
            problems.append(f"{exclude.path}.select: `{exclude.text}` matches no cell")
        for cell in hit:
            del cells[cell.id]
            excluded[cell.id] = Excluded(
                id=cell.id,
                rule="matrix.toml",
                reason=exclude.reason,
                source=f"{exclude.path} of {definition.path.name}",
                date="",
            )
    if problems:
        raise InputError(f"`{definition.path}` has {len(problems)} mistake(s):", problems)
    return Expansion(
        cells=tuple(sorted(cells.values(), key=lambda c: facts.natural(c.id))),
        excluded=tuple(sorted(excluded.values(), key=lambda e: facts.natural(e.id))),
    )


def _of_block(block: TorchBlock, offers: Offers) -> Iterator[Cell | Excluded]:
    seen: set[str] = set()
    for torch in block.versions:
        for python in block.pythons:
            for variant in block.variants:
                for item in _resolve(block, torch, variant, python, offers):
                    # `default` and a named variant of one block may be the same build
                    if item.id not in seen:
                        seen.add(item.id)
                        yield item


def _resolve(
    block: TorchBlock, torch: str, variant: str | FirstAvailable, python: str, offers: Offers
) -> Iterator[Cell | Excluded]:
    if isinstance(variant, FirstAvailable):
        yield from _first_available(block, torch, variant, python, offers)
    elif variant == "published":
        for name in facts.builds()[torch]:
            yield _cell(block, torch, name, python)
    elif variant == "default":
        default = facts.default_variant(torch)
        if default:
            yield _cell(block, torch, default, python)
    else:
        yield _cell(block, torch, variant, python)


def _first_available(
    block: TorchBlock, torch: str, choice: FirstAvailable, python: str, offers: Offers
) -> Iterator[Cell | Excluded]:
    """Take the first candidate that is published and offered; name the refused ones."""
    names = [
        facts.default_variant(torch) if candidate == "default" else candidate
        for candidate in choice.candidates
    ]
    # the first candidate says where tests should run, also when another build serves
    wanted = accelerator_of(names[0]) if names and names[0] else None
    device = block.device or (wanted.NAME if wanted else None)
    for candidate, name in zip(choice.candidates, names, strict=True):
        if name is None:
            continue
        item = _cell(block, torch, name, python)
        if isinstance(item, Excluded):
            yield item
            continue
        if candidate == "default" or not (reason := offers(torch, name, python)):
            yield replace(item, device=device or item.device)
            return
        yield Excluded(
            id=item.id,
            rule="first_available",
            reason=reason,
            source="the package indexes of this machine",
            date="",
        )


def _cell(block: TorchBlock, torch: str, variant: str, python: str) -> Cell | Excluded:
    """Make a cell of what facts say exists; anything else is excluded with its source."""
    build = facts.builds()[torch].get(variant)
    name = f"torch{torch}-{variant}-py{python}"
    accelerator = accelerator_of(variant)
    if build is None:
        return Excluded(
            id=name,
            rule="variant-not-published",
            reason=f"torch {torch} has {', '.join(facts.published(torch))} (declared)",
            source="facts/torch_builds.csv",
            date=facts.COLLECTED,
        )
    rule = reason = ""
    if accelerator is None:
        rule, reason = (
            "accelerator",
            f"`{variant}` is for an accelerator this project does not test",
        )
    elif not build.published:
        rule = f"variant-{build.status}"
        reason = f"{build.status}: {build.notes or 'no published wheel was seen'}"
    elif not build.has_python(python):
        rule, reason = "python", f"no wheel for Python {python}; wheels are for {build.pythons}"
    if rule or accelerator is None:
        return Excluded(
            id=name, rule=rule, reason=reason, source=build.source, date=facts.COLLECTED
        )
    return Cell(
        torch=torch, variant=variant, python=python, device=block.device or accelerator.NAME
    )


def _with_companions(base: Cell, definition: Definition) -> Iterator[Cell | Excluded]:
    for companion in definition.companions:
        if not companion.torch.contains(facts.version(base.torch), prereleases=True):
            continue
        for version in companion.versions:
            cell = replace(base, companions=(f"{companion.package}=={version}",))
            pin = facts.pins().get((companion.package, version))
            if pin and pin.exact and not _allows(pin.torch, base.torch):
                yield Excluded(
                    id=cell.id,
                    rule="companion-pin",
                    reason=f"{pin.package} {pin.version} needs torch{pin.torch} ({pin.status})",
                    source=pin.source,
                    date=facts.COLLECTED,
                )
            else:
                yield cell


def _allows(specifier: str, torch: str) -> bool:
    wanted = specifier.removeprefix("==").split("+")[0]
    return facts.natural(wanted) == facts.natural(torch)


def select(cells: Iterable[Cell], selections: Iterable[str]) -> tuple[Cell, ...]:
    """Cells that match any selection, in order; no selection selects all.

    Raises `InputError` for selections that cannot be read, all at once.
    """
    chosen = any_of(selections)
    return tuple(cell for cell in cells if chosen(cell.fields))


def any_of(selections: Iterable[str]) -> Predicate:
    """One predicate for several selections; raises `InputError` as `select` does."""
    predicates: list[Predicate] = []
    problems: list[str] = []
    for text in selections:
        try:
            predicates.append(compile_selection(text))
        except SelectionError as error:
            problems.append(str(error))
    if problems:
        raise InputError("the selection cannot be read:", problems)
    return lambda fields: not predicates or any(p(fields) for p in predicates)


def parse_id(cell_id: str) -> tuple[str, str, str] | None:
    """Read (torch, variant, python) out of a cell id; None where it is no cell id."""
    match = _ID.fullmatch(cell_id)
    return (match["torch"], match["variant"], match["python"]) if match else None


def parse_companion(cell_id: str) -> tuple[str, str] | None:
    """Read (package, version) of the companion out of a cell id.

    None where it has none; ("", tail) where the tail is no name with a version.
    """
    match = _ID.fullmatch(cell_id)
    if not match or not (tail := match["tail"]):
        return None
    found = _COMPANION.fullmatch(tail)
    return (found["package"], found["version"]) if found else ("", tail)
