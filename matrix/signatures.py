"""Texts of failures: what makes two of them the same, and what is known about some.

A signature never decides a verdict: it only groups failures and says a cause and a fix for them.
"""

import functools
import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files

LIMIT = 300

_NORMAL = (
    (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<uuid>"),
    (r"0x[0-9a-fA-F]+", "<addr>"),
    # Names of symbols: letters, digits and underscores that nothing else would write like this.
    (r"\b_Z[A-Z]\w+", "<symbol>"),
    (r"(?:[A-Za-z]:)?(?:/[\w.+@~<>=-]+){2,}/?", "<path>"),
    (r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{12,64}\b", "<hex>"),
    (r"(?<![\w.])\d+(?:\.\d+)*(?:e[+-]?\d+)?", "<n>"),
)
_NORMALIZE = [(re.compile(pattern), word) for pattern, word in _NORMAL]

_WORK = re.compile(
    r"(?:/[\w.+@-]+)*/matrix-\d+-[0-9a-f]{8,32}(?:/pytest-of-[\w.-]+/pytest-\d+)?(?![\w-])"
)
_PLACES = (
    (r"0x[0-9a-fA-F]+", "<addr>"),
    (r"(\.[A-Za-z]\w{0,3}):\d+(?::\d+)?", r"\1"),
    (r"\bline \d+", "line <n>"),
    (r"\s[^\s.]*\.\.\.(?=\s|$)", " ..."),
)
_PLACE = [(re.compile(pattern), word) for pattern, word in _PLACES]


def normalize(line: str) -> str:
    """Leave out of a line what differs between two failures of one cause.

    Addresses, mangled symbols, paths, hashes, uuids and numbers that are no part of a name; doing
    it twice changes nothing.
    """
    for pattern, word in _NORMALIZE:
        line = pattern.sub(word, line)
    return line[:LIMIT]


@functools.lru_cache(maxsize=4096)
def without_work(text: str) -> str:
    """Write `<work>` for the folder that a test had to itself; each run has another one."""
    return _WORK.sub("<work>", text)


@functools.lru_cache(maxsize=4096)
def without_places(reason: str) -> str:
    """Leave out of a refusal or skip where in a file and in memory it was, and half a last word.

    Other numbers stay: `needs 2 devices` is another reason than `needs 4 devices`.
    """
    reason = without_work(reason)
    for pattern, word in _PLACE:
        reason = pattern.sub(word, reason)
    return reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A failure whose cause is known: `pattern` is searched in its text, `fix` is what to type.

    Source: `facts/signatures.toml`, one table; `example` is a text that the pattern is for.
    """

    id: str
    pattern: re.Pattern[str]
    example: str
    cause: str
    fix: str
    source: str


@functools.cache
def known() -> tuple[Known, ...]:
    """All failures whose cause is known."""
    text = (files("matrix.facts") / "signatures.toml").read_text(encoding="utf-8")
    return tuple(
        Known(**{**item, "pattern": re.compile(item["pattern"])})
        for item in tomllib.loads(text)["signature"]
    )


@functools.lru_cache(maxsize=4096)
def explain(text: str) -> Known | None:
    """What is known about a failure with this text, if anything."""
    return next((item for item in known() if item.pattern.search(text)), None)
