"""`sync`: the facts beside what the package indexes list today."""

import argparse
import difflib
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import errors, facts, resources
from matrix.cli.printing import print_json
from matrix.facts.flags import ENGINES
from matrix.schema import hint
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.facts.listings import Listing, Row
    from matrix.facts.sync import Seen

BUILDS, COMPANIONS = "torch_builds.csv", "companions.csv"


def sync_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Show what would be added to the facts as a diff; `--write` adds it. Nothing is removed."""
    from matrix.facts.flagtables import TABLES, sync_flags
    from matrix.facts.listings import read_table, write_table
    from matrix.facts.sync import sync_companion, sync_torch
    from matrix.registry import listings
    from matrix.store import utc_now

    folder = resources.PACKAGE / "facts"
    if arguments.write and not (resources.PACKAGE.parent / "pyproject.toml").is_file():
        problem = "these are of an installed package; run it in a checkout"
        raise errors.InputError("facts cannot be written:", [problem])
    day = f"{utc_now():%Y-%m-%d}"
    before = {name: _read(folder / name) for name in (BUILDS, COMPANIONS, *TABLES)}
    tables: dict[str, Sequence[Row]] = {
        name: tuple(read_table(text)) for name, text in before.items()
    }
    seen: list[Seen] = []
    differs: list[str] = []
    silent: list[Listing] = []
    answered = False
    for package in _packages(arguments.package):
        found = list(listings(package, workspace.env, workspace.definition.pytorch_index))
        silent += [one for one in found if one.error]
        answered = answered or any(not one.error for one in found)
        if package == "torch":
            done = sync_torch(tables[BUILDS], found, day)
            tables[BUILDS] = done.rows
        else:
            done = sync_companion(package, tables[COMPANIONS], found, day)
            tables[COMPANIONS] = done.rows
        if package in ENGINES:
            learnt = sync_flags(package, {name: tables[name] for name in TABLES}, found, day)
            tables |= learnt.tables
            seen += learnt.seen
        seen += done.seen
        differs += done.differs
    after = {name: write_table(rows) for name, rows in tables.items()}
    changed = [name for name in after if after[name] != before[name]]
    if arguments.json:
        print_json({"seen": [asdict(one) for one in seen], "differs": differs,
                    "changed": {name: _diff(name, before, after) for name in changed}})  # fmt: skip
    else:
        for name in changed:
            print(_diff(name, before, after), end="")
        _tell(seen, differs, silent)
    if arguments.write:
        for name in changed:
            (folder / name).write_text(after[name], encoding="utf-8", newline="")
            print(f"written: {folder / name}", file=sys.stderr)
    if not answered:
        message = "no index answered; nothing is known of what is published today"
        raise errors.InfrastructureError(message)
    return errors.OK


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as stream:
        return stream.read()


def _packages(wanted: Sequence[str]) -> list[str]:
    """Torch and all companions, or those that are named; raises `InputError`."""
    known = ["torch", *sorted({package for package, _ in facts.pins()})]
    unknown = [f"no facts about `{name}`; {hint(name, known)}" for name in wanted
               if name not in known]  # fmt: skip
    if unknown:
        raise errors.InputError("nothing to ask for:", unknown)
    return list(dict.fromkeys(wanted)) or known


def _diff(name: str, before: dict[str, str], after: dict[str, str]) -> str:
    old, new = (side[name].splitlines() for side in (before, after))
    path = f"matrix/facts/{name}"
    lines = difflib.unified_diff(old, new, path, path, n=0, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _tell(seen: Iterable["Seen"], differs: Iterable[str], silent: Iterable["Listing"]) -> None:
    """What was seen, and what nobody knows, for people."""
    seen = list(seen)
    states = Counter(one.state for one in seen if not one.new)
    for one in seen:
        if one.new:
            what = "new    " if one.state == "seen" else "unknown"
            name = " ".join(filter(None, [one.package, one.version, one.variant]))
            print(f"{what} {name}{f': {one.why}' if one.why else ''}", file=sys.stderr)
    for line in differs:
        print(f"differs, and stays: {line}", file=sys.stderr)
    for place, why in dict.fromkeys((one.place, one.error) for one in silent):
        print(f"{place}: {why}", file=sys.stderr)
    told = ", ".join(f"{states[state]} {state}" for state in ("seen", "absent", "unknown"))
    print(f"facts: {told}; what is absent here stays, an index may be a part", file=sys.stderr)
