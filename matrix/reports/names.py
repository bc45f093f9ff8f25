"""What columns are called: short names, and where each was measured."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from matrix.reports.lines import records
from matrix.reports.marks import mark
from matrix.reports.text import clean
from matrix.rows import Verdict
from matrix.tables.columns import short_model

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Names:
    """Short names of columns: what all have in common, apart; tokens and a name for each."""

    common: str
    tokens: dict[str, tuple[str, ...]]
    short: dict[str, str]

    @cached_property
    def _having(self) -> dict[str, set[str]]:
        """The columns that have each token."""
        found: dict[str, set[str]] = {}
        for label, tokens in self.tokens.items():
            for token in tokens:
                found.setdefault(token, set()).add(label)
        return found

    def several(self, labels: Sequence[str]) -> str:
        """Name some columns: `all 6 columns`, `all 3 cpu columns`, three in a row `a … c`."""
        count, wanted = len(self.tokens), set(labels)
        if len(labels) == count > 1:
            return "both columns" if count == 2 else f"all {count} columns"  # noqa: PLR2004
        for token, those in self._having.items():
            if token and len(those) > 2 and those == wanted:  # noqa: PLR2004
                return f"all {len(those)} {token} columns"
        order = {label: place for place, label in enumerate(self.tokens)}
        runs: list[list[int]] = []
        for place in sorted(order[label] for label in labels):
            if runs and runs[-1][-1] == place - 1:
                runs[-1].append(place)
            else:
                runs.append([place])
        name = list(map(self.short.__getitem__, order))
        ends = [[name[run[0]], name[run[-1]]] for run in runs]
        return ", ".join(
            " … ".join(pair) if len(run) > 2 else ", ".join(dict.fromkeys(pair))  # noqa: PLR2004
            for run, pair in zip(runs, ends, strict=True)
        )


def names(executions: "pd.DataFrame") -> Names:
    """Factor out what all columns have in common; full labels where the rest does not differ."""
    by_label = dict(zip(map(str, executions.index), records(executions), strict=True))
    rows = {label: _tokens(label, record, by_label.values()) for label, record in by_label.items()}
    if _variant_says_device(rows, by_label):
        rows = {label: (*row[:-1], "") for label, row in rows.items()}
    kinds = list(zip(*rows.values(), strict=True))
    varies = [len(set(kind)) > 1 for kind in kinds]
    if len(rows) == 1:
        varies = [place == 0 for place in range(len(kinds))]
    common = [kind[0] for kind, differs in zip(kinds, varies, strict=True) if not differs]
    if common and not varies[-1] and common[-1]:
        common[-1] = f"on {common[-1]}"  # of a CPU build too: `cpu py3.11 on cpu`
    tokens = {
        label: tuple(t for t, differs in zip(row, varies, strict=True) if differs)
        for label, row in rows.items()
    }
    if len(set(tokens.values())) < len(tokens):
        return Names(common="", tokens={x: (x,) for x in rows}, short={x: x for x in rows})
    return Names(common=" ".join(filter(None, common)), tokens=tokens, short=_shortest(tokens))


def _variant_says_device(
    rows: Mapping[str, tuple[str, ...]], by_label: Mapping[str, dict[str, Any]]
) -> bool:
    """Whether each build ran on what it is made for, so that `cu130` need not be `cu130 cuda`."""
    native = all(row[-1] == by_label[label]["accelerator"] for label, row in rows.items())
    devices = {row[-1] for row in rows.values()}
    return native and len(devices) > 1 and len({row[:-1] for row in rows.values()}) == len(rows)


def _shortest(rows: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Join the fewest tokens of each row that no other row has, always with the first one."""
    size = len(next(iter(rows.values()), ()))
    ways = [
        (0, *rest)
        for count in range(size)
        for rest in itertools.combinations(range(1, size), count)
    ]
    found: dict[str, str] = {}
    for chosen in ways:
        kept = {label: tuple(row[place] for place in chosen) for label, row in rows.items()}
        shared = Counter(kept.values())
        for label, tokens in kept.items():
            if shared[tokens] == 1:
                found.setdefault(label, "-".join(filter(None, tokens)))
    # one that differs by what others have, such as companions, has no token of its own
    return {label: found[label] or label for label in rows}


def _tokens(
    label: str, record: dict[str, Any], others: Iterable[dict[str, Any]]
) -> tuple[str, ...]:
    """Torch, variant, Python, companions, `stale`, device (the model where models differ)."""
    device = record["device"] or "?"
    tags = label.partition(" @")[2].split("/")
    models = {other["device_model"] for other in others if other["device"] == record["device"]}
    rest = [tag for tag in tags if tag and tag != device]
    if len(models) > 1 and not rest:
        model = record["device_model"]
        is_told = len({short_model(other) for other in models}) == len(models)
        rest = [short_model(model) if is_told and model else re.sub(r"\W+", "-", model) or "?"]
    companions = record["companions"].replace("==", "")
    stale = str(mark(Verdict.STALE)) if record.get("stale") else ""
    parts = (record["torch"], record["variant"], f"py{record['python']}", companions, stale)
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
        if record.get("stale"):
            text += f"; {mark(Verdict.STALE)}: {clean(record['stale'], 200)} changed since"
        groups.setdefault(text, []).append((str(label), record))
    found = []
    for text, members in groups.items():
        first, last = min(r["first"] for _, r in members), max(r["last"] for _, r in members)
        when = first[:10] if first[:10] == last[:10] else f"{first[:10]} to {last[:10]}"
        found.append(
            Provenance(text=text, when=clean(when), labels=[label for label, _ in members])
        )
    return found
