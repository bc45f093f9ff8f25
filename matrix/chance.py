"""Rows of tests whose outcome changed while their recipe did not, out of all runs of a store.

Only these can make a table say `flaky`: of a year of nights a handful, found without reading the
rest into objects.
"""

import threading
from collections.abc import Iterable

from matrix.entries import Entry
from matrix.longtable import long_table
from matrix.query import opened
from matrix.rows import SAME_TEST, Row
from matrix.store import Store

_SAME = ", ".join(SAME_TEST)
_DISAGREEING = f"""
WITH told AS (
    SELECT {_SAME} FROM rows
    WHERE list_contains($1, run) AND test <> '' AND metric = '' AND recipe <> '' AND verdict <> ''
        AND verdict <> 'skip' AND is_evidence(verdict)
    GROUP BY {_SAME} HAVING min(verdict) <> max(verdict)
)
SELECT rows.* FROM rows JOIN told USING ({_SAME})
WHERE list_contains($1, run) AND metric = '' ORDER BY rows.time, rows.run
"""  # noqa: S608  constants


def disagreeing(
    store: Store, entries: Iterable[Entry], stop: threading.Event, *, published: bool = False
) -> list[Row]:
    """Rows of other runs that a table of these entries needs to tell chance from change."""
    shown = list(entries)
    earlier = store.earlier(shown, published=published)
    if not earlier:
        return []
    runs = sorted({entry.run for entry in (*earlier, *shown)})
    with opened(long_table(store, stop), stop) as database:
        found = database.select(_DISAGREEING, [runs])
    rows = (line | {"samples": tuple(line["samples"])} for line in found.records())
    return [Row(**row) for row in rows]
