"""The table of torchao x torch: what was measured beside what is published."""

import re

import pandas as pd

from matrix import facts
from matrix.tables.columns import Frame, natural
from matrix.tables.verdicts import LOUDNESS, NOT_MEASURED, count, spoken

_COLUMNS = ["torchao", "torch", "device", "declared", "config", "function", "difference", "source"]
_PROBLEMS = frozenset(LOUDNESS[: LOUDNESS.index("unsupported")])
_COMPANION = re.compile(r"\btorchao==([0-9][\w.]*)")


def torchao_table(frame: Frame) -> pd.DataFrame:
    """One line per torchao, torch and device measured, and per published pair that was not.

    `config` and `function` count the verdicts of the features that use these names, `declared` is
    what is published (`built`, `works`, `paired`, empty if nothing), `difference` says in words
    where the two disagree. Empty without measurements.
    """
    rows = frame.outcomes
    found = rows["companions"].map(lambda text: _COMPANION.search(str(text)))
    rows = rows.assign(torchao=found.map(lambda match: match[1] if match else ""))
    rows = rows[rows["torchao"] != ""]
    # a feature of torchao's, or the check that it imports
    own = rows["feature"].map(lambda name: name.startswith("torchao-"))
    rows = rows[own.astype(bool) | (rows["test"] == "companion::torchao")]
    if rows.empty:
        return pd.DataFrame(columns=_COLUMNS, dtype=object)
    lines = []
    for (torchao, torch, device), part in rows.groupby(["torchao", "torch", "device"]):
        release = str(torch).partition("+")[0]
        pair = facts.torchao_pairs().get((str(torchao), release))
        said = {"declared": pair.says if pair else "", "source": pair.source if pair else ""}
        verdicts = {kind: _verdicts(part, kind) for kind in ("config", "function")}
        line = {"torchao": str(torchao), "torch": release, "device": str(device), **said}
        words = {kind: _words(found) for kind, found in verdicts.items()}
        everything = part["verdict"].tolist()
        passed = "pass" in verdicts["config"] and not _PROBLEMS.intersection(everything)
        lines.append(line | words | {"difference": _difference(said["declared"], passed=passed)})
    seen = {(line["torchao"], line["torch"]) for line in lines}
    lines += [
        dict.fromkeys(_COLUMNS, "")
        | {"torchao": pair.torchao, "torch": pair.torch, "declared": pair.says}
        | {"difference": NOT_MEASURED, "source": pair.source}
        for key, pair in facts.torchao_pairs().items()
        if key not in seen
    ]
    lines.sort(key=lambda line: [natural(str(line[name])) for name in _COLUMNS[:3]])
    return pd.DataFrame(lines, columns=_COLUMNS, dtype=object)


def _verdicts(part: pd.DataFrame, kind: str) -> list[str]:
    """Verdicts of one way to call torchao; that it does not import belongs to both."""
    chosen = part["feature"].str.endswith(f"-{kind}") | (part["feature"] == "")
    return [str(verdict) for verdict in part[chosen]["verdict"]]


def _words(verdicts: list[str]) -> str:
    return ", ".join(f"{number} {spoken(word)}" for word, number in count(verdicts).items())


def _difference(declared: str, *, passed: bool) -> str:
    if declared and not passed:
        return "declared, does not work"
    return "works, not declared" if passed and not declared else ""
