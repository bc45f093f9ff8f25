"""How data is printed, and text that strangers had a part in."""

import json
import sys
from typing import TextIO

LINE = 2000


def print_json(data: object) -> None:
    """Print data for machines."""
    print(json.dumps(data, indent=1, default=str))


def print_text(text: str, file: TextIO | None = None) -> None:
    """Print text for people, without what a terminal obeys."""
    from matrix.reports.text import harmless

    print(harmless(text), file=file or sys.stdout)


def print_line(text: str, before: str = "") -> None:
    """Print text as one line for people, whatever is in it."""
    from matrix.reports.text import clean

    print(f"{before}{clean(text, LINE)}")
