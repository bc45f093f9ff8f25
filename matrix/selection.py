"""Selections: globs over cell ids, and expressions such as `torch>=2.9 and variant==cpu`.

expression := term { "or" term }          term := factor { "and" factor }
factor     := "not" factor | "(" expression ")" | comparison
comparison := field operator value        operator := == != < <= > >= ~
"""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from matrix.facts import natural
from matrix.schema import hint

Fields = Mapping[str, str]
Predicate = Callable[[Fields], bool]

FIELDS = ("id", "torch", "variant", "accelerator", "python", "device", "companion")
MAX_LENGTH = 1000
MAX_DEPTH = 50
_RELEASE = re.compile(r"\d+(\.\d+)*t?")
_TOKEN = re.compile(r"\s*(==|!=|<=|>=|<|>|~|\(|\)|[^\s()<>=!~]+|\S)")
_ORDER: Mapping[str, Callable[[object, object], bool]] = {
    "<": lambda a, b: a < b,  # type: ignore[operator]
    "<=": lambda a, b: a <= b,  # type: ignore[operator]
    ">": lambda a, b: a > b,  # type: ignore[operator]
    ">=": lambda a, b: a >= b,  # type: ignore[operator]
}


class SelectionError(ValueError):
    """The selection cannot be read; the message shows where."""


def compile_selection(text: str) -> Predicate:
    """Turn one selection into a predicate over a cell's fields; raises `SelectionError`."""
    if not text.strip():
        message = "empty selection; write a cell id, a glob or an expression"
        raise SelectionError(message)
    if len(text) > MAX_LENGTH:
        message = f"a selection of {len(text)} characters; at most {MAX_LENGTH} are read"
        raise SelectionError(message)
    if quotes := set(text) & set("'\"`"):
        plain = "".join(letter for letter in text if letter not in quotes)
        message = f"`{text}` has quotes, which no id or value has; write `{plain}`"
        raise SelectionError(message)
    if re.search(r"[<>=~]|\s", text.strip()):
        return _Parser(text).parse()
    pattern = text.strip()
    return lambda fields: fnmatchcase(fields["id"], pattern)


def _version(text: str) -> tuple[tuple[int, int, str], ...]:
    """Compare releases as integers; trailing zeros do not count (2.9 equals 2.9.0)."""
    parts = list(natural(text))
    while parts and parts[-1] == (0, 0, ""):
        parts.pop()
    return tuple(parts)


def _compare(field: str, operator: str, value: str) -> Predicate:
    if operator in _ORDER:
        order = _ORDER[operator]
        wanted = _version(value)
        return lambda fields: bool(fields[field]) and order(_version(fields[field]), wanted)
    negate = operator == "!="
    if operator == "~":
        return lambda fields: value in fields[field]

    def equal(fields: Fields) -> bool:
        have = fields[field]
        if field == "companion":
            if value == "none":
                return not have
            return any(fnmatchcase(c, value) or c.split("==")[0] == value for c in have.split(";"))
        if "*" in value or "?" in value:
            return fnmatchcase(have, value)
        return have == value or (field in {"torch", "python"} and _version(have) == _version(value))

    return lambda fields: equal(fields) != negate


def _any_of(left: Predicate, right: Predicate) -> Predicate:
    return lambda fields: left(fields) or right(fields)


def _all_of(left: Predicate, right: Predicate) -> Predicate:
    return lambda fields: left(fields) and right(fields)


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [(m[1], m.start(1)) for m in _TOKEN.finditer(text)]
        self.at = 0
        self.depth = 0

    def parse(self) -> Predicate:
        predicate = self.either()
        if self.at < len(self.tokens):
            self.fail(f"unexpected `{self.peek()}`")
        return predicate

    def peek(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def fail(self, why: str) -> None:
        column = self.tokens[self.at][1] if self.at < len(self.tokens) else len(self.text)
        message = f"{why} at column {column + 1} of `{self.text}`"
        raise SelectionError(message)

    def either(self) -> Predicate:
        left = self.both()
        while self.peek() == "or":
            self.take()
            left = _any_of(left, self.both())
        return left

    def both(self) -> Predicate:
        left = self.factor()
        while self.peek() == "and":
            self.take()
            left = _all_of(left, self.factor())
        return left

    def factor(self) -> Predicate:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"nested more than {MAX_DEPTH} deep")
        try:
            return self.inner()
        finally:
            self.depth -= 1

    def inner(self) -> Predicate:
        if self.peek() == "not":
            self.take()
            inner = self.factor()
            return lambda fields: not inner(fields)
        if self.peek() == "(":
            self.take()
            inner = self.either()
            if self.peek() != ")":
                self.fail("missing `)`")
            self.take()
            return inner
        return self.comparison()

    def comparison(self) -> Predicate:
        field = self.peek()
        if field not in FIELDS:
            self.fail(f"unknown field `{field}` ({hint(field, list(FIELDS))})" if field else
                      "a comparison is missing")  # fmt: skip
        self.take()
        operator = self.peek()
        if operator not in {"==", "!=", "~", *_ORDER}:
            self.fail(f"expected one of == != < <= > >= ~ after `{field}`")
        self.take()
        if not self.peek() or self.peek() in {"and", "or", "(", ")", *_ORDER, "==", "!="}:
            self.fail(f"a value is missing after `{field}{operator}`")
        ordered = operator in _ORDER
        if ordered and field not in {"torch", "python"}:
            self.fail(f"`{field}` has no order; use == != or ~")
        if ordered and not _RELEASE.fullmatch(self.peek()):
            self.fail(f"`{self.peek()}` is no version, such as 2.9")
        return _compare(field, operator, self.take())
