"""Small stores for tests: runs with the rows one names."""

import itertools
from dataclasses import asdict
from datetime import date, timedelta
from unittest.mock import patch

from matrix.entries import Entry
from matrix.rows import Row
from matrix.store import Store

_NUMBERS = itertools.count()


def row(torch="2.6.0", variant="cpu", device="cpu", backend="venv", **more):
    """A row of a cell; `more` are its other fields."""
    python = more.get("python", "3.11")
    tail = "".join(
        f"-{c.replace('==', '')}" for c in filter(None, more.get("companions", "").split(";"))
    )
    accelerator = "cpu" if variant == "cpu" else "cuda"
    return Row(
        **{
            "cell": f"torch{torch}-{variant}-py{python}{tail}", "torch": torch, "variant": variant,
            "accelerator": accelerator, "python": python, "execution": f"{backend}-{device}",
            "backend": backend, "runner": "local", "device": device, "device_model": "Test CPU",
            "suite": "feature", "provision": "built", "recipe": "r",
        } | more
    )  # fmt: skip


def feature(name, verdict="pass", **more):
    """A row of a feature's only test."""
    fields = {"test": f"test_a.py::test_{name}", "feature": name, "title": name.upper()}
    return row(verdict=verdict, **(fields | more))


def keep(root, *rows, night=1, finish=True, plan=None):
    """Leave a run with these rows; nights are days from January 2026 on. Returns its id."""
    day = date(2026, 1, 1) + timedelta(days=night - 1)
    store = Store(root)
    with patch("secrets.token_hex", lambda _: f"{next(_NUMBERS):06x}"):
        bundle = store.create(plan or {})
        stamp = f"{day:%Y%m%d}T000000Z-{bundle.id[-6:]}"
        bundle.path = bundle.path.rename(bundle.path.with_name(stamp))
        bundle.id = stamp
        groups = {}
        for one in rows:
            fields = asdict(one) | {"run": bundle.id}
            fields["time"] = one.time or f"{day}T00:00:00+00:00"
            groups.setdefault((one.cell, one.execution, one.suite), []).append(Row(**fields))
        for place, found in groups.items():
            folder = bundle.stage(*place)
            counts = {}
            for one in found:
                if one.verdict:
                    counts[one.verdict] = counts.get(one.verdict, 0) + 1
            cell_level = next((r for r in found if not r.test), None)
            entry = Entry(
                run=bundle.id, cell=place[0], execution=place[1], suite=place[2],
                recipe=found[0].recipe, started=found[0].time, counts=counts,
                device_model="" if found[0].device == "cpu" else found[0].device_model,
                verdict=cell_level.verdict if cell_level else "",
                reason=cell_level.reason if cell_level else "",
            )  # fmt: skip
            bundle.commit(folder, entry, found)
        if finish:
            bundle.finish({"id": bundle.id})
    return bundle.id
