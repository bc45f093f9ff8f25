"""Which commands of a text start a serving engine, and the flags they give it."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from matrix.lint.blocks import DATA, parts_of
from matrix.lint.words import Part, Syntax, Word, commands

LAUNCHES: Mapping[str, re.Pattern[str]] = {
    "sglang": re.compile(r"sglang[._/]launch_server\b|\bsglang\W+serve\b"),
    "vllm": re.compile(r"vllm[./]entrypoints[./](?:openai[./])?api_server\b|\bvllm\W+serve\b"),
}
"""What a text has that may start an engine."""
_MODULES: Mapping[str, re.Pattern[str]] = {
    "sglang": re.compile(r"(?:-m|.*/)?sglang[._/]launch_server(?:\.py)?"),
    "vllm": re.compile(r"(?:-m|.*/)?vllm[./]entrypoints[./](?:openai[./])?api_server(?:\.py)?"),
}
_FLAG = re.compile(r"(--[a-z0-9][a-z0-9_-]*)(?:[=.].*)?", re.DOTALL)
_SHELLS = frozenset({".sh", ".bash", ".slurm"})
_BEFORE = re.compile(
    r"\w+\+?=.*|[!{]|if|then|do|else|elif|while|until|time|sudo|exec|nohup|env|RUN|CMD|ENTRYPOINT",
    re.DOTALL,
)
_TALKS = re.compile(
    r"[@-]*(?:.*/)?(?:echo|printf|cat|[ef]?grep|rg|sed|awk|pgrep|pkill|logger|log|info|warn|error"
    r"|die|LABEL)"
)
_TAKES_COMMANDS = re.compile(r"-[a-z]*c|--(?:command|wrap)")
_RUNS_TEXTS = re.compile(r"ssh|tmux|screen|eval|watch")
_ASSIGNED = re.compile(r"(?:--(?:command|wrap)|\w+)\+?=[\"']")
_STARTS = re.compile(
    r"(?:.*/)?(?:python[\d.]*|uv|srun|torchrun|numactl|taskset|timeout|nsys|docker|podman|kubectl"
    r"|bash|sh|accelerate|mpirun|tini|dumb-init)|[$/.{].*",
    re.DOTALL,
)
_KEY = re.compile(r"[\w.-]+:")


@dataclass(frozen=True, slots=True)
class Given:
    """A flag of a command and its place; line and column count from 1."""

    name: str
    line: int
    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """A command that starts an engine, where the engine is named."""

    engine: str
    line: int
    column: int
    flags: tuple[Given, ...]


def launches(text: str, path: Path) -> Iterator[Launch]:
    """The launches of a script, a Dockerfile, or a file of data such as YAML."""
    if not may_launch(text):
        return
    if path.suffix in DATA:
        reader = _Reader(text, Syntax(one_command=True))
        for part in parts_of(text, list(LAUNCHES.values())):
            yield from reader.launches(part)
    else:
        is_shell = path.suffix in _SHELLS
        reader = _Reader(text, Syntax(long_quotes=is_shell, lists=not is_shell))
        yield from reader.launches((0, len(text)))


def may_launch(text: str) -> bool:
    """Whether a text has the names of an engine's launch command."""
    return "serve" in text and any(p.search(text) for e, p in LAUNCHES.items() if e in text)


def engine_at(words: Sequence[str], place: int) -> tuple[str, int] | None:
    """The engine that words start from a place on, and where its arguments begin."""
    for engine, module in _MODULES.items():
        if module.fullmatch(words[place]):
            return engine, place + 1
        is_program = words[place].rpartition("/")[2] == engine
        if is_program and words[place + 1 : place + 2] == ["serve"]:
            return engine, place + 2
    return None


def flags_in(words: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The flags that argparse reads in words, by place; a word with a blank in it is a value."""
    for place, word in enumerate(takewhile(lambda word: word != "--", words)):
        if found := _FLAG.fullmatch(word):
            yield place, found[1]


class _Reader:
    """Finds launches in the parts of one text."""

    def __init__(self, text: str, syntax: Syntax) -> None:
        self._text = text
        self._syntax = syntax
        self._starts = [0, *(m.end() for m in re.finditer("\n", text))]

    def launches(self, part: Part) -> Iterator[Launch]:
        """The launches of a part."""
        for words in commands(self._text, part, self._syntax):
            if self._syntax.one_command:
                yield from self._of_data(words)
            else:
                yield from self._of_words(words, is_value=False)

    def _inside(self, part: Part, *, is_value: bool) -> Iterator[Launch]:
        """The launches in a quote or a substitution, which is for a shell."""
        for words in commands(
            self._text, part, replace(self._syntax, lists=False, one_command=False)
        ):
            yield from self._of_words(words, is_value=is_value)

    def _of_data(self, words: list[Word]) -> Iterator[Launch]:
        """The launches of a line of data, whose key and whose marks of items are no words."""
        words = [word for word in words if word.text != "-"]
        rest = words
        if words and _KEY.fullmatch(words[0].text):
            rest = words[1:]
        elif [word.text for word in words[1:2]] == ["="]:
            rest = words[2:]
        between = self._text[words[0].start : rest[0].start] if rest else ""
        yield from self._of_words(rest, is_value=bool(between) and "[" not in between)

    def _of_words(self, words: list[Word], *, is_value: bool) -> Iterator[Launch]:
        """The launches of a command; a value is one only where it begins as a command does."""
        texts = [word.text for word in words]
        first = next((n for n, text in enumerate(texts) if not _BEFORE.fullmatch(text)), len(texts))
        program = "".join(texts[first : first + 1])
        if _TALKS.fullmatch(program):
            return
        for place, word in enumerate(words):
            if found := engine_at(texts, place):
                if not is_value or place <= first or _STARTS.fullmatch(program):
                    yield self._launch(*found, word, words)
                return
            for part in word.substituted:
                yield from self._inside(part, is_value=False)
            if word.quoted and may_launch(word.text):
                yield from self._of_quoted(words, place, program)

    def _of_quoted(self, words: list[Word], place: int, program: str) -> Iterator[Launch]:
        """The launches in a word with quotes, where that is a command and not an argument."""
        word = words[place]
        before = self._text[word.start : word.quoted[0][0]]
        takes = place and _TAKES_COMMANDS.fullmatch(words[place - 1].text)
        if takes or _RUNS_TEXTS.fullmatch(program):
            yield from self._inside(word.quoted[0], is_value=False)
        elif place == 0 or _ASSIGNED.fullmatch(before):
            yield from self._inside(word.quoted[0], is_value=True)

    def _launch(self, engine: str, arguments: int, name: Word, words: list[Word]) -> Launch:
        line, column = self._place(name.start)
        given = []
        for place, flag in flags_in(word.text for word in words[arguments:]):
            word = words[arguments + place]
            where = self._text.find("--", word.start)
            given.append(Given(flag, *self._place(where)))
        return Launch(engine=engine, line=line, column=column, flags=tuple(given))

    def _place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1
