"""How data is printed, and text that strangers had a part in."""

import json
import sys
from collections.abc import Iterable
from textwrap import indent
from typing import TextIO

LINE = 2000


def print_json(data: object) -> None:
    """Print data for machines."""
    print(json.dumps(data, indent=1, default=str))


def print_json_list(items: Iterable[object]) -> None:
    """Print a list of any length as `print_json` would, item by item."""
    before = "["
    for item in items:
        made = json.dumps(item, indent=1, default=str)
        print(f"{before}\n{indent(made, ' ')}", end="")
        before = ","
    print("[]" if before == "[" else "\n]")


def print_text(text: str, file: TextIO | None = None) -> None:
    """Print text for people, without what a terminal obeys."""
    from matrix.reports.text import harmless

    print(harmless(text), file=file or sys.stdout)


def print_line(text: str, before: str = "") -> None:
    """Print text as one line for people, whatever is in it."""
    from matrix.reports.text import clean

    print(f"{before}{clean(text, LINE)}")
