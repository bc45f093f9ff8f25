"""torchao x torch, measured beside declared, as Markdown."""

from typing import TYPE_CHECKING

from matrix.reports.lines import records
from matrix.reports.markdown import code

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
    "forbidden: torchao's metadata pins no torch."
)


def render(table: "pd.DataFrame") -> str:
    """Render the table and its differences; ends with a newline."""
    lines = ["# torchao × torch: measured beside declared", "", _NOTE, ""]
    lines.append("| " + " | ".join(_HEAD.values()) + " |")
    lines.append("|" + " --- |" * len(_HEAD))
    rows = records(table)
    lines += ["| " + " | ".join(code(str(row[name])) for name in _HEAD) + " |" for row in rows]
    measured = [row for row in rows if row["device"]]
    differ = [row for row in measured if row["difference"]]
    lines += ["", f"{len(measured)} measured, {len(differ)} differ from what is declared:", ""]
    lines += [
        f"- {code('torchao ' + row['torchao'])} with {code('torch ' + row['torch'])}: "
        f"{code(row['difference'])} ({code(row['config'])} by configuration class)"
        for row in differ
    ]
    return "\n".join(lines).rstrip(":\n" if not differ else "\n") + "\n"
