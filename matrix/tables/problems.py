"""The table of what did not pass: a line per subject and root cause."""

from typing import Any

import pandas as pd

from matrix.signatures import normalize
from matrix.tables.columns import Frame, file_of
from matrix.tables.verdicts import rank

_COLUMNS = ["verdict", "suite", "subject", "title", "reason", "signature", "tests", "of"]
_COLUMNS += ["example", "labels"]


def problem_table(frame: Frame) -> pd.DataFrame:
    """Everything that did not pass, one line per subject and root cause, loudest first.

    Columns: verdict, suite, subject (feature, workload or file), title, reason, signature (what
    the reason has in common with others of its cause), tests (most in one column), of (tests of
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
    bad = bad.assign(cause=same.where(same != "", bad["reason"]).map(str))
    for (verdict, suite, name, cause), part in bad.groupby(
        ["verdict", "suite", "subject", "cause"]
    ):
        seen = sorted(set(part["label"]), key=order.__getitem__)
        last = part.iloc[-1]
        lines.append(
            {"verdict": verdict, "suite": suite, "subject": name, "title": last["title"]}
            | {"reason": last["reason"], "signature": cause}
            | {"tests": int(part["label"].value_counts().max())}
            | {"of": max(sizes[suite, name, label] for label in seen)}
            | {"example": part["test"].min(), "labels": tuple(seen)}
        )
    lines.sort(key=lambda line: (rank(line["verdict"]), line["suite"], line["subject"]))
    return pd.DataFrame(lines, columns=_COLUMNS, dtype=object)
