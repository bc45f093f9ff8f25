"""Tables → reports, as pure functions; here is what the reports share. Imports no pandas."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
DIRECTION = "more than 1 is better than the baseline, whatever the metric"
SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (0.0, "ns"))

# Escape sequences whole (CSI, OSC and the two-byte ones), then every other control character and
# those that reorder or hide text.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|[ -/]*[0-~]?)", re.DOTALL
)
_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How a verdict looks: it must be told apart without colour too."""

    symbol: str
    word: str
    short: str
    style: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.word}"

    @property
    def line(self) -> str:
        """Style for a whole line, where a background would be too much."""
        return self.style.replace("white on ", "")


def _mark(symbol: str, word: str, style: str, short: str = "") -> Mark:
    return Mark(symbol=symbol, word=word, short=short or word, style=style)


MARKS: dict[str, Mark] = {
    "wrong": _mark("≠", "WRONG", "bold white on red"),
    "crash": _mark("☠", "crash", "bold red"),
    "fail": _mark("✗", "fail", "red"),
    "timeout": _mark("⧖", "timeout", "red", "time"),
    "oom": _mark("▲", "oom", "red"),
    "unsupported": _mark("–", "unsupported", "yellow", "unsup"),
    "skip": _mark("○", "skip", "cyan"),
    "not-run": _mark("·", "not-run", "magenta", "unrun"),
    "pass": _mark("✓", "pass", "green"),
    "not measured": _mark("?", "not measured", "magenta", "unkn"),
    "unstable": _mark("~", "unstable", "yellow", "unst"),
    "no metric": _mark("?", "no metric", "magenta", "none"),
    "build-failed": _mark("⊗", "build-failed", "red"),
    "uninstallable": _mark("⊗", "uninstallable", "red"),
    "infra": _mark("!", "infra", "yellow"),
    "stale": _mark("≈", "stale", "magenta"),
    "no-runner": _mark("∅", "no-runner", "magenta"),
    "excluded": _mark("⊘", "excluded", "dim"),
}
"""Loudest first."""


def mark(verdict: str) -> Mark:
    """Return the mark of a verdict; an unknown word is shown as it is, never as a pass."""
    return MARKS.get(verdict) or _mark("✗", clean(verdict, 20), "red")


def clean(text: str, limit: int = 300) -> str:
    """Make untrusted text one harmless line: no control characters, cut in the middle."""
    line = " ".join(_CONTROLS.sub(" ", _ESCAPES.sub("", text)).split())
    if len(line) <= limit:
        return line
    head = (limit - 3) * 2 // 3
    return f"{line[:head]} … {line[len(line) - (limit - 3 - head) :]}"


def tally(verdicts: Mapping[str, int]) -> str:
    """Count verdicts in words: passes first, then the loudest: `17 pass, 1 WRONG`."""
    order = ["pass", *(verdict for verdict in MARKS if verdict != "pass")]
    known = [verdict for verdict in order if verdicts.get(verdict)]
    strange = sorted(verdict for verdict in verdicts if verdict not in MARKS and verdicts[verdict])
    return ", ".join(f"{verdicts[v]} {mark(v).word}" for v in known + strange)


def number(value: float) -> str:
    """Four significant digits without an exponent."""
    if not value or not abs(value) < float("inf"):
        return f"{value:g}"
    places = 3 - int(f"{abs(value):e}".partition("e")[2])
    return f"{value:,.{max(places, 0)}f}"


def scale(values: Sequence[float], unit: str) -> tuple[float, str]:
    """Choose one factor and unit for values shown together, after the smallest of them."""
    least = min((abs(value) for value in values if value), default=1.0)
    steps: Sequence[tuple[float, str]] = ()
    if unit == "s":
        steps = SECONDS
    elif unit in {"FLOP/s", "B/s"}:
        steps = [(size, prefix + unit) for size, prefix in PREFIXES]
    for size, name in steps:
        if least >= size:
            return (1 / size if size else 1e9), name
    return 1.0, unit


@dataclass(frozen=True, kw_only=True)
class Names:
    """Short names of columns: what all have in common, apart; tokens and a name for each."""

    common: str
    tokens: dict[str, tuple[str, ...]]
    short: dict[str, str]

    def several(self, labels: Sequence[str]) -> str:
        """Name some columns: `all 6 columns`, `all 3 cpu columns`, three in a row `a … c`."""
        order = list(self.tokens)
        if len(labels) == len(order) > 1:
            return f"all {len(order)} columns"
        for token in dict.fromkeys(itertools.chain.from_iterable(self.tokens.values())):
            those = [label for label in order if token in self.tokens[label]]
            if token and len(those) > 2 and set(those) == set(labels):  # noqa: PLR2004
                return f"all {len(those)} {token} columns"
        runs: list[list[int]] = []
        for place in sorted(order.index(label) for label in labels):
            if runs and runs[-1][-1] == place - 1:
                runs[-1].append(place)
            else:
                runs.append([place])
        name = [self.short[label] for label in order]
        ends = [[name[run[0]], name[run[-1]]] for run in runs]
        return ", ".join(
            " … ".join(pair) if len(run) > 2 else ", ".join(dict.fromkeys(pair))  # noqa: PLR2004
            for run, pair in zip(runs, ends, strict=True)
        )


def records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Lines of a table as dicts, whose keys are strings."""
    return [{str(key): value for key, value in line.items()} for line in table.to_dict("records")]


def names(executions: "pd.DataFrame") -> Names:
    """Factor out what all columns have in common; full labels where the rest does not differ."""
    by_label = dict(zip(map(str, executions.index), records(executions), strict=True))
    rows = {label: _tokens(label, record, by_label.values()) for label, record in by_label.items()}
    kinds = list(zip(*rows.values(), strict=True))
    varies = [len(set(kind)) > 1 for kind in kinds]
    if len(rows) == 1:
        varies = [place == 0 for place in range(len(kinds))]
    common = [
        kind[0] for kind, differs in zip(kinds, varies, strict=True) if not differs and kind[0]
    ]
    tokens = {
        label: tuple(t for t, differs in zip(row, varies, strict=True) if differs)
        for label, row in rows.items()
    }
    if len(set(tokens.values())) < len(tokens):
        return Names(common="", tokens={x: (x,) for x in rows}, short={x: x for x in rows})
    short = {label: _shortest(row, list(tokens.values())) for label, row in tokens.items()}
    return Names(common=" ".join(common), tokens=tokens, short=short)


def _shortest(row: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Join the fewest tokens of a row that no other row has, always with the first one."""
    for size in range(len(row)):
        for rest in itertools.combinations(range(1, len(row)), size):
            chosen = (0, *rest)
            same = [other for other in rows if all(other[p] == row[p] for p in chosen)]
            if len(same) == 1:
                return "-".join(filter(None, (row[p] for p in chosen)))
    return "-".join(filter(None, row))


def _tokens(
    label: str, record: dict[str, Any], others: Iterable[dict[str, Any]]
) -> tuple[str, ...]:
    """Torch, variant, Python, companions, device (the model where models differ), other tags."""
    device = record["device"] or "?"
    tags = label.partition(" @")[2].split("/")
    models = {other["device_model"] for other in others if other["device"] == record["device"]}
    rest = [tag for tag in tags if tag and tag != device]
    if len(models) > 1 and not rest:
        rest = [re.sub(r"\W+", "-", record["device_model"]) or "?"]
    companions = record["companions"].replace("==", "")
    parts = (record["torch"], record["variant"], f"py{record['python']}", companions)
    return (*(clean(part, 24) for part in parts), "/".join(rest) or device)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where columns were measured: `text` says it but for the time, which is `when`."""

    text: str
    when: str
    labels: list[str]


def provenances(executions: "pd.DataFrame") -> list[Provenance]:
    """Group the columns that were measured in the same place in the same way."""
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for label, record in zip(executions.index, records(executions), strict=True):
        driver = f"driver {record['driver']}" if record["driver"] else ""
        limit = f"{record['power_limit']:g} W" if record["power_limit"] else ""
        place = " ".join(
            filter(None, [record["device"], record["device_model"] or "of unknown model"])
        )
        how = record["backend"] or "backend unknown"
        how += f", {record['provision'] or 'provision unknown'}"
        runner = f"runner {record['runner']}" if record["runner"] else ""
        text = "; ".join(clean(part, 80) for part in (place, driver, limit, how, runner) if part)
        groups.setdefault(text, []).append((str(label), record))
    found = []
    for text, members in groups.items():
        first, last = min(r["first"] for _, r in members), max(r["last"] for _, r in members)
        when = first[:10] if first[:10] == last[:10] else f"{first[:10]} to {last[:10]}"
        found.append(
            Provenance(text=text, when=clean(when), labels=[label for label, _ in members])
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something is not a pass: subjects with the same verdict, reason and columns."""

    verdict: str
    subjects: list[str]
    reason: str
    count: str
    labels: list[str]


def causes(problems: "pd.DataFrame", suites: Iterable[str], *, others: bool = False) -> list[Cause]:
    """Group the problems of some suites (or of all `others`), so that a root cause is one line."""
    chosen = set(suites)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in records(problems):
        if (line["suite"] in chosen) != others:
            groups.setdefault((line["verdict"], line["reason"], line["labels"]), []).append(line)
    found = []
    for (verdict, reason, labels), lines in groups.items():
        part = [f"{x['tests']} of {x['of']} tests" for x in lines if x["tests"] < x["of"]]
        found.append(
            Cause(
                verdict=verdict,
                subjects=[clean(line["subject"], 80) for line in lines],
                reason=reason,
                count=part[0] if len(lines) == len(part) == 1 else "",
                labels=list(labels),
            )
        )
    return found


def ratio_mark(cell: Mapping[str, Any]) -> str:
    """Show a ratio; `~` where the difference is within the spread; `n/c`, or nothing."""
    ratio = cell["ratio"]
    if not isinstance(ratio, float):
        return ratio or ""
    return f"{'~' if cell['why'] == 'within the spread' else ''}{ratio:.2f}×"


def percent(cell: Mapping[str, Any]) -> str:
    """Half the interquartile range in percent of the median, or nothing where it is not known."""
    if cell["status"] != "value" or cell["spread"] is None or not cell["median"]:
        return ""
    return f"{abs(cell['spread'] / cell['median']) * 50:.1f}"


def workloads(table: "pd.DataFrame") -> list[tuple[tuple[str, ...], dict[str, dict[str, Any]]]]:
    """Lines of the workload table as (workload, params, metric, unit) and cells by label."""
    lines = []
    header: list[tuple[str, str]] = [(str(pair[0]), str(pair[1])) for pair in table.columns]
    for key, line in zip(table.index, table.to_numpy(), strict=True):
        cells: dict[str, dict[str, Any]] = {}
        for (label, field), value in zip(header, line, strict=True):
            # pandas may keep a missing value as NaN, the only value that differs from itself.
            missing = value != value  # noqa: PLR0124
            cells.setdefault(label, {})[field] = None if missing else value
        lines.append((tuple(str(part) for part in key), cells))
    return lines


def unmeasured(features: "pd.DataFrame") -> list[Cause]:
    """Features without a result, grouped by the columns in which they have none."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for (_, name, _), cells in zip(features.index, features.to_numpy(), strict=True):
        pairs = zip(features.columns, cells, strict=True)
        labels = tuple(str(label) for label, verdict in pairs if verdict == "not measured")
        if labels:
            groups.setdefault(labels, []).append(clean(name, 80))
    return [
        Cause(verdict="not measured", subjects=some, reason="", count="", labels=list(labels))
        for labels, some in groups.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Cells without results for the same reason."""

    verdict: str
    reason: str
    source: str
    cells: list[str]


def gaps(cells: "pd.DataFrame") -> list[Gap]:
    """Group the cell table by verdict, reason and source, loudest first."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for line in records(cells):
        source = clean(f"{line['kind']}: {line['source']}, {str(line['date'])[:10]}")
        where = " ".join(filter(None, [line["cell"], line["execution"], line["suite"]]))
        key = (line["verdict"], clean(line["reason"] or "no reason given"), source)
        groups.setdefault(key, []).append(clean(where, 140))
    order = list(MARKS)
    found = [Gap(verdict=v, reason=r, source=s, cells=some) for (v, r, s), some in groups.items()]
    return sorted(found, key=lambda gap: order.index(gap.verdict) if gap.verdict in order else 0)


def why_lines(
    lines: Sequence[tuple[tuple[str, ...], dict[str, dict[str, Any]]]], short: Names
) -> list[tuple[str, str, str]]:
    """Why values are not comparable or unstable: (mark, where, reason), one per reason."""
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for key, cells in lines:
        for label, cell in cells.items():
            unstable = cell["status"] == "unstable"
            kind = "~ unstable" if unstable else "n/c" if cell["ratio"] == "n/c" else ""
            if kind and cell["why"]:
                found = groups.setdefault((kind, clean(cell["why"])), {})
                found.setdefault(clean(" ".join(filter(None, key[:2])), 60), []).append(label)
    sentences = []
    for (kind, why), rows in groups.items():
        seen = {label for some in rows.values() for label in some}
        where = short.several([label for label in short.tokens if label in seen])
        what = ", ".join(rows) if len(rows) <= 3 else f"{len(rows)} workloads"  # noqa: PLR2004
        sentences.append((kind, f"{what} in {where}", why))
    return sentences
