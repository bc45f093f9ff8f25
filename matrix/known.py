"""What earlier runs know of executions, apart by the model of their GPUs."""

from collections.abc import Iterable

from matrix.entries import Entry


class Known:
    """Newest entries by (cell, execution, suite)."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._found: dict[tuple[str, str, str], list[Entry]] = {}
        for entry in sorted(entries, key=lambda entry: entry.run):
            self._found.setdefault(entry.key, []).append(entry)

    def newest(self, key: tuple[str, str, str], model: str = "") -> Entry | None:
        """The newest entry that speaks for GPUs of a model; for any of them where it is ""."""
        fitting = (e for e in reversed(self._found.get(key, ())) if not model or _is_of(e, model))
        return next(fitting, None)

    def seconds(self, execution: str, suite: str) -> float:
        """What the suite usually takes there; 0 where nobody knows."""
        known = sorted(
            entry.seconds
            for (_, *kind), entries in self._found.items()
            for entry in entries
            if kind == [execution, suite] and entry.seconds
        )
        return known[len(known) // 2] if known else 0.0


def _is_of(entry: Entry, model: str) -> bool:
    return entry.device_model in {"", model}
