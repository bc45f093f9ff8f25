"""What must not leave this machine with a bundle: its paths, its indexes, and credentials."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXTS = {".json", ".jsonl", ".log", ".lock"}
MAX_BYTES = 64 * 1024 * 1024
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@\"']+@")


@dataclass(frozen=True, kw_only=True, slots=True)
class Redactor:
    """Replaces what names this machine by what it is, such as `<work>` or `<index>`."""

    names: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls, paths: Mapping[str, Path], indexes: Iterable[str], engines: Iterable[str] = ()
    ) -> "Redactor":
        """Names for paths by label, for places packages come from, for engines; longest first."""
        names: dict[str, str] = {}
        for label, path in paths.items():
            if len(path.parts) > 1:
                names.setdefault(str(path), f"<{label}>")
        for place in indexes:
            names.setdefault(place, "<index>")
        for engine in engines:
            names.setdefault(engine, "<engine>")
        return cls(names=tuple(sorted(names.items(), key=lambda pair: -len(pair[0]))))

    def also(self, label: str, path: Path) -> "Redactor":
        """The same with one more path, such as the interpreter of one job."""
        extra = {label: path} if len(path.parts) > 1 else {}
        added = Redactor.of(extra, ()).names
        return Redactor(names=tuple(sorted((*self.names, *added), key=lambda pair: -len(pair[0]))))

    def text(self, text: str) -> str:
        """The text with names in the place of what they stand for, and without credentials."""
        for found, name in self.names:
            text = text.replace(found, name)
        return _CREDENTIALS.sub("***@", text)

    def texts(self, value: Mapping[str, str]) -> dict[str, str]:
        """The same for all values."""
        return {key: self.text(item) for key, item in value.items()}

    def data(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The same for all texts in what is to become JSON."""
        return {key: self._data(item) for key, item in value.items()}

    def _data(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.data(value)
        return [self._data(item) for item in value] if isinstance(value, list | tuple) else value

    def clean(self, folder: Path) -> None:
        """Rewrite the text artefacts of a suite and its rounds, where they name this machine.

        Also as pytest names a file of another folder: `../../results/local/…`.
        """
        relative = [(_relative(found), name) for found, name in self.names if found[:1] == "/"]
        for path in sorted(folder.rglob("*")):
            named = path.suffix in TEXTS or path.name == "Dockerfile"
            if named and path.is_file() and not path.is_symlink():
                with path.open("rb") as stream:  # no more than is ever read of it
                    before = stream.read(MAX_BYTES).decode("utf-8", "surrogateescape")
                after = before
                for pattern, name in relative if "../" in before else ():
                    after = pattern.sub(name, after)
                after = self.text(after)
                if after != before or path.stat().st_size > MAX_BYTES:
                    path.write_bytes(after.encode("utf-8", "surrogateescape"))


def _relative(path: str) -> re.Pattern[str]:
    """A path as it looks from a folder beside it: `../`, and two or more of its last parts."""
    *lead, above, last = map(re.escape, ["", *path.strip("/").split("/")])
    tail = ""
    for part in filter(None, lead):
        tail = f"(?:{tail}{part}/)?"
    above = f"{above}/" if above else ""
    return re.compile(rf"(?:\.\./)+{tail}{above}{last}(?![\w.-])")


NOTHING = Redactor(names=())
"""Redacts credentials only."""
