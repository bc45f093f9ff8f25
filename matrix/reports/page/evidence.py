"""What stands behind each cell of the page's tables; each text is in it once."""

import math
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matrix.artefacts import Artefacts, Detail
from matrix.reports.lines import records
from matrix.reports.marks import mark
from matrix.reports.page.data import style_of
from matrix.reports.reasons import known_of
from matrix.reports.text import block, clean, number
from matrix.schema import BUILTIN_SUITES
from matrix.signatures import without_work

if TYPE_CHECKING:
    from matrix.tables import Tables

Key = tuple[str, str, str, str]

TRACEBACKS = 6_000_000
MAX_OF_SUITE = 40
_PLACE = (
    ("cell", "cell"),
    ("execution", "execution"),
    ("torch", "torch"),
    ("variant", "variant"),
    ("python", "Python"),
    ("companions", "companions"),
    ("device", "device"),
    ("device_model", "hardware"),
    ("driver", "driver"),
    ("power_limit", "power limit, W"),
    ("runner", "runner"),
    ("provision", "provision"),
    ("stale", "stale: changed since"),
)


class Texts:
    """Texts by number, so that one that many cells share is there once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {"": 0}

    def __call__(self, text: str) -> int:
        """The number of a text; 0 is the empty one."""
        return self._places.setdefault(text, len(self._places))

    def table(self) -> list[str]:
        """All texts, by number."""
        return list(self._places)


def build(tables: "Tables", artefacts: Mapping[Key, Artefacts]) -> dict[str, Any]:
    """Evidence by `f<row>.<column>` (features) and `s<row>.<column>` (files of own suites).

    Numbers stand for places in `texts`. Beyond `TRACEBACKS` characters of tracebacks, the rest is
    left out and says so.
    """
    texts = Texts()
    columns = {str(label): place for place, label in enumerate(tables.executions.index)}
    rows: dict[tuple[str, ...], int]
    rows = {("f", str(key[1])): place for place, key in enumerate(tables.features.index)}
    rows |= {("s", *map(str, key)): place for place, key in enumerate(tables.suites.index)}
    room = TRACEBACKS
    cells: dict[str, list[list[Any]]] = {}
    sources: dict[tuple[str, str], dict[str, Any]] = {}
    for row in records(tables.outcomes):
        found = artefacts.get((row["run"], row["cell"], row["execution"], row["suite"]))
        newest = sources.setdefault((row["label"], row["suite"]), row)
        if newest["run"] < row["run"]:
            sources[row["label"], row["suite"]] = row
        place = rows.get(_subject(row))
        if place is None or (row["suite"] not in BUILTIN_SUITES and row["verdict"] == "pass"):
            continue
        kind = "f" if row["feature"] or row["suite"] == "feature" else "s"
        detail = found.tests.get(row["test"], Detail()) if found else Detail()
        traceback = block(detail.traceback) if row["verdict"] != "pass" else ""
        room -= len(traceback)
        if traceback and room < 0:
            traceback = "left out, for the size of this page; the bundle has it"
        own = cells.setdefault(f"{kind}{place}.{columns[row['label']]}", [])
        if kind == "f" or len(own) < MAX_OF_SUITE:
            own.append(_outcome(row, detail, texts(traceback), texts))
    return {
        "cells": cells,
        "columns": _columns(tables, sources, artefacts, texts),
        "texts": texts.table(),
    }


def _subject(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["feature"] or row["suite"] == "feature":
        return "f", row["feature"] or row["test"]
    return "s", row["suite"], row["test"].partition("::")[0]


def _outcome(row: Mapping[str, Any], detail: Detail, traceback: int, texts: Texts) -> list[Any]:
    """The fields of a test, in the order in which `panel.js` names them."""
    known = known_of(row["verdict"], row["reason"])
    look = mark(row["verdict"])
    return [
        texts(clean(row["test"], 200)),
        look.symbol,
        look.word,
        style_of(row["verdict"]),
        texts(clean(without_work(row["reason"]), 1200)),
        round(row["duration"], 3) if isinstance(row["duration"], float) else None,
        traceback,
        _number(detail.error),
        _number(detail.tolerance),
        str(detail.seed) if detail.seed is not None else "",
        texts(known.cause if known else ""),
        texts(known.fix if known else ""),
        texts(clean(row["suite"], 60)),
        texts(clean(row["waiver"], 200)),
        texts(known.source if known else ""),
    ]


def _number(value: float | None) -> str:
    """As text: JSON knows no infinity."""
    if value is None:
        return ""
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def _columns(
    tables: "Tables",
    sources: Mapping[tuple[str, str], Mapping[str, Any]],
    artefacts: Mapping[Key, Artefacts],
    texts: Texts,
) -> list[dict[str, Any]]:
    """Of each column where it was measured, and of each of its suites when and from what."""
    found = []
    for label, line in zip(
        map(str, tables.executions.index), records(tables.executions), strict=True
    ):
        facts = [[name, texts(_said(line[field]))] for field, name in _PLACE if line[field]]
        own = {suite: row for (at, suite), row in sources.items() if at == label}
        found.append(
            {
                "facts": facts,
                "suites": {
                    clean(suite, 60): _source(row, artefacts, texts) for suite, row in own.items()
                },
            }
        )
    return found


def _source(
    row: Mapping[str, Any], artefacts: Mapping[Key, Artefacts], texts: Texts
) -> dict[str, Any]:
    key = (row["run"], row["cell"], row["execution"], row["suite"])
    left = artefacts.get(key, Artefacts())
    sizes = (("installed", row["install_bytes"]), ("image", row["image_bytes"]))
    facts = [
        ["when", clean(row["time"], 40)],
        ["run", clean(row["run"], 60)],
        ["recipe", clean(row["recipe"], 80)],
        ["evidence", clean(row["evidence"], 80)],
        ["base", clean(row["base"], 160)],
        ["builder", clean(row["builder"], 80)],
        ["compile cache", clean(row["compile_cache"], 8)],
        *([name, f"{number(size / 1e9)} GB"] for name, size in sizes if size),
        ["bundle", clean("runs/{}/cells/{}/{}/{}".format(*key), 240)],
    ]
    return {
        "facts": [[name, texts(value)] for name, value in facts if value],
        "command": texts(command(row)),
        "lock": texts(block(left.lock, 20_000)),
        "dockerfile": texts(block(left.dockerfile, 20_000)),
    }


def command(row: Mapping[str, Any]) -> str:
    """What to type to run the suite of a row again, in the same kind of environment."""
    words = ["python", "-m", "matrix", "run", "--select", clean(row["cell"], 200)]
    words += ["--suite", clean(row["suite"], 60), "--backend", clean(row["backend"], 20)]
    if row["backend"] == "replay":
        words += ["--recording", clean(row["run"], 60)]
    elif row["backend"] == "host" or row["provision"] == "mounted":
        words += ["--python", "/path/to/python"]
    return shlex.join([*words, "--rerun", "all"])


def _said(value: object) -> str:
    return clean(f"{value:g}" if isinstance(value, float) else str(value), 200)
