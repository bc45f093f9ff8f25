"""Rows → columns: one column per execution, and of each test the rows of its last run."""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from matrix.facts import order
from matrix.rows import ROW_FIELDS, Row
from matrix.tables.verdicts import ACCEPTED

_EXECUTION = ["cell", "execution", "on", "device_model", "provision"]
_DEVICES = ("cpu", "cuda", "rocm")
_KEPT = (
    "cell execution device device_model provision torch variant accelerator python companions"
    " backend runner driver power_limit first last run"
)


class Frame:
    """The long table, a line per row and a column per field of `Row`; and what tables need of it.

    What several tables need is worked out once.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows

    @cached_property
    def results(self) -> pd.DataFrame:
        """Rows of tests, oldest first, with the device `on` of their execution.

        A single test may name another `device`: a CPU test in a CUDA cell is still in that column.
        """
        rows = self.rows[self.rows["test"] != ""].sort_values("time", kind="stable")
        rows = with_waivers(rows)
        pairs = zip(rows["execution"], rows["device"], strict=True)
        on = [
            e.rpartition("-")[2] if e.endswith(_DEVICES) else d.partition(":")[0] for e, d in pairs
        ]
        return rows.assign(on=pd.Series(on, rows.index, dtype=object))

    @cached_property
    def executions(self) -> pd.DataFrame:
        """What each column of the tables is: index label, in the order of the columns.

        Columns are those of the newest row, and `first`, `last` (ISO times) and `driver` (all
        seen), of what the tables show: older results of a test do not count.
        """
        rows = self.results.drop_duplicates([*_EXECUTION, "suite", "test"], keep="last")
        last = dict(_by_execution(rows.drop_duplicates(_EXECUTION, keep="last")))
        drivers: dict[tuple[str, ...], list[str]] = {}
        for place, line in _by_execution(rows.drop_duplicates([*_EXECUTION, "driver"])):
            drivers.setdefault(place, []).extend(filter(None, [line["driver"]]))
        lines = [
            last[place]
            | {"first": line["time"], "last": last[place]["time"]}
            | {"device": line["on"], "driver": ", ".join(drivers[place])}
            for place, line in _by_execution(rows.drop_duplicates(_EXECUTION))
        ]
        lines.sort(key=_column_order)
        labels = pd.Index(labels_of(lines), dtype=object, name="label")
        return pd.DataFrame(lines, columns=_KEPT.split(), index=labels, dtype=object)

    @cached_property
    def newest(self) -> pd.DataFrame:
        """Rows of tests with their column's `label`; of each test and column its last run's."""
        rows = self.results
        columns = self.executions.rename(columns={"device": "on"})
        places = zip(*(columns[name] for name in _EXECUTION), strict=True)
        labels = dict(zip(places, columns.index, strict=True))
        keys = zip(*(rows[name] for name in _EXECUTION), strict=True)
        rows = rows.assign(label=pd.Series([labels[key] for key in keys], rows.index, dtype=object))
        test = ["label", "suite", "test"]
        tests = list(zip(*(rows[name] for name in test), strict=True))
        last = dict(zip(tests, rows["run"], strict=True))
        of_last = [last[key] for key in tests]
        rows = rows[rows["run"] == pd.Series(of_last, rows.index, dtype=object)]
        # A retry within a run has new numbers for the same metric, but its outcome no params key.
        params = rows["params"].where(rows["metric"] != "", "")
        once = [*test, "metric", "_params", "round", "phase", "side"]
        rows = rows.assign(_params=params).drop_duplicates(once, keep="last")
        return rows.drop(columns="_params")

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """Rows of `newest` that say what came out of a test."""
        return self.newest[(self.newest["metric"] == "") & (self.newest["verdict"] != "")]


def frame(rows: Iterable[Row] | Mapping[str, Sequence[object]]) -> Frame:
    """Make the long table of rows, or of their columns as `Store.columns` gives them."""
    if not isinstance(rows, Mapping):
        fields = operator.attrgetter(*ROW_FIELDS)
        return Frame(pd.DataFrame(map(fields, rows), columns=list(ROW_FIELDS), dtype=object))
    return Frame(pd.DataFrame(dict(rows), dtype=object))


def _by_execution(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    return ((tuple(line[name] for name in _EXECUTION), line) for line in records(rows))


def with_waivers(df: pd.DataFrame) -> pd.DataFrame:
    """Rows in which the verdict of what the user accepts says so: `wrong waived`."""
    accepted = df["verdict"] + ACCEPTED
    return df.assign(verdict=df["verdict"].where(df["waiver"] == "", accepted))


def spread_out(
    rows: pd.DataFrame, index: list[str], value: Callable[[list[str]], object]
) -> pd.DataFrame:
    """What verdicts come to, per `index` (its natural order) and label (columns)."""
    verdicts: dict[tuple[str, ...], list[str]] = {}
    for *key, verdict in zip(*(rows[name] for name in (*index, "label", "verdict")), strict=True):
        verdicts.setdefault(tuple(map(str, key)), []).append(verdict)
    parts = {key: value(found) for key, found in verdicts.items()}
    keys = sorted({key[:-1] for key in parts}, key=lambda key: [natural(part) for part in key])
    labels = list(dict.fromkeys(key[-1] for key in parts))
    data = [[parts.get((*key, label)) for label in labels] for key in keys]
    where = pd.MultiIndex.from_tuples(keys, names=index)
    return pd.DataFrame(data, index=where, columns=pd.Index(labels, dtype=object), dtype=object)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Lines of a table as dicts, whose keys are strings."""
    names = [str(name) for name in table.columns]
    lines = table.astype(object).itertuples(index=False, name=None)
    return [dict(zip(names, line, strict=True)) for line in lines]


def file_of(test: str) -> str:
    """Path of the file in which a test is."""
    return test.partition("::")[0]


def labels_of(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Cell id, and of device, model, backend and provision only what tells columns apart."""
    tags: list[list[str]] = [
        [r["device"]] if r["device"] and r["accelerator"] not in {"", r["device"]} else []
        for r in lines
    ]
    parts: list[Callable[[dict[str, Any]], str]] = [
        lambda r: str(r["device"]),
        lambda r: short_model(r["device_model"]),
        lambda r: str(r["backend"]),
        lambda r: str(r["provision"]),
        lambda r: re.sub(r"\W+", "-", f"{r['execution']}-{r['device_model']}"),
    ]
    for part in parts:
        names = [(r["cell"], *tag) for r, tag in zip(lines, tags, strict=True)]
        for place, line in enumerate(lines):
            twins = [r for r, name in zip(lines, names, strict=True) if name == names[place]]
            if len({part(twin) for twin in twins}) > 1:
                tags[place].append(part(line) or "unknown")
    return [
        f"{r['cell']} @{'/'.join(tag)}" if tag else str(r["cell"])
        for r, tag in zip(lines, tags, strict=True)
    ]


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key in which numbers count as integers: `rocm7.14` after `rocm7.2`."""
    parts = re.findall(r"(\d{1,18})|(\D+|\d+)", text)
    return [(0, int(number), "") if number else (1, 0, other) for number, other in parts]


def short_model(model: str) -> str:
    """Shorten a device model for a label: `NVIDIA H200` → `H200`."""
    text = re.sub(
        r"\((R|TM)\)|@.*|\b(NVIDIA|AMD|Intel|Instinct|CPU|Processor|\d+-Core)\b", " ", model
    )
    return "-".join(re.findall(r"[\w.+]+", text)) or "unknown"


def _column_order(line: dict[str, Any]) -> Any:  # noqa: ANN401  a sort key
    cell = [natural(line[name]) for name in ("variant", "python", "companions", "cell")]
    # The device that the build is made for comes before any other.
    foreign = line["on"] != line["accelerator"]
    return (order(line["torch"]), cell, foreign, [natural(line[name]) for name in _EXECUTION])
