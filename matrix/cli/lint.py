"""`lint`: mistakes of code and scripts that must work with more than one torch."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cli.printing import print_json
from matrix.errors import InputError

if TYPE_CHECKING:
    from matrix.lint.flags import Target
    from matrix.workspace import Workspace


def add_lint(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "find versions compared as text, private names of torch, and flags that are gone"
    parser = add("lint", lint_command, [], text)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
    parser.add_argument("--target", action="append", default=[], metavar="ENGINE==RELEASE",
                        help="what launch commands are for, such as sglang==0.5.23 "
                        "(default: the newest known)")  # fmt: skip
    parser.add_argument("--notes", action="store_true", help="print notes too, not only count them")


def lint_command(arguments: argparse.Namespace, workspace: "Workspace") -> int:
    """Print what was found; 1 where it is an error or a warning."""
    from matrix.lint.files import lint

    del workspace
    targets = _targets(arguments.target)
    missing = [f"no such file or folder: `{p}`" for p in arguments.paths if not p.exists()]
    if missing:
        raise InputError("nothing can be read there:", missing)
    report = lint(arguments.paths, targets)
    counts = Counter(finding.level for finding in report.findings)
    bad = report.of("error", "warning")
    if arguments.json:
        print_json({
            "findings": [asdict(finding) for finding in report.findings],
            "counts": counts,
            "files": report.read,
            "unread": report.unread,
            "bounded": report.bounded,
        })  # fmt: skip
    for finding in () if arguments.json else report.findings if arguments.notes else bad:
        place = f"{finding.path}:{finding.line}:{finding.column}"
        print(f"{place}: {finding.level} {finding.rule}: {finding.message}; {finding.fix}")
    for problem in report.unread:
        print(f"not read: {problem}", file=sys.stderr)
    for limit in report.bounded:
        print(f"private names are not looked for: {limit} excludes new releases", file=sys.stderr)
    told = ", ".join(f"{counts[level]} {level}(s)" for level in ("error", "warning", "note"))
    print(f"{told} in {report.read} file(s), {len(report.unread)} not read", file=sys.stderr)
    return errors.NEW_WRONG if bad else errors.OK


def _targets(texts: list[str]) -> "tuple[Target, ...]":
    """One target for each engine; raises `InputError` for those without facts."""
    from matrix.facts.flags import releases
    from matrix.lint.flags import LAUNCHES, Target, newest
    from matrix.schema import hint

    found = {engine: newest(engine) for engine in LAUNCHES}
    problems = []
    for text in texts:
        engine, _, release = text.partition("==")
        if engine not in found:
            problems.append(f"no flags are known of `{engine}`; {hint(engine, list(found))}")
        elif release not in releases(engine):
            last = newest(engine)
            problems.append(f"no flags are known of {engine} `{release}`; the newest is {last}")
        else:
            found[engine] = release
    if problems:
        raise InputError("--target:", problems)
    return tuple(Target(engine=engine, release=release) for engine, release in found.items())
