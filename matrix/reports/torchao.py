"""torchao x torch, measured beside declared, as Markdown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from matrix.facts import natural
from matrix.reports.lines import records
from matrix.reports.markdown import code, table_lines
from matrix.reports.marks import mark
from matrix.verdicts import NOT_MEASURED, loudest

if TYPE_CHECKING:
    import pandas as pd

_HEAD = {
    "torchao": "torchao",
    "torch": "torch",
    "device": "on",
    "declared": "declared",
    "config": "by configuration class (measured)",
    "function": "by function (measured)",
    "difference": "difference",
    "source": "source of what is declared",
}
_NOTE = (
    "`built`: the wheel was built with this torch; `works`: the project's table lists it; "
    "`paired`: a bundle or an engine's pins put them together. What is not declared is not "
    "forbidden: torchao's metadata pins no torch. In the first table ✓ is what works by "
    "configuration class, with all refusals declared, ? what was not measured."
)


def render(table: "pd.DataFrame") -> str:
    """Render the table and its differences; ends with a newline."""
    lines = [
        "# torchao × torch: measured beside declared",
        "",
        _NOTE,
        "",
        *_grid(records(table)),
        "",
    ]
    lines.append("| " + " | ".join(_HEAD.values()) + " |")
    lines.append("|" + " --- |" * len(_HEAD))
    rows = records(table)
    lines += ["| " + " | ".join(code(str(row[name])) for name in _HEAD) + " |" for row in rows]
    measured = [row for row in rows if row["device"]]
    differ = [row for row in measured if row["difference"]]
    lines += ["", f"{len(measured)} measured, {len(differ)} differ from what is declared:", ""]
    groups: dict[tuple[str, str], list[str]] = {}
    for row in differ:
        release = f"{code(row['torch'])}{_where(row)}"
        groups.setdefault((row["torchao"], row["difference"]), []).append(release)
    lines += [
        f"- {code('torchao ' + torchao)} {difference}: torch {', '.join(releases)}"
        for (torchao, difference), releases in groups.items()
    ]
    return "\n".join(lines).rstrip(":\n" if not differ else "\n") + "\n"


def _grid(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Both side by side: what the configuration classes did, and what is declared."""
    cells: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        text = f"{mark(_verdict(row['config'])).symbol}{_where(row)} {row['declared']}"
        cells.setdefault((row["torchao"], row["torch"]), []).append(text.strip())
    columns = sorted({torch for _, torch in cells}, key=natural)
    lines = [
        [code(torchao), *("<br>".join(cells.get((torchao, torch), [])) for torch in columns)]
        for torchao in sorted({torchao for torchao, _ in cells}, key=natural)
    ]
    return table_lines(["torchao", *map(code, columns)], lines)


def _where(row: dict[str, Any]) -> str:
    return f" ({row['device']})" if row["device"] not in {"", "cpu"} else ""


def _verdict(words: str) -> str:
    """The word for `2 unsupported, 3 pass`: it works where nothing is worse than a refusal."""
    seen = [part.partition(" ")[2] for part in words.split(", ")] if words else [NOT_MEASURED]
    worst = loudest(seen)
    return "pass" if worst == "unsupported" and "pass" in seen else worst
