"""Rows → pandas tables. Always the newest row of a test; what has no row is `not measured`."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

import pandas as pd

from matrix.records import ROW_FIELDS, Row

LOUDNESS = ("wrong", "crash", "fail", "timeout", "oom", "unsupported", "skip", "not-run", "pass")
"""Verdicts of a test, loudest first: a feature has the loudest of its tests."""
NOT_MEASURED = "not measured"
NOT_COMPARABLE = "n/c"
WITHIN_SPREAD = "within the spread"

_OWN_SUITES = ("feature", "throughput")
_EXECUTION = ["cell", "execution", "on", "device_model", "provision"]
_DEVICES = ("cpu", "cuda", "rocm")
_RATES = {"flop": "FLOP/s", "bytes": "B/s", "tokens": "tok/s"}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_TRIED = frozenset({"uninstallable", "build-failed", "crash", "fail", "timeout", "oom"})
_WORKLOAD_INDEX = ["workload", "params", "metric", "unit"]
_WORKLOAD_FIELDS = ["status", "median", "spread", "rate", "rate_unit", "ratio", "why"]


class Excluded(Protocol):
    """A combination that is no cell, with the rule, the source and the date that exclude it."""

    @property
    def id(self) -> str:
        """Id that the cell would have."""

    @property
    def rule(self) -> str:
        """Name of the rule."""

    @property
    def reason(self) -> str:
        """Why, in a sentence."""

    @property
    def source(self) -> str:
        """Where the fact is from."""

    @property
    def date(self) -> str:
        """Day of the fact."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """`verdicts` counts features of executions; `cells` counts what has no results."""

    sentence: str
    verdicts: dict[str, int]
    cells: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the reports render; each field is made by the function of that name."""

    summary: Summary
    executions: pd.DataFrame
    features: pd.DataFrame
    problems: pd.DataFrame
    workloads: pd.DataFrame
    suites: pd.DataFrame
    cells: pd.DataFrame
    long: pd.DataFrame
    baseline: str | None


def build(
    rows: Iterable[Row], *, excluded: Sequence[Excluded] = (), baseline: str | None = None
) -> Tables:
    """Make all tables from rows and from what is no cell."""
    long = frame(rows)
    # A store of many runs is read once; the tables need only the last run of each test.
    current = long[(long["test"] == "") | long.index.isin(_newest(long).index)]
    return Tables(
        summary=summary(current, excluded),
        executions=executions(current),
        features=feature_table(current),
        problems=problems(current),
        workloads=workload_table(current, baseline),
        suites=suite_table(current),
        cells=cell_table(current, excluded),
        long=long,
        baseline=baseline,
    )


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Make the long table: one line per row, one column per field of `Row`."""
    data = [[getattr(row, name) for name in ROW_FIELDS] for row in rows]
    return pd.DataFrame(data, columns=list(ROW_FIELDS), dtype=object)


def executions(df: pd.DataFrame) -> pd.DataFrame:
    """Say what each column of the tables is: index label, in the order of the columns.

    Columns are those of the newest row, and `first`, `last` (ISO times) and `driver` (all seen),
    of what the tables show: older results of a test do not count.
    """
    results = _results(df).drop_duplicates([*_EXECUTION, "suite", "test"], keep="last")
    records: list[dict[str, Any]] = []
    for _, group in results.groupby(_EXECUTION, sort=False):
        drivers = dict.fromkeys(d for d in group["driver"] if d)
        record = {str(name): value for name, value in group.iloc[-1].items()}
        record |= {
            "device": record["on"],
            "first": group["time"].iloc[0],
            "last": group["time"].iloc[-1],
        }
        records.append(record | {"driver": ", ".join(drivers)})
    records.sort(key=_column_order)
    kept = [
        "cell",
        "execution",
        "device",
        "device_model",
        "provision",
        "torch",
        "variant",
        "accelerator",
    ]
    kept += [
        "python",
        "companions",
        "backend",
        "runner",
        "driver",
        "power_limit",
        "first",
        "last",
        "run",
    ]
    labels = pd.Index(_labels(records), dtype=object, name="label")
    return pd.DataFrame(records, columns=kept, index=labels, dtype=object)


def feature_table(df: pd.DataFrame) -> pd.DataFrame:
    """Verdict of each feature (index group, feature, title) in each execution (columns)."""
    rows = _feature_rows(df)
    wide = _spread(rows, ["group", "feature"], lambda part: loudest(part["verdict"]))
    titles = rows.drop_duplicates("feature", keep="last").set_index("feature")["title"].to_dict()
    index = [(group, feature, titles[feature] or feature) for group, feature in wide.index]
    wide.index = pd.MultiIndex.from_tuples(index, names=["group", "feature", "title"])
    order = [label for label in executions(df).index if label in wide.columns]
    return wide.reindex(columns=order).fillna(NOT_MEASURED)


def suite_table(df: pd.DataFrame) -> pd.DataFrame:
    """Count `{verdict: tests}` of each test file of the user's suites, in each execution.

    Index suite, file; an empty mapping where nothing of the file ran.
    """
    rows = _outcomes(df)
    rows = rows[~rows["suite"].isin(_OWN_SUITES)]
    rows = rows.assign(file=rows["test"].map(_file))
    wide = _spread(rows, ["suite", "file"], lambda part: _count(part["verdict"]))
    order = [label for label in executions(df).index if label in wide.columns]
    return wide.reindex(columns=order).map(lambda value: value if isinstance(value, dict) else {})


def problems(df: pd.DataFrame) -> pd.DataFrame:
    """Everything that did not pass, one line per subject and root cause, loudest first.

    Columns: verdict, suite, subject (feature, workload or file), title, reason, tests (most in one
    column), of (tests of the subject), example (a test id), labels (tuple of columns).
    """
    rows = _outcomes(df)
    names = ["verdict", "suite", "subject", "title", "reason", "tests", "of", "example", "labels"]
    subject = rows["feature"].where(rows["feature"] != "", rows["workload"])
    rows = rows.assign(subject=subject.where(subject != "", rows["test"].map(_file)))
    cause = rows["signature"].where(rows["signature"] != "", rows["reason"])
    rows = rows.assign(cause=cause.map(str))
    sizes = rows.groupby(["suite", "subject", "label"]).size().to_dict()
    order = {label: place for place, label in enumerate(executions(df).index)}
    lines: list[dict[str, Any]] = []
    wrong = rows[rows["verdict"] != "pass"]
    for (verdict, suite, name, _), part in wrong.groupby(["verdict", "suite", "subject", "cause"]):
        seen = sorted(set(part["label"]), key=order.__getitem__)
        last = part.iloc[-1]
        lines.append(
            {"verdict": verdict, "suite": suite, "subject": name, "title": last["title"]}
            | {"reason": last["reason"], "tests": int(part["label"].value_counts().max())}
            | {"of": max(sizes[suite, name, label] for label in seen)}
            | {"example": part["test"].min(), "labels": tuple(seen)}
        )
    lines.sort(key=lambda line: (_rank(line["verdict"]), line["suite"], line["subject"]))
    return pd.DataFrame(lines, columns=names, dtype=object)


def workload_table(df: pd.DataFrame, baseline: str | None) -> pd.DataFrame:
    """Median, spread, rate and ratio of each metric.

    Index workload, params, metric, unit; columns (label, field). Units: median and spread
    (interquartile range) in `unit`, rate in `rate_unit`. `status` is `value`, `unstable`,
    `not measured` or the verdict that kept the value away. `ratio` is a number (more than
    1 is better, whether `better` is higher or lower) or `n/c` with the reason in `why`. `baseline`
    is a column or a cell id; of a cell, the execution on the same device is taken. Without results
    of the baseline everything is `n/c`.
    """
    columns = executions(df)
    bases = {} if baseline is None else _baselines(columns, baseline)
    measured = _measurements(df)
    cells = dict(measured)
    for (key, label), cell in measured.items():
        if bases and cell["status"] == "value":
            base, why = bases[label]
            other = measured.get((key, base), {"status": NOT_MEASURED, "median": None})
            cells[key, label] = cell | (
                {"ratio": NOT_COMPARABLE, "why": why} if why else _ratio(cell, other)
            )
    used = {label for _, label in cells}
    keys = sorted({key for key, _ in cells}, key=lambda key: [natural(part) for part in key])
    blank = dict.fromkeys(_WORKLOAD_FIELDS) | {"status": NOT_MEASURED}
    header = [
        (label, field) for label in columns.index if label in used for field in _WORKLOAD_FIELDS
    ]
    data = [[cells.get((key, label), blank)[field] for label, field in header] for key in keys]
    index = pd.MultiIndex.from_tuples(keys, names=_WORKLOAD_INDEX)
    return pd.DataFrame(data, index=index, columns=_pairs(header), dtype=object)


def cell_table(df: pd.DataFrame, excluded: Sequence[Excluded] = ()) -> pd.DataFrame:
    """One line per cell (and execution) that has no results, with verdict, reason and source.

    Columns: cell, execution, suite (`a+b` where both have the same reason), verdict, reason, kind
    (gated, measured or unknown), source, date. An execution whose older results exist is here
    while the newest try gave none.
    """
    names = ["cell", "execution", "suite", "verdict", "reason", "kind", "source", "date"]
    lines = [
        dict(zip(names, (e.id, "", "", "excluded", e.reason, "gated", source, e.date), strict=True))
        for e in excluded
        for source in [f"{e.rule}: {e.source}"]
    ]
    tried = df[(df["test"] == "") & (df["metric"] == "")].sort_values("time", kind="stable")
    tried = tried.drop_duplicates(["cell", "execution", "suite"], keep="last")
    ran = df[df["test"] != ""]
    same: dict[tuple[str, ...], dict[str, str]] = {}
    for row in _records(tried):
        later = ran[(ran["cell"] == row["cell"]) & (ran["time"] >= row["time"])]
        for field in ("execution", "suite"):
            later = later[later[field] == row[field]] if row[field] else later
        if later.empty:
            runner = f" on {row['runner']}" if row["runner"] else ""
            made = {"kind": kind_of(row["verdict"]), "source": f"run {row['run']}{runner}"}
            line = {name: row[name] for name in names[:5]} | made | {"date": row["time"]}
            key = tuple(line[name] for name in names if name not in {"suite", "date"})
            if key in same:
                same[key]["suite"] += f"+{line['suite']}"
            else:
                same[key] = line
    lines += same.values()
    lines.sort(key=lambda line: [natural(line[name]) for name in names])
    return pd.DataFrame(lines, columns=names, dtype=object)


def summary(df: pd.DataFrame, excluded: Sequence[Excluded] = ()) -> Summary:
    """Count the verdicts of features in executions, and what was not tested, in a sentence."""
    features = feature_table(df)
    verdicts = _count(features.to_numpy().ravel())
    cells = _count(cell_table(df, excluded)["verdict"])
    gone = ", ".join(f"{n} {_loud(verdict)}" for verdict, n in cells.items())
    parts = []
    if verdicts:
        parts.append(
            f"{', '.join(f'{n} {_loud(verdict)}' for verdict, n in verdicts.items())}"
            f" ({_plural(len(features), 'feature')} in {_plural(features.shape[1], 'execution')})"
        )
    metrics = int((_newest(df)["metric"] != "").sum()) if len(df) else 0
    parts += [_plural(metrics, "measurement")] if metrics else []
    parts = parts or ["No results"]
    parts += [f"without results: {gone}"] if gone else []
    return Summary(sentence="; ".join(parts) + ".", verdicts=verdicts, cells=cells)


def kind_of(verdict: str) -> str:
    """Kind of statement that the verdict of a cell is: measured, gated or unknown."""
    gated = verdict in {"excluded", "no-runner"}
    return "gated" if gated else "measured" if verdict in _TRIED else "unknown"


def loudest(verdicts: Iterable[str]) -> str:
    """Return the worst verdict; one that this version does not know counts as `fail`."""
    return min(verdicts, key=lambda verdict: (_rank(verdict), verdict), default=NOT_MEASURED)


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


def _labels(records: Sequence[dict[str, Any]]) -> list[str]:
    """Cell id, and of device, model, backend and provision only what tells columns apart."""
    tags: list[list[str]] = [
        [r["device"]] if r["device"] and r["accelerator"] not in {"", r["device"]} else []
        for r in records
    ]
    parts: list[Callable[[dict[str, Any]], str]] = [
        lambda r: str(r["device"]),
        lambda r: short_model(r["device_model"]),
        lambda r: str(r["backend"]),
        lambda r: str(r["provision"]),
        lambda r: re.sub(r"\W+", "-", f"{r['execution']}-{r['device_model']}"),
    ]
    for part in parts:
        names = [(r["cell"], *tag) for r, tag in zip(records, tags, strict=True)]
        for place, record in enumerate(records):
            twins = [r for r, name in zip(records, names, strict=True) if name == names[place]]
            if len({part(twin) for twin in twins}) > 1:
                tags[place].append(part(record) or "unknown")
    return [
        f"{r['cell']} @{'/'.join(tag)}" if tag else str(r["cell"])
        for r, tag in zip(records, tags, strict=True)
    ]


def _column_order(record: dict[str, Any]) -> Any:  # noqa: ANN401  a sort key
    release = re.match(r"[\d.]*", record["torch"])
    numbers = [int(n) for n in re.findall(r"\d+", release[0])] if release else []
    rest = record["torch"][release.end() :] if release else ""
    # A release sorts after its own candidates and nightlies.
    torch = (numbers, rest == "" or rest.startswith("+"), natural(rest))
    cell = [natural(record[name]) for name in ("variant", "python", "companions", "cell")]
    # The device that the build is made for comes before any other.
    foreign = record["on"] != record["accelerator"]
    return (torch, cell, foreign, [natural(record[name]) for name in _EXECUTION])


def _results(df: pd.DataFrame) -> pd.DataFrame:
    """Rows of tests, oldest first, with the device `on` of their execution.

    A single test may name another `device`: a CPU test in a CUDA cell is still in that column.
    """
    rows = df[df["test"] != ""].sort_values("time", kind="stable")
    pairs = zip(rows["execution"], rows["device"], strict=True)
    on = [e.rpartition("-")[2] if e.endswith(_DEVICES) else d.partition(":")[0] for e, d in pairs]
    return rows.assign(on=pd.Series(on, rows.index, dtype=object))


def _newest(df: pd.DataFrame) -> pd.DataFrame:
    """Rows of tests with their column's `label`; of each test and column those of its last run."""
    rows = _results(df)
    columns = executions(df).rename(columns={"device": "on"})
    places = zip(*(columns[name] for name in _EXECUTION), strict=True)
    labels = dict(zip(places, columns.index, strict=True))
    keys = zip(*(rows[name] for name in _EXECUTION), strict=True)
    rows = rows.assign(label=pd.Series([labels[key] for key in keys], rows.index, dtype=object))
    test = ["label", "suite", "test"]
    last = rows.drop_duplicates(test, keep="last").set_index(test)["run"].to_dict()
    of_last = [last[key] for key in zip(*(rows[name] for name in test), strict=True)]
    rows = rows[rows["run"] == pd.Series(of_last, rows.index, dtype=object)]
    # A retry within a run has new numbers for the same metric, but its outcome has no params key.
    params = rows["params"].where(rows["metric"] != "", "")
    rows = rows.assign(_params=params).drop_duplicates([*test, "metric", "_params"], keep="last")
    return rows.drop(columns="_params")


def _outcomes(df: pd.DataFrame) -> pd.DataFrame:
    rows = _newest(df)
    return rows[(rows["metric"] == "") & (rows["verdict"] != "")]


def _feature_rows(df: pd.DataFrame) -> pd.DataFrame:
    """Outcomes of features; what broke before any feature (a collection error) is its own row."""
    rows = _outcomes(df)
    rows = rows[(rows["feature"] != "") | (rows["suite"] == "feature")]
    rows = rows.assign(feature=rows["feature"].where(rows["feature"] != "", rows["test"]))
    files = rows["test"].map(_group)
    return rows.assign(group=files.groupby(rows["feature"]).transform("min"))


def _measurements(df: pd.DataFrame) -> dict[tuple[tuple[str, ...], str], dict[str, Any]]:
    """Cells of the workload table without ratios, by row key and label."""
    newest = _newest(df)
    metrics = _records(newest[newest["metric"] != ""])
    outcomes = newest[(newest["metric"] == "") & (newest["verdict"] != "")]
    tests = zip(outcomes["label"], outcomes["suite"], outcomes["test"], strict=True)
    sources = dict(zip(tests, outcomes["source"], strict=True))
    cells: dict[tuple[tuple[str, ...], str], dict[str, Any]] = {}
    keys_of: dict[str, dict[tuple[str, ...], None]] = {}
    for row in metrics:
        params, work = _params(row["params"])
        key = (row["workload"] or row["test"], params, row["metric"], row["unit"])
        source = row["source"] or sources.get((row["label"], row["suite"], row["test"]), "")
        cells[key, row["label"]] = _value(row | {"source": source}, work)
        keys_of.setdefault(row["test"], {})[key] = None
    measured = {(row["test"], row["label"]) for row in metrics}
    outcomes = outcomes[(outcomes["workload"] != "") | (outcomes["suite"] == "throughput")]
    for row in _records(outcomes):
        if (row["test"], row["label"]) not in measured:
            status = "no metric" if row["verdict"] == "pass" else row["verdict"]
            own = (row["workload"] or row["test"], _params(row["params"])[0], "", "")
            for key in keys_of.get(row["test"], {own: None}):
                blank = dict.fromkeys(_WORKLOAD_FIELDS)
                cells[key, row["label"]] = blank | {"status": status, "why": row["reason"]}
    return cells


def _value(row: dict[str, Any], work: dict[str, float]) -> dict[str, Any]:
    median = row["median"]
    good = isinstance(median, int | float) and median == median and not row["reason"]  # noqa: PLR0124
    cell: dict[str, Any] = dict.fromkeys(_WORKLOAD_FIELDS) | {"status": "value", "median": median}
    cell |= {"spread": row["spread"], "better": row["better"], "source": row["source"]}
    cell["device"] = row["device"].partition(":")[0]
    if not good:
        return cell | {"status": row["verdict"] or "unstable", "why": row["reason"] or "no value"}
    for name, amount in work.items():
        if median > 0 and row["unit"] in _SECONDS:
            rate = amount / (median * _SECONDS[row["unit"]])
            return cell | {"rate": rate, "rate_unit": _RATES[name]}
    return cell


def _ratio(cell: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """`ratio`, or `n/c` and why not."""
    value, other = cell["median"], base["median"]
    why = ""
    if base["status"] != "value":
        why = f"the baseline is {base['status']}"
    elif cell["device"] != base["device"]:
        why = f"the baseline was measured on {base['device']}, this on {cell['device']}"
    elif cell["source"] != base["source"]:
        why = "the test changed since the baseline was measured"
    elif cell["better"] != base["better"] or cell["better"] not in {"higher", "lower"}:
        why = "which direction is better is not known"
    elif value <= 0 or other <= 0:
        why = "a value is not positive"
    if why:
        return {"ratio": NOT_COMPARABLE, "why": why}
    noise = ((cell["spread"] or 0) + (base["spread"] or 0)) / 2
    close = cell is not base and abs(value - other) < noise
    ratio = value / other if cell["better"] == "higher" else other / value
    return {"ratio": ratio, "why": WITHIN_SPREAD if close else None}


def _baselines(columns: pd.DataFrame, baseline: str) -> dict[str, tuple[str, str]]:
    """Of each column its baseline column, or `""` and the reason why there is none."""
    records = columns.to_dict("index")
    candidates = [label for label, r in records.items() if baseline in {label, r["cell"]}]
    if not candidates:
        names = [str(name) for name in dict.fromkeys([*columns.index, *columns["cell"]])]
        near = get_close_matches(baseline, names, n=1)
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        return {
            str(label): ("", f"no results of the baseline `{baseline}`{hint}") for label in records
        }
    return {str(label): _baseline(str(label), records, candidates) for label in records}


def _baseline(label: str, records: dict[Any, Any], candidates: list[Any]) -> tuple[str, str]:
    if label in candidates:
        return label, ""
    own = records[label]
    same = [
        c for c in candidates if all(records[c][k] == own[k] for k in ("device", "device_model"))
    ]
    if not same:
        ran = " and ".join(sorted({_device(records[c]) for c in candidates}))
        return "", f"the baseline ran on {ran}, this on {_device(own)}"
    if not own["device_model"]:
        return "", "the device model is not known"
    base = min(same, key=lambda c: records[c]["backend"] != own["backend"])
    limits = [records[base]["power_limit"], own["power_limit"]]
    if None not in limits and limits[0] != limits[1]:
        return "", f"the baseline had a power limit of {limits[0]:g} W, this {limits[1]:g} W"
    return str(base), ""


def _device(record: dict[str, Any]) -> str:
    return " ".join(filter(None, [record["device"], record["device_model"]])) or "an unknown device"


def _spread(
    rows: pd.DataFrame, index: list[str], value: Callable[[pd.DataFrame], object]
) -> pd.DataFrame:
    """One line per `index`, one column per label, in the natural order of the index."""
    groups = rows.groupby([*index, "label"], sort=False)
    parts = {tuple(map(str, key)): value(part) for key, part in groups}
    keys = sorted({key[:-1] for key in parts}, key=lambda key: [natural(part) for part in key])
    labels = list(dict.fromkeys(key[-1] for key in parts))
    data = [[parts.get((*key, label)) for label in labels] for key in keys]
    where = pd.MultiIndex.from_tuples(keys, names=index)
    return pd.DataFrame(data, index=where, columns=pd.Index(labels, dtype=object), dtype=object)


def _pairs(header: list[tuple[str, str]]) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples(header, names=["label", "field"])


def _loud(verdict: str) -> str:
    # Rows are untrusted: only a word may stand in a sentence that is not escaped further on.
    word = verdict if re.fullmatch(r"[a-z][a-z -]{0,19}", verdict) else "unknown"
    return word.upper() if word == "wrong" else word


def _count(verdicts: Iterable[str]) -> dict[str, int]:
    found = list(verdicts)
    return {v: found.count(v) for v in sorted(set(found), key=lambda v: (_rank(v), v))}


def _rank(verdict: str) -> int:
    if verdict == NOT_MEASURED:
        return len(LOUDNESS)
    return LOUDNESS.index(verdict) if verdict in LOUDNESS else LOUDNESS.index("fail")


def _params(text: str) -> tuple[str, dict[str, float]]:
    """Parameters as `k=v`, sorted, and apart from them the work done in a call."""
    try:
        params = json.loads(text or "{}")
    except ValueError:
        return text, {}
    if not isinstance(params, dict):
        return text, {}
    work = {name: params.pop(f"work.{name}", None) for name in _RATES}
    amounts = {name: float(n) for name, n in work.items() if isinstance(n, int | float)}
    return " ".join(f"{k}={v}" for k, v in sorted(params.items())), amounts


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in line.items()} for line in table.to_dict("records")]


def _file(test: str) -> str:
    return test.partition("::")[0]


def _group(test: str) -> str:
    return re.sub(r"^test_|\.py$", "", _file(test).rpartition("/")[2])


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
