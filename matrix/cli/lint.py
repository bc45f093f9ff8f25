"""`lint`: mistakes of code and scripts that must work with more than one torch."""

import argparse
import re
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
    from matrix.lint.files import Report
    from matrix.lint.findings import Finding
    from matrix.lint.flags import Target
    from matrix.workspace import Workspace


def add_lint(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "find versions compared as text, private names of torch, and flags that are gone"
    parser = add("lint", lint_command, [], text)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
    parser.add_argument(
        "--target", action="append", default=[], metavar="ENGINE==RELEASE",
        help="what launch commands are for, such as sglang==0.5.23, one for each engine (default: "
        "the newest known); a command whose file names a release, as in `FROM "
        "vllm/vllm-openai:v0.9.2` or `pip install vllm==0.9.2`, is for that one in any case",
    )  # fmt: skip
    parser.add_argument("--notes", action="store_true", help="print notes too, not only count them")
    parser.epilog = (
        "exit code: 1 with an error or a warning; otherwise 3 where no file was read, and 4 where "
        "some were not, or commands are for a release whose flags nobody knows"
    )


def lint_command(arguments: argparse.Namespace, workspace: "Workspace") -> int:
    """Print what was found; 1 where it is an error or a warning."""
    from matrix.lint.files import lint

    del workspace
    targets = _targets(arguments.target)
    problems = [_problem(path) for path in arguments.paths]
    if any(problems):
        raise InputError("nothing can be read there:", list(filter(None, problems)))
    report = lint(arguments.paths, targets)
    if arguments.json:
        print_json({
            "findings": [asdict(finding) for finding in report.findings],
            "counts": Counter(finding.level for finding in report.findings),
            "files": report.read,
            "unread": report.unread,
            "unjudged": [asdict(finding) for finding in report.unjudged],
            "named": report.named,
            "bounded": report.bounded,
        })  # fmt: skip
    else:
        findings = report.findings if arguments.notes else report.of("error", "warning")
        for finding in findings:
            print(_line(finding))
    _summarize(report, has_targets=bool(arguments.target))
    return _exit_code(report)


def _problem(path: Path) -> str:
    """Why a path cannot be read, or ""."""
    if not path.exists():
        return f"no such file or folder: `{path}`"
    return "" if path.is_file() or path.is_dir() else f"neither a file nor a folder: `{path}`"


def _line(finding: "Finding") -> str:
    place = f"{finding.path}:{finding.line}:{finding.column}"
    return f"{place}: {finding.level} {finding.rule}: {finding.message}; {finding.fix}"


def _summarize(report: "Report", *, has_targets: bool) -> None:
    """Print what was not read or judged, and the counts last."""
    for problem in report.unread:
        print(f"not read: {problem}", file=sys.stderr)
    for finding in report.unjudged:
        print(_line(finding), file=sys.stderr)
    for limit in report.bounded:
        print(f"private names are not looked for: {limit} excludes new releases", file=sys.stderr)
    for launch in report.named if has_targets else ():
        print(f"judged by the release that the file names: {launch}", file=sys.stderr)
    levels = ("error", "warning", "note")
    told = ", ".join(f"{len(report.of(level))} {level}(s)" for level in levels)
    left = f"{len(report.unread)} not read, {len(report.unjudged)} command(s) not judged"
    code = _exit_code(report)
    verdict = {3: ": nothing was read", 4: ": unknown is not right"}.get(code, "")
    print(f"{told} in {report.read} file(s), {left}{verdict}", file=sys.stderr)


def _exit_code(report: "Report") -> int:
    """What is wrong decides; otherwise what was left out does."""
    if report.of("error", "warning"):
        return errors.NEW_WRONG
    if not report.read:
        return errors.NothingToRun.exit_code
    return errors.InfrastructureError.exit_code if report.unread or report.unjudged else errors.OK


def _targets(texts: list[str]) -> "tuple[Target, ...]":
    """One target for each engine; raises `InputError` for those without facts."""
    from matrix.facts.flags import ENGINES
    from matrix.lint.flags import Target, newest

    found = {engine: newest(engine) for engine in ENGINES}
    problems = []
    given: Counter[str] = Counter()
    for text in texts:
        engine, how, release = re.split(r"(\W+|$)", text, maxsplit=1)
        given[engine] += 1
        if problem := _misfit(engine, how, release):
            problems.append(problem)
        found[engine] = release
    problems += [f"{engine} has {n} targets; give one" for engine, n in given.items() if n > 1]
    if problems:
        raise InputError("--target:", problems)
    return tuple(Target(engine=engine, release=release) for engine, release in found.items())


def _misfit(engine: str, how: str, release: str) -> str:
    """What is wrong with a target, or ""."""
    from matrix.facts.flags import ENGINES, releases
    from matrix.lint.flags import newest
    from matrix.schema import hint

    if engine not in ENGINES:
        return f"no flags are known of `{engine}`; {hint(engine, list(ENGINES))}"
    last = newest(engine)
    if how != "==":
        return f"`{engine}{how}{release}` is no single release; write it as `{engine}=={last}`"
    if release not in releases(engine):
        return f"no flags are known of {engine} `{release}`; the newest is {last}"
    return ""
