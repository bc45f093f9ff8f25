"""What an expression is, as far as versions go: torch's own kind, plain text, or parts of it."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Shape = Literal["torch-version", "text", "parts"]
_CUTS = frozenset({"split", "rsplit", "partition", "rpartition"})
_KEEPS = frozenset(
    {"strip", "lstrip", "rstrip", "replace", "removesuffix", "removeprefix", "lower"}
)
_TEXTS = frozenset({"cuda", "hip", "rocm", "__version__"})  # of torch.version
UNKNOWN = "?"
Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A version: `of` torch, cuda, hip, or another package, and the `steps` that cut it.

    A step is a method of text and its arguments, or `[]` and an index or the bounds of a slice.
    """

    shape: Shape
    of: str
    steps: tuple[tuple[object, ...], ...] = ()

    def cut(self, version: str) -> str | None:
        """What the steps leave of a version; None where that is not known."""
        value: Any = version
        try:
            for name, *arguments in self.steps:
                if name == "[]":
                    value = value[arguments[0] if len(arguments) == 1 else slice(*arguments)]
                else:
                    value = getattr(value, str(name))(*arguments)
        except (AttributeError, IndexError, TypeError, ValueError):
            return None
        return value if isinstance(value, str) else None

    @property
    def is_component(self) -> bool:
        """Whether it is one number of a version, not a version of its own."""
        return any(step[0] in _CUTS and step[1:2] != ("+",) for step in self.steps)


@dataclass(frozen=True, kw_only=True)
class Names:
    """What names mean in one scope: dotted origins of imports, and kinds of variables."""

    imports: Mapping[str, str]
    kinds: dict[str, Kind] = field(default_factory=dict)


def imports_of(tree: ast.Module) -> dict[str, str]:
    """Names that imports bind anywhere in a file, and the dotted name each stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                first = name.name.partition(".")[0]
                found[name.asname or first] = name.name if name.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for name in node.names:
                found[name.asname or name.name] = f"{node.module}.{name.name}"
    return found


def dotted(node: ast.expr, names: Names) -> str:
    """The full name of an attribute chain that begins with an import; "" for all else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names.imports:
        return ""
    return ".".join((names.imports[node.id], *reversed(parts)))


def kind_of(node: ast.expr, names: Names) -> Kind | None:
    """What an expression is; None where it is no version or nobody knows."""
    kind = None
    match node:
        case ast.Name(id=name) if name in names.kinds:
            kind = names.kinds[name]
        case ast.Name() | ast.Attribute():
            kind = _named(dotted(node, names))
        case ast.Subscript():
            kind = _item(node, names)
        case ast.Call(func=ast.Attribute(value=value)) if inner := kind_of(value, names):
            kind = _cut(node, inner)
        case ast.Call(args=[argument], keywords=[]):
            kind = _called(node, argument, names)
        case ast.JoinedStr(values=[ast.FormattedValue(value=value)]):
            kind = _text(kind_of(value, names))
        case ast.IfExp(body=body, orelse=other):
            kind = kind_of(body, names) or kind_of(other, names)
        case ast.BoolOp(values=[first, *_]):
            kind = kind_of(first, names)
    return kind


def variables(scope: Scope, names: Names) -> dict[str, Kind]:
    """Kinds of a scope's own variables that are always of one kind."""
    found: dict[str, Kind | None] = {}
    inner = Names(imports=names.imports, kinds=dict(names.kinds))
    for node in own_nodes(scope):
        for target, value in _bindings(node):
            kind = kind_of(value, inner) if value is not None else None
            if target in found and found[target] != kind:
                kind = None
            found[target] = kind
            if kind:
                inner.kinds[target] = kind
            else:
                inner.kinds.pop(target, None)
    for name in _parameters(scope):
        found[name] = None
    kinds = {n: k for n, k in names.kinds.items() if n not in found}
    return kinds | {n: k for n, k in found.items() if k}


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a scope in the order they are written, without those of scopes inside it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, Scope):
            yield from own_nodes(child)


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Names that a statement binds, with the value where it is one expression."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
            else:
                yield from _stored(target)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name):
        yield node.target.id, node.value
    elif isinstance(node, ast.AugAssign | ast.For | ast.AsyncFor | ast.comprehension):
        yield from _stored(node.target)
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield from _stored(node.optional_vars)
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from ((name, None) for name in node.names)


def _stored(target: ast.expr) -> Iterator[tuple[str, None]]:
    """Names in a target that gets more than one value, or changes the one it has."""
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, None


def _parameters(scope: Scope) -> Iterator[str]:
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        several = scope.args.posonlyargs, scope.args.args, scope.args.kwonlyargs
        for arguments in several:
            yield from (argument.arg for argument in arguments)


def _named(name: str) -> Kind | None:
    """A version by its full name."""
    module, _, last = name.rpartition(".")
    if name == "torch.__version__":
        return Kind(shape="torch-version", of="torch")
    if module == "torch.version" and last in _TEXTS:
        return Kind(shape="text", of="torch" if last == "__version__" else last)
    if last == "__version__" and module:
        return Kind(shape="text", of=module)
    return None


def _cut(node: ast.Call, inner: Kind) -> Kind | None:
    """What a method of text leaves of a version."""
    assert isinstance(node.func, ast.Attribute)  # it is a method
    method = node.func.attr
    if inner.shape == "parts" or method not in _CUTS | _KEEPS:
        return None
    shape: Shape = "parts" if method in _CUTS else "text"
    arguments = (_constant(argument) for argument in node.args)
    return replace(inner, shape=shape, steps=(*inner.steps, (method, *arguments)))


def _called(node: ast.Call, argument: ast.expr, names: Names) -> Kind | None:
    """What a function of one argument makes of a version."""
    name = dotted(node.func, names) or (node.func.id if isinstance(node.func, ast.Name) else "")
    if name in {"importlib.metadata.version", "importlib_metadata.version"}:
        package = argument.value if isinstance(argument, ast.Constant) else "a package"
        return Kind(shape="text", of=str(package))
    inner = kind_of(argument, names)
    if name in {"tuple", "list"}:
        return inner if inner and inner.shape == "parts" else None
    return _text(inner) if name == "str" else None


def _item(node: ast.Subscript, names: Names) -> Kind | None:
    inner = kind_of(node.value, names)
    if inner is None:
        return None
    if isinstance(node.slice, ast.Slice):
        bounds = tuple(_constant(b) for b in (node.slice.lower, node.slice.upper, node.slice.step))
        shape: Shape = "parts" if inner.shape == "parts" else "text"
        return replace(inner, shape=shape, steps=(*inner.steps, ("[]", *bounds)))
    return replace(inner, shape="text", steps=(*inner.steps, ("[]", _constant(node.slice))))


def _constant(node: ast.expr | None) -> object:
    """The value of a number, None for nothing, and what no index can be for all else."""
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNKNOWN


def _text(inner: Kind | None) -> Kind | None:
    """What is left of a version as text."""
    return replace(inner, shape="text") if inner and inner.shape != "parts" else None
