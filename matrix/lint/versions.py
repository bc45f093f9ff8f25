"""Comparisons of versions: which are made as text, and for which versions that is wrong."""

import ast
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from matrix import facts
from matrix.lint.findings import Finding, Level
from matrix.lint.kinds import Kind, Names, Scope, kind_of, own_nodes, variables

_ORDER: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
VERSIONS = re.compile(r"\b(__version__|torch\.version|metadata)\b|\bfrom torch import .*version")
"""What a file has that compares versions."""
_SWAPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*([abrc.+-][\w.+-]*)?")
_CALLED = {"cuda": "torch.version.cuda", "hip": "torch.version.hip"}


def compared(tree: ast.Module, names: Names, path: Path) -> Iterator[Finding]:
    """Findings of all comparisons of a file."""
    yield from _in_scope(tree, names, path)


def _in_scope(scope: Scope, outer: Names, path: Path) -> Iterator[Finding]:
    names = Names(imports=outer.imports, kinds=variables(scope, outer))
    for node in own_nodes(scope):
        if isinstance(node, Scope):
            yield from _in_scope(node, names, path)
        elif isinstance(node, ast.Call):
            if found := _begins(node, names):
                yield _finding(path, node, *found)
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, how, right in zip(sides, node.ops, sides[1:], strict=False):
                for one, other, swapped in ((left, right, False), (right, left, True)):
                    if (kind := kind_of(one, names)) is not None:
                        found = _compared(kind, how, other, swapped=swapped, names=names)
                        if found:
                            yield _finding(path, node, *found)
                            break


Found = tuple[str, Level, str, str]


def _compared(
    kind: Kind, how: ast.cmpop, other: ast.expr, *, swapped: bool, names: Names
) -> Found | None:
    """What is wrong with one comparison, or None."""
    if kind.shape == "torch-version":
        return _labelled(how, other, swapped=swapped)
    theirs = kind_of(other, names)
    if type(how) not in _ORDER or (theirs and theirs.shape == "torch-version"):
        return None  # a TorchVersion takes the comparison over, whichever side it is on
    sign = _ORDER[type(how)][0]
    sign = _SWAPPED[sign] if swapped else sign
    wanted = _texts(other)
    if kind.shape == "parts":
        return _parts(kind, wanted) if wanted else None
    if theirs:
        return _of_two(kind, theirs)
    is_one = len(wanted) == 1 and isinstance(other, ast.Constant)
    return _as_text(kind, sign, wanted[0]) if is_one else None


def _of_two(kind: Kind, theirs: Kind) -> Found:
    """An order of two versions that are both plain text."""
    if {kind.of, theirs.of} == {"cuda", "hip"}:
        message = f"{_name(kind)} and {_name(theirs)} have no order: one or both are None"
        fix = "ask which one there is with `torch.version.hip is not None`"
        return "version-as-text", "error", message, fix
    message = f'{_name(kind)} is plain text, and so is {_name(theirs)}: "10" is below "9"'
    return "version-as-text", "warning", message, "compare each as a `packaging.version.Version`"


def _begins(node: ast.Call, names: Names) -> Found | None:
    """What is wrong with a `startswith`: "2.1" is how 2.10 begins, too."""
    if not (isinstance(node.func, ast.Attribute) and node.func.attr == "startswith" and node.args):
        return None
    kind = kind_of(node.func.value, names)
    if kind is None or kind.shape == "parts" or kind.is_component:
        return None
    known = published(kind)
    for wanted in _texts(node.args[0]):
        if not re.fullmatch(r"\d+(\.\d+)+", wanted):
            continue  # it ends in a dot or a label, or is a major version
        longer = [v for v in known if re.match(rf"{re.escape(wanted)}\d", kind.cut(v) or "")]
        tenth = re.fullmatch(r"\d+\.1", wanted) and kind.cut(f"{wanted}0")  # 2.90 hardly comes
        if longer or (tenth and tenth.startswith(wanted)):
            is_old = bool(known) and int(wanted.partition(".")[0]) < Version(known[-1]).major
            level: Level = "error" if longer else "note" if is_old else "warning"
            true_for = _listed(longer) if longer else tenth
            message = f'`startswith("{wanted}")` of {_name(kind)} is true for {true_for}, too'
            fix = f'end it with a dot, as in "{wanted}.", or {_fix(kind)}'
            return "version-as-text", level, message, fix
    return None


def _listed(versions: list[str]) -> str:
    return ", ".join(versions[:6]) + (", …" if len(versions) > 6 else "")  # noqa: PLR2004  a line


def _parts(kind: Kind, wanted: list[str]) -> Found:
    told = ", ".join(f'"{text}"' for text in wanted)
    message = f'parts of {_name(kind)} are compared with the texts {told}: "10" is below "9"'
    return "version-as-text", "warning", message, _fix(kind)


def _as_text(kind: Kind, sign: str, wanted: str) -> Found | None:
    """An order of text and text, whose answers can be looked at."""
    name = _name(kind)
    if not _VERSION.fullmatch(wanted):
        return None
    known = published(kind)
    wrong = [version for version in known if _differs(kind, version, sign, wanted)]
    if wrong:
        message = f'{name} {sign} "{wanted}" compares text and is wrong for {_listed(wrong)}'
        return "version-as-text", "error", message, _fix(kind)
    near = [version for version in _near(wanted) if _differs(kind, version, sign, wanted)]
    if not near:
        return None  # such as < "0": no version is there to be wrong about
    so_far = f"; right for every published one so far ({known[0]} to {known[-1]})" if known else ""
    message = f'{name} {sign} "{wanted}" compares text and would be wrong for {near[0]}{so_far}'
    major = wanted.partition(".")[0]
    is_far = all(len(v.partition(".")[0]) > len(major) for v in near)
    return "version-as-text", "note" if is_far else "warning", message, _fix(kind)


def _labelled(how: ast.cmpop, other: ast.expr, *, swapped: bool) -> Found | None:
    """A TorchVersion compared with text that has no local label, where the label decides."""
    told = {ast.Eq: "==", ast.NotEq: "!=", ast.In: "in", ast.NotIn: "not in"}
    wanted = [text for text in _texts(other) if re.fullmatch(r"\d+\.\d+\.\d+", text)]
    releases = [text for text in wanted if text in facts.builds()]
    if type(how) not in told or not releases or swapped:
        return None
    sign, some = told[type(how)], releases[0]
    message = (
        f"`torch.__version__ {sign} …` has {some}, and Linux wheels of it say {_label(some)}: "
        "they are not equal"
    )
    fix = "compare `packaging.version.Version(torch.__version__).release` or `.public`"
    return "version-label", "warning", message, fix


def _label(torch: str) -> str:
    """A release as its default build names itself."""
    return f"{torch}+{facts.default_variant(torch) or 'cpu'}"


def published(kind: Kind) -> list[str]:
    """Versions of this kind that torch was published with, ascending; none where nobody knows."""
    if kind.of == "torch":
        return [_label(torch) for torch in facts.builds() if facts.published(torch)]
    prefix = {"cuda": "cu", "hip": "rocm"}.get(kind.of)
    if prefix is None:
        return []
    variants = {v for torch in facts.builds() for v in facts.published(torch)}
    digits = (v.removeprefix(prefix) for v in variants if v.startswith(prefix))
    found = {f"{d[:-1]}.{d[-1]}" if prefix == "cu" else d for d in digits}
    return sorted(found, key=facts.natural)


def _differs(kind: Kind, version: str, sign: str, wanted: str) -> bool:
    """Whether text and version give different answers."""
    compare = next(function for known, function in _ORDER.values() if known == sign)
    text = kind.cut(version)
    if text is None:
        return False
    try:
        meant = Version(text if kind.is_component else version)
        right = compare(Version(meant.public), Version(wanted))
    except InvalidVersion:
        return False
    return bool(compare(text, wanted) != right)


def _near(wanted: str) -> Iterator[str]:
    """Versions with a digit less or more in one number of the wanted one, the last number first."""
    numbers = wanted.partition("+")[0].split(".")
    for place in reversed(range(len(numbers))):
        digits = len(numbers[place])
        for number in ("9" * (digits - 1), str(10**digits)):
            if number:
                yield ".".join((*numbers[:place], number, *numbers[place + 1 :]))


def _texts(node: ast.expr) -> list[str]:
    """Constant texts that look like versions: one, or those of a tuple, list or set."""
    items: Sequence[ast.expr] = [node]
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        items = node.elts
    values = [item.value for item in items if isinstance(item, ast.Constant)]
    texts = [value for value in values if isinstance(value, str) and _VERSION.fullmatch(value)]
    return texts if len(texts) == len(items) else []


def _name(kind: Kind) -> str:
    if kind.of in _CALLED:
        return f"`{_CALLED[kind.of]}`"
    part = "text of " if kind.of == "torch" or kind.steps else ""
    return f"{part}`{kind.of}.__version__`"


def _fix(kind: Kind) -> str:
    inner = _CALLED.get(kind.of, f"{kind.of}.__version__")
    return f"compare `packaging.version.Version({inner})` with a `Version`"


def _finding(
    path: Path, node: ast.expr, rule: str, level: Level, message: str, fix: str
) -> Finding:
    return Finding(
        path=path, line=node.lineno, column=node.col_offset + 1, rule=rule, level=level,
        message=message, fix=fix,
    )  # fmt: skip
