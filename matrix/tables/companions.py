"""Cells with companions in the tables: apart from the others, their versions as lines."""

import re

import pandas as pd

from matrix.facts import order
from matrix.tables.columns import labels_of, natural, records
from matrix.tables.verdicts import NOT_MEASURED


def by_companions(table: pd.DataFrame, columns: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The table of features in parts: of cells without companions (""), then with each set of them.

    A part has the features that ran in it. One that only a companion brings to life, and that is
    skipped without it, stands with the companion alone.
    """
    names = {
        str(label): ", ".join(part.partition("==")[0] for part in str(text).split(";") if part)
        for label, text in columns["companions"].items()
    }
    parts = {}
    for name in sorted(set(names.values())):
        part = table[[label for label in table.columns if names[label] == name]]
        parts[name] = part[(part != NOT_MEASURED).any(axis=1)]
    if "" in parts:
        idle = parts[""].isin(["skip", NOT_MEASURED]).all(axis=1)
        elsewhere = [name for key, part in parts.items() if key for name in part.index]
        parts[""] = parts[""][~(idle & parts[""].index.isin(elsewhere))]
    return {name: part for name, part in parts.items() if not part.empty}


def folded(
    table: pd.DataFrame, columns: pd.DataFrame, missing: object
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table whose columns are cells without companions, and what these columns are.

    Versions of companions are lines: the last level of the index, `torchao 0.17.0` or "". Six of
    them on eleven releases are six lines of eleven instead of one of sixty-six; what is `missing`
    everywhere is no line.
    """
    used = columns.loc[list(table.columns)]
    lines = records(used)
    alone = [
        line | {"cell": _without(line["cell"], line["companions"]), "companions": ""}
        for line in lines
    ]
    # what is stale does not share a column with what is not
    told = zip(labels_of(alone), lines, strict=True)
    bases = [f"{label} stale" if line["stale"] else label for label, line in told]
    beside = [" ".join(line["companions"].replace("==", " ").split(";")) for line in lines]
    where = pd.DataFrame(alone, index=pd.Index(bases, dtype=object, name="label"))
    where = where[~where.index.duplicated()]
    where = where.loc[sorted(where.index, key=lambda label: _order(label, where))]
    made: dict[tuple[str, ...], dict[str, object]] = {}
    versions = sorted(set(beside), key=natural)
    for key, cells in zip(table.index, table.to_numpy(), strict=True):
        for version in versions:
            line = {
                base: cell
                for base, own, cell in zip(bases, beside, cells, strict=True)
                if own == version and cell != missing
            }
            if line:
                made[*key, version] = line
    index = pd.MultiIndex.from_tuples(list(made), names=[*table.index.names, "companions"])
    data = [[line.get(base, missing) for base in where.index] for line in made.values()]
    return pd.DataFrame(data, index=index, columns=where.index, dtype=object), where


def _order(label: str, where: pd.DataFrame) -> tuple[object, ...]:
    torch, variant, python = map(str, where.loc[label, ["torch", "variant", "python"]])
    return (order(torch), natural(variant), natural(python), natural(label))


def _without(cell: str, companions: str) -> str:
    """The id of the same cell without companions; a shortened id stays as it is."""
    tail = "".join(f"-{part.replace('==', '')}" for part in companions.split(";") if part)
    return cell.removesuffix(re.sub(r"[^a-z0-9._-]", "-", tail))
