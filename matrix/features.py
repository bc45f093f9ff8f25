"""The features that test files declare, read from their source: neither torch nor pytest is needed.

What a test passes to `@feature` is taken where it is a literal, a constant of its module, or a list
of such; what must be run to be known, as refusals often are, is only counted.
"""

import ast
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matrix import resources
from matrix.errors import InputError

SUITES = {"feature": "feature", "workload": "throughput"}
"""What a test is declared as, and which of our own suites has such tests."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A test of a feature: its function's name, and the first sentence of its docstring."""

    name: str
    doc: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """A row of the feature table, as its tests declare it; `refusals` counts the declarations."""

    id: str
    group: str
    title: str
    purpose: str
    needs: tuple[str, ...]
    refusals: int
    tests: tuple[Case, ...]


def catalogue(*places: Path, declared: str = "feature") -> tuple[Feature, ...]:
    """The features of folders or files of tests, by group and id; without any: our own.

    Or the workloads, where that is what tests are `declared` as. Raises `InputError` for a file
    that is no Python.
    """
    found: dict[str, Feature] = {}
    own = [resources.suite_tests(SUITES[declared])]
    for path in itertools.chain(*map(resources.files_under, places or own)):
        if path.match("test_*.py") or path.match("*_test.py"):
            for one in _features(path, declared):
                found[one.id] = _merged(found[one.id], one) if one.id in found else one
    return tuple(sorted(found.values(), key=lambda one: (one.group, one.id)))


def group_of(file: str) -> str:
    """The group of features that a file of tests is about: `test_fp8.py` → `fp8`."""
    return Path(file).stem.removeprefix("test_")


def _merged(one: Feature, other: Feature) -> Feature:
    return replace(
        one,
        title=one.title or other.title,
        purpose=one.purpose or other.purpose,
        needs=tuple(dict.fromkeys((*one.needs, *other.needs))),
        refusals=max(one.refusals, other.refusals),
        tests=(*one.tests, *other.tests),
    )


def _features(path: Path, declared: str) -> Iterator[Feature]:
    try:
        module = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        raise InputError(f"`{path}` cannot be read:", [str(error)]) from error
    names = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for call in _declarations(declared, node.decorator_list, names):
                one = _feature(call, node, names, group_of(path.name))
                if one:
                    yield one


def _declarations(
    name: str, decorators: Sequence[ast.expr], names: Mapping[str, ast.expr]
) -> Iterator[ast.Call]:
    """The calls of `name` that decorate a test, or that mark sets of its parameters."""
    for decorator in decorators:
        if call := _called(name, decorator, names):
            yield call
        elif call := _called("parametrize", decorator, names):
            given = _given(call, "argnames", "argvalues")
            for values in _items(given.get("argvalues"), names):
                if one := _called("param", values, names):
                    marks = _items(_given(one).get("marks"), names)
                    yield from filter(None, (_called(name, m, names) for m in marks))


def _called(name: str, node: ast.expr, names: Mapping[str, ast.expr]) -> ast.Call | None:
    """The call of `name` that an expression is, or that the constant it names was made by."""
    made = _resolved(node, names)
    if not isinstance(made, ast.Call):
        return None
    called = made.func.attr if isinstance(made.func, ast.Attribute) else ""
    called = made.func.id if isinstance(made.func, ast.Name) else called
    return made if called == name else None


def _given(call: ast.Call, *order: str) -> dict[str, ast.expr]:
    """The arguments of a call by their names; those without one are named in order."""
    given = dict(zip(order, call.args, strict=False))
    return given | {word.arg: word.value for word in call.keywords if word.arg}


def _feature(
    call: ast.Call,
    test: ast.FunctionDef | ast.AsyncFunctionDef,
    names: Mapping[str, ast.expr],
    group: str,
) -> Feature | None:
    given = _given(call, "id", "title")
    texts = {name: _text(given.get(name), names) for name in ("id", "title", "purpose")}
    if not texts["id"]:
        return None
    doc = (ast.get_docstring(test) or "").partition("\n\n")[0]
    return Feature(
        id=texts["id"],
        group=group,
        title=texts["title"],
        purpose=texts["purpose"],
        needs=tuple(filter(None, (_text(n, names) for n in _items(given.get("needs"), names)))),
        refusals=len(_items(given.get("refusals"), names)),
        tests=(Case(name=test.name, doc=" ".join(doc.split())),),
    )


def _resolved(node: ast.expr | None, names: Mapping[str, ast.expr]) -> ast.expr | None:
    """What a name of the module stands for, else the expression itself."""
    for _ in range(8):  # a name of a name …, but not for ever
        if not isinstance(node, ast.Name) or node.id not in names:
            break
        node = names[node.id]
    return node


def _text(node: ast.expr | None, names: Mapping[str, ast.expr]) -> str:
    """The text of an expression; nothing where it cannot be told without running it."""
    node = _resolved(node, names)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _items(node: ast.expr | None, names: Mapping[str, ast.expr]) -> list[ast.expr]:
    """The members of a list; what `*` adds is looked up, and is one member where it cannot be."""
    node = _resolved(node, names)
    if not isinstance(node, ast.List | ast.Tuple):
        return [] if node is None else [node]
    found: list[ast.expr] = []
    for item in node.elts:
        found += _items(item.value, names) if isinstance(item, ast.Starred) else [item]
    return found
