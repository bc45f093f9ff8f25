"""The table of what did not pass: a line per subject and root cause."""

from collections import Counter
from typing import Any

import pandas as pd

from matrix.signatures import normalize, without_places, without_work
from matrix.tables.columns import Frame, file_of, records
from matrix.tables.verdicts import rank

_COLUMNS = ["verdict", "suite", "subject", "title", "reason", "signature", "tests", "of"]
_COLUMNS += ["example", "labels"]
_CAUSE = ["verdict", "suite", "subject", "cause"]


def problem_table(frame: Frame) -> pd.DataFrame:
    """Everything that did not pass, one line per subject and root cause, loudest first.

    Columns: verdict, suite, subject (feature, workload or file), title, reason, signature (what
    the reason has in common with others of its cause; of a refusal or skip the reason without
    where it was), tests (most in one column), of (tests of
    the subject), example (a test id), labels (tuple of columns).
    """
    rows = frame.outcomes
    subject = rows["feature"].where(rows["feature"] != "", rows["workload"])
    rows = rows.assign(subject=subject.where(subject != "", rows["test"].map(file_of)))
    sizes = rows.groupby(["suite", "subject", "label"]).size().to_dict()
    order = {label: place for place, label in enumerate(frame.executions.index)}
    lines: list[dict[str, Any]] = []
    bad = rows[rows["verdict"] != "pass"]
    # Again: rows may be older than what is left out today.
    same = bad["signature"].map(normalize)
    bad = bad.assign(cause=same.where(same != "", bad["reason"].map(without_places)).map(str))
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in records(bad[[*_CAUSE, "title", "reason", "label", "test"]]):
        groups.setdefault(tuple(row[name] for name in _CAUSE), []).append(row)
    for (verdict, suite, name, cause), part in sorted(groups.items(), key=lambda item: item[0]):
        tests = Counter(row["label"] for row in part)
        seen = sorted(tests, key=order.__getitem__)
        lines.append(
            {"verdict": verdict, "suite": suite, "subject": name, "title": part[-1]["title"]}
            | {"reason": without_work(part[-1]["reason"]), "signature": cause}
            | {"tests": max(tests.values())}
            | {"of": max(sizes[suite, name, label] for label in seen)}
            | {"example": min(row["test"] for row in part), "labels": tuple(seen)}
        )
    lines.sort(key=lambda line: (rank(line["verdict"]), line["suite"], line["subject"]))
    return pd.DataFrame(lines, columns=_COLUMNS, dtype=object)
