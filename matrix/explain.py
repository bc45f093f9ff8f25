"""Why an id is a cell, excluded, or nothing: one sentence, and the same as data with its source."""

from matrix import facts
from matrix.cells import Cell, Expansion, parse_companion, parse_id
from matrix.definition import Definition
from matrix.errors import InputError
from matrix.schema import hint

Explanation = tuple[str, dict[str, str]]


def explain(cell_id: str, definition: Definition, expansion: Expansion) -> Explanation:
    """Say what any id is; raises `InputError` for what is no id."""
    if cell := expansion.find(cell_id):
        return _cell(cell)
    for item in expansion.excluded:
        if item.id == cell_id:
            line = f"`{cell_id}` is excluded by rule {item.rule}: {item.reason}"
            return line, {"id": cell_id, "is": "excluded", "rule": item.rule,
                          "reason": item.reason, "source": item.source,
                          "date": item.date}  # fmt: skip
    parts = parse_id(cell_id)
    if parts is None:
        known = [cell.id for cell in expansion.cells]
        raise InputError(
            f"`{cell_id}` is no cell id",
            ["write torch2.13.0-cu130-py3.12", hint(cell_id, known)],
        )
    kind, reason, source = _unpublished(*parts)
    companion = parse_companion(cell_id)
    if companion and not kind:
        kind, reason, source = _companion(companion, parts, definition, expansion)
    elif not kind:
        build = facts.builds()[parts[0]][parts[1]]
        kind = "not-asked-for"
        reason = (
            f"it was published ({build.status}, {build.released}) and {definition.path.name} does "
            "not ask for it; add it to a [[torch]] block"
        )
    return f"`{cell_id}` is no cell here: {reason}", {
        "id": cell_id, "is": kind, "reason": reason, "source": source, "date": facts.COLLECTED
    }  # fmt: skip


def _cell(cell: Cell) -> Explanation:
    build = facts.builds()[cell.torch][cell.variant]
    beside = f"; {', '.join(cell.companions)} comes beside it" if cell.companions else ""
    line = (
        f"`{cell.id}` is a cell: torch {cell.torch} {cell.variant} was published "
        f"{build.released} for Python {build.pythons} ({build.status}){beside}; "
        f"its tests run on {cell.device}"
    )
    return line, {"id": cell.id, "is": "cell", "status": build.status,
                  "source": build.source, "date": build.released}  # fmt: skip


def _unpublished(torch: str, variant: str, python: str) -> tuple[str, str, str]:
    """Kind, reason and source where such a build was never published; else the source alone."""
    source = "facts/torch_builds.csv"
    build = facts.builds().get(torch, {}).get(variant)
    if torch not in facts.builds():
        known = list(facts.builds())
        return "no-cell", f"torch {torch} does not exist in the facts; {hint(torch, known)}", source
    if build is None:
        have = ", ".join(facts.published(torch))
        return "no-cell", f"torch {torch} was never published as {variant}; it has {have}", source
    if not build.published:
        reason = f"{variant} of torch {torch} is {build.status}: {build.notes}"
        return "no-cell", reason, build.source
    if not build.has_python(python):
        reason = f"torch {torch} {variant} has wheels for Python {build.pythons}, not {python}"
        return "no-cell", reason, build.source
    return "", "", build.source


def _companion(
    companion: tuple[str, str],
    parts: tuple[str, str, str],
    definition: Definition,
    expansion: Expansion,
) -> tuple[str, str, str]:
    """Kind, reason and source of a cell whose torch was published and whose companion is none."""
    package, version = companion
    torch, variant, python = parts
    file, base = definition.path.name, f"torch{torch}-{variant}-py{python}"
    if not package:
        reason = f"`{version}` is no companion with its version, such as torchao0.17.0"
        return "no-cell", reason, file
    declared = [c for c in definition.companions if c.package == package]
    blocks = [c for c in declared if version in c.versions]
    pin = facts.pins().get((package, version))
    source = pin.source if pin else file
    pinned = pin is not None and pin.torch[:1] in set("=<>~!")  # others have `(none)`
    says = f" (by the facts it needs torch{pin.torch}, {pin.status})" if pin and pinned else ""
    if not declared:
        reason = f"{file} declares no companion `{package}`; add a [[companion]] block{says}"
    elif not blocks:
        have = ", ".join(v for c in declared for v in c.versions)
        reason = f"{declared[0].path} of {file} has {package} {have}, not {version}; add it{says}"
    elif expansion.find(base) is None:
        reason = f"{file} does not ask for `{base}`; add it to a [[torch]] block"
    else:
        reason = f"{blocks[0].path} of {file} is for torch{blocks[0].torch}, not {torch}{says}"
    return "not-asked-for", reason, source
