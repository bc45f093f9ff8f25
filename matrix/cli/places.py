"""Where `cache` reads and writes: every mistake of its words, before anything is read."""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from matrix.errors import InputError

LABEL = 200  # characters: it is a line of a table


def check_words(arguments: argparse.Namespace) -> None:
    """Raise one `InputError` for all mistakes."""
    if problems := list(_mistakes(arguments)):
        raise InputError(f"`cache {arguments.action}` cannot be done:", problems)


def check_remote(text: str, told: str) -> None:
    """Raise `InputError` where nothing can be shared at a path or URL; `told` names the setting."""
    if problem := _remote(text):
        raise InputError(f"{told} names no remote:", [problem])


def is_archive(text: str) -> bool:
    """Whether it names one archive and no folder of them."""
    from matrix.compilecache.remote import SUFFIX

    if "://" in text:
        return text.partition("?")[0].endswith(SUFFIX)
    return text.endswith(SUFFIX) or Path(text).is_file()


def _mistakes(arguments: argparse.Namespace) -> Iterator[str]:
    given = {"FROM": arguments.source, "TO": arguments.target}
    for (word, text), find in zip(given.items(), _CHECKS[arguments.action], strict=False):
        problem = find(text) if text.strip() else "it is empty: name a folder, an archive or a URL"
        if problem:
            yield f"{word}: {problem}"
    if not arguments.python.strip():
        yield "--python: it is empty: name an interpreter, or leave it out"
    if len(arguments.label) > LABEL or not arguments.label.isprintable():
        yield f"--label: at most {LABEL} printable characters"


def _folder(text: str) -> str:
    if "://" in text:
        return _not_here(text)
    return "" if Path(text).is_dir() else f"`{text}` is no folder: name the one the caches are in"


def _new_folder(text: str) -> str:
    return _not_here(text) if "://" in text else _in_the_way(Path(text))


def _new_archive(text: str) -> str:
    if "://" in text:
        return f"{_not_here(text)}; `push` brings compiled code to a URL"
    folder = Path(text).parent
    return "" if folder.is_dir() else f"`{folder}` is no folder: make it first"


def _remote(text: str) -> str:
    from matrix.compilecache.remote import refusal

    return refusal(text) if "://" in text else _in_the_way(Path(text))


def _archives(text: str) -> str:
    from matrix.compilecache.remote import refusal

    if "://" in text:
        return refusal(text)
    missing = is_archive(text) and not Path(text).exists()
    return f"there is no file `{text}`: name an archive, or a folder of them" * missing


def _not_here(text: str) -> str:
    from matrix.incoming import shown

    return f"`{shown(text)}` is a URL, and here it has to be a path on this machine"


def _in_the_way(path: Path) -> str:
    """Say where a folder cannot be, because it or one that it lies in is a file."""
    near = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    return "" if near.is_dir() else f"`{near}` is a file: name a folder"


_CHECKS: dict[str, tuple[Callable[[str], str], ...]] = {
    "pack": (_folder, _new_archive),
    "push": (_folder, _remote),
    "pull": (_remote, _new_folder),
    "verify": (_archives,),
}
