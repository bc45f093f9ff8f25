"""What must not leave a machine with its check: users, hosts, addresses, and folders of people."""

import os
import platform
import pwd
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from matrix.redact import Redactor

# folders that are the same on every machine, and say which libraries are meant
_COMMON = ("/usr/", "/lib", "/dev/", "/proc/", "/sys/", "/etc/", "/opt/rocm", "/bin/", "/sbin/")
_PATH = re.compile(r"(?<![\w.:/<>])/(?:[\w.+@~-]+/)+[\w.+@~-]*")
_ADDRESSES = re.compile(
    r"\b(?:\d{1,3}\.){3}\d{1,3}\b(?::\d+)?|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\b", re.ASCII
)
_SHORT = 3


class Sharing:
    """Replaces what names a person or a machine, and keeps what explains a failure."""

    def __init__(self, env: Mapping[str, str], executable: str) -> None:
        paths = {"home": Path(env.get("HOME") or "/"), "folder": Path.cwd()}
        if executable:
            # bin/python of an environment: its root is what names a project
            paths["environment"] = Path(executable).parent.parent
        self._redactor = Redactor.of(paths, ())
        names = {env.get("USER", ""), env.get("LOGNAME", ""), _user(), platform.node()}
        names |= {platform.node().partition(".")[0], env.get("HOSTNAME", "")}
        words = sorted((n for n in names if len(n) >= _SHORT and n != "root"), key=len)
        self._words = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)") for word in reversed(words)]

    def text(self, text: str) -> str:
        """One text without them."""
        text = self._redactor.text(text)
        text = _PATH.sub(_place, text)
        text = _ADDRESSES.sub(_address, text)
        for word in self._words:
            text = word.sub("<name>", text)
        return text

    def value(self, value: Any) -> Any:  # noqa: ANN401  whatever a field may hold
        """The same for all texts in a value, also in what is frozen."""
        if isinstance(value, str):
            return self.text(value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: self.value(getattr(value, f.name))
                                     for f in fields(value) if f.init})  # fmt: skip
        if isinstance(value, Mapping):
            return {key: self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple) and type(value).__name__ in {"list", "tuple"}:
            return type(value)(self.value(item) for item in value)
        return value


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers run as numbers
        return ""


def _place(match: re.Match[str]) -> str:
    """Keep folders that every machine has, and what lies in an environment's packages."""
    path = match[0]
    if path.startswith(_COMMON):
        return path
    for mark in ("site-packages/", "dist-packages/"):
        before, found, after = path.partition(mark)
        if found and before:
            return f"<path>/{mark}{after}"
    return f"<path>/{path.rpartition('/')[2]}"


def _address(match: re.Match[str]) -> str:
    """A version of four numbers, such as cuDNN's, looks like an address and has small parts."""
    text = match[0]
    if "@" in text:
        return "<address>"
    parts = text.partition(":")[0].split(".")
    private = parts[0] in {"10", "127", "172", "192", "169"}
    is_version = not private and ":" not in text
    return text if is_version else "<address>"
