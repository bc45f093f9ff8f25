"""Commands of a text and their words, as a shell reads them; a quote that never closes is text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

Part = tuple[int, int]
"""Offsets of a part of a text: its start, and its end, which is no longer in it."""
_CLOSES = {"'": "'", '"': '"', "$(": ")", "<(": ")", ">(": ")", "${": "}", "{{": "}}", "`": "`"}
_OPENS = re.compile(r"[$<>]\(|\$\{|\{\{|['\"`]")
_NESTS = {"'": None, "`": None, '"': re.compile(r"\$[({]")}
"""What may open inside of some of them; inside of the others it is anything."""
_GAP = re.compile(r"(?:[ \t\r]|\\\r?\n(?:[ \t]*#[^\n]*\n)*)+")
_COMMENT = re.compile(r"(?<!\S)#[^\n]*")
_LISTED = re.compile(r"(?<![^\s'\",\[\]])[\[\],]|[\[\],](?=[\s'\",\[\]]|$)")
_ENDS = re.compile(r"\n|&&|\|[|&]?|;+|[()]|(?<![<>&])&(?=\s|$)")
_PLAIN = re.compile(r"[^\s\\'\"`$<>{&|;()\[\],]+|[^\s]")
_DOCUMENT = re.compile(r"<<[-~]?\s*(['\"]?)([A-Za-z_]\w*)\1")
_SHOWN = re.compile(r"\s*(?:cat|tee)\b(?:[^\n>|]|>&2)*$")
_LONGEST = 1 << 14  # characters that a quote or a substitution may have


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """A word: what the program gets, where it stands, and its parts that may hold commands."""

    text: str
    start: int
    quoted: tuple[Part, ...] = ()
    """What is between its quotes."""
    substituted: tuple[Part, ...] = ()
    """What is between `$(` and `)`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Syntax:
    """How kinds of files differ."""

    long_quotes: bool = False
    """Whether a quote goes on over the end of a line."""
    lists: bool = True
    """Whether brackets and commas are between words."""
    one_command: bool = False
    """Whether a command goes on over the end of a line."""


def commands(text: str, part: Part, syntax: Syntax) -> Iterator[list[Word]]:
    """The words of each command in a part of a text; those of an array are a command too."""
    at, end = part
    words: list[Word] = []
    delimiters: list[str] = []
    in_array = False
    while at < end:
        if skipped := _between(text, at, end, syntax):
            at = skipped
        elif document := _DOCUMENT.match(text, at, end):
            at = document.end()
            delimiters.append(document[2])
        elif not (stop := _ENDS.match(text, at, end)):
            word, at = _word(text, at, end, syntax)
            words.append(word)
        else:
            at = stop.end()
            opens = stop[0] == "(" and bool(words) and text[stop.start() - 1] == "="
            if opens or (stop[0] == "\n" and (in_array or syntax.one_command)):
                in_array = in_array or opens
                continue
            in_array = False
            if words:
                yield words
            words = []
            while stop[0] == "\n" and delimiters:
                body, after = _document(text, at, end, delimiters.pop(0))
                if not _SHOWN.fullmatch(text, text.rfind("\n", 0, stop.start()) + 1, stop.start()):
                    yield from commands(text, body, Syntax(lists=False))
                at = after
    if words:
        yield words


def _between(text: str, at: int, end: int, syntax: Syntax) -> int:
    """Where blanks, a comment, or the punctuation of a list ends; 0 where there is none."""
    patterns = (_GAP, _COMMENT, _LISTED) if syntax.lists else (_GAP, _COMMENT)
    return next((m.end() for p in patterns if (m := p.match(text, at, end))), 0)


def _document(text: str, at: int, end: int, delimiter: str) -> tuple[Part, int]:
    """A here-document and where its delimiter ends; nothing where that never comes."""
    found = re.compile(rf"^[ \t]*{delimiter}[ \t\r]*$", re.MULTILINE).search(text, at, end)
    return ((at, found.start()), found.end()) if found else ((at, at), at)


def _word(text: str, start: int, end: int, syntax: Syntax) -> tuple[Word, int]:
    """The word that begins at an offset, and where it ends."""
    at = start
    said: list[str] = []
    quoted: list[Part] = []
    substituted: list[Part] = []
    while at < end and (at == start or not _stops(text, at, end, syntax)):
        if (opening := _OPENS.match(text, at, end)) and (
            after := _after(text, at, _limit(text, at, end, syntax))
        ):
            inner = (opening.end(), after - len(_CLOSES[opening[0]]))
            if opening[0] in "'\"":
                quoted.append(inner)
                said.append(text[slice(*inner)])
            else:
                said.append(text[at:after])
                if opening[0] == "$(":
                    substituted.append(inner)
            at = after
        elif text[at] == "\\":
            said.append(text[at + 1 : at + 2])
            at += 2
        elif opening:
            at = opening.end()
        elif plain := _PLAIN.match(text, at, end):
            said.append(plain[0])
            at = plain.end()
        else:
            at += 1  # a blank of a kind that no shell knows
    word = Word(
        text="".join(said), start=start, quoted=tuple(quoted), substituted=tuple(substituted)
    )
    return word, min(at, end)


def _stops(text: str, at: int, end: int, syntax: Syntax) -> bool:
    listed = syntax.lists and _LISTED.match(text, at, end)
    return bool(_GAP.match(text, at, end) or _ENDS.match(text, at, end) or listed)


def _limit(text: str, at: int, end: int, syntax: Syntax) -> int:
    """Where a quote or a substitution must have closed."""
    far = min(end, at + _LONGEST)
    if syntax.long_quotes:
        return far
    line_end = text.find("\n", at, far)
    while line_end > 0 and text[line_end - 1] == "\\":
        line_end = text.find("\n", line_end + 1, far)
    return far if line_end < 0 else line_end


def _after(text: str, at: int, end: int) -> int:
    """Where a quote or a substitution ends with what closes it; 0 where nothing does."""
    opening = _OPENS.match(text, at, end)
    assert opening is not None  # the caller found it
    closing, nests = _CLOSES[opening[0]], _NESTS.get(opening[0], _OPENS)
    at = opening.end()
    while at < end:
        if text.startswith(closing, at):
            return at + len(closing)
        if text[at] == "\\" and opening[0] != "'":
            at += 2
        elif not (nests and nests.match(text, at, end)):
            at += 1
        elif not (at := _after(text, at, end)):
            return 0
    return 0
