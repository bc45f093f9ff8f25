"""Constants of a Python package, read from its source text and never by importing it.

Enough of the language for lists of choices and type aliases: literals, names, imports followed
inside the package, sums of lists, members of classes. What is beyond that is `Unknown`.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Read = Callable[[str], str | None]
"""Text of a file of the package by its path (`sglang/srt/server_args.py`), or None."""
_DEPTH = 24  # of names that lead to names
_CONTAINERS: Mapping[str, Callable[[Any], list[Any]]] = {
    "list": list, "set": list, "tuple": list, "frozenset": list, "sorted": sorted,
}  # fmt: skip


class Unknown(Exception):  # noqa: N818  a value, not a fault: this cannot be told statically
    """The expression needs more than reading."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """What a module binds at its top level, also under `if` and `try`."""

    name: str
    values: dict[str, ast.expr] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Local name → (module, name there; "" for the module itself)."""


@dataclass(frozen=True, slots=True)
class Literals:
    """A `Literal[...]` type: its values."""

    values: tuple[object, ...]


class Package:
    """Modules of one package, parsed as they are asked for."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> Module | None:
        """A module by its dotted name; None for one that is not of the package."""
        if name not in self._modules:
            base = name.replace(".", "/")
            text, package = self._read(f"{base}.py"), False
            if text is None:
                text, package = self._read(f"{base}/__init__.py"), True
            self._modules[name] = None if text is None else _bindings(name, text, package=package)
        return self._modules[name]

    def find_class(self, name: str, module: Module) -> tuple[ast.ClassDef, Module]:
        """The class that a name means in a module, and where it is; raises `Unknown`."""
        for _ in range(_DEPTH):
            if name in module.classes:
                return module.classes[name], module
            module, name = self._follow(name, module)
        raise Unknown(name)

    def _follow(self, name: str, module: Module) -> tuple[Module, str]:
        """Where an imported name comes from; raises `Unknown`."""
        origin, original = module.imports.get(name, ("", ""))
        found = self.module(origin) if origin and original else None
        if found is None:
            raise Unknown(name)
        return found, original

    def evaluate(  # noqa: PLR0911  a form of expression each
        self,
        node: ast.expr,
        module: Module,
        local: Mapping[str, ast.expr] | None = None,
        depth: int = _DEPTH,
    ) -> Any:  # noqa: ANN401  whatever the constant is
        """The value of an expression, in a function with these locals; raises `Unknown`."""
        if depth <= 0:
            raise Unknown(ast.unparse(node))

        def value(part: ast.expr) -> Any:  # noqa: ANN401
            return self.evaluate(part, module, local, depth - 1)

        match node:
            case ast.Constant(value=constant):
                return constant
            case ast.List(elts=elts) | ast.Tuple(elts=elts) | ast.Set(elts=elts):
                return [x for part in elts for x in _spread(part, value)]
            case ast.Dict(keys=keys):
                return {value(key): None for key in keys if key is not None}
            case ast.BinOp(op=ast.Add() | ast.BitOr(), left=left, right=right):
                return _sum(value(left), value(right), node)
            case ast.Name(id=name):
                return self._name(name, module, local or {}, depth)
            case ast.Attribute(value=owner, attr=attr):
                return self._attribute(owner, attr, module, depth)
            case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
                parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
                return Literals(tuple(x for part in parts for x in _flat(value(part))))
            case ast.Call(func=ast.Name(id=name), args=[arg]) if name in _CONTAINERS:
                return _CONTAINERS[name](value(arg))
            case ast.Call(func=ast.Name(id="get_args"), args=[arg]):
                return list(_flat(value(arg)))
            case ast.Call(func=ast.Attribute(value=owner, attr="keys" | "copy"), args=[]):
                return value(owner)
            case ast.Call(func=ast.Name(id=name), args=[]) if name in module.functions:
                return self._result(module.functions[name], module, depth)
            case _:
                raise Unknown(ast.unparse(node))

    def _name(self, name: str, module: Module, local: Mapping[str, ast.expr], depth: int) -> Any:  # noqa: ANN401
        if depth <= 0:
            raise Unknown(name)
        if name in local:
            # a local may be made from a global of the same name
            rest = {key: node for key, node in local.items() if key != name}
            return self.evaluate(local[name], module, rest, depth - 1)
        if name in module.values:
            return self.evaluate(module.values[name], module, None, depth - 1)
        if name in module.classes:
            return enum_values(module.classes[name])
        found, original = self._follow(name, module)
        return self._name(original, found, {}, depth - 1)

    def _attribute(self, owner: ast.expr, attr: str, module: Module, depth: int) -> Any:  # noqa: ANN401
        if not isinstance(owner, ast.Name):
            raise Unknown(ast.unparse(owner))
        origin, original = module.imports.get(owner.id, ("", "?"))
        if not original and (found := self.module(origin)):  # `import package.module as owner`
            return self._name(attr, found, {}, depth - 1)
        owned, home = self.find_class(owner.id, module)
        fields = dict(_assigned(owned.body))
        if attr not in fields:
            raise Unknown(f"{owner.id}.{attr}")
        return self.evaluate(fields[attr], home, fields, depth - 1)

    def _result(self, function: ast.FunctionDef, module: Module, depth: int) -> Any:  # noqa: ANN401
        """What a function's last line returns, with the imports in its body."""
        last = function.body[-1]
        if not isinstance(last, ast.Return) or last.value is None:
            raise Unknown(function.name)
        inner = _bind(module.name, function.body, package=False)
        merged = Module(
            name=module.name,
            values=module.values,
            classes=module.classes,
            functions=module.functions,
            imports=module.imports | inner.imports,
        )
        return self.evaluate(last.value, merged, dict(_assigned(function.body)), depth - 1)


def enum_values(owner: ast.ClassDef) -> list[str]:
    """Names of the members of an enumeration; raises `Unknown` for another class."""
    if not any("Enum" in ast.unparse(base) for base in owner.bases):
        raise Unknown(owner.name)
    return [name for name, _ in _assigned(owner.body) if not name.startswith("_")]


def _spread(part: ast.expr, value: Callable[[ast.expr], Any]) -> Iterator[object]:
    if isinstance(part, ast.Starred):
        yield from value(part.value)
    else:
        yield value(part)


def _flat(value: object) -> Iterator[object]:
    """Values of a type or of one of its parts: `Literal["a", Other]`."""
    if isinstance(value, Literals):
        yield from value.values
    else:
        yield value


def _sum(left: object, right: object, node: ast.expr) -> object:
    if isinstance(left, list) and isinstance(right, list):
        return [*left, *(x for x in right if x not in left)]
    if isinstance(left, str) and isinstance(right, str) and isinstance(node, ast.BinOp):
        return left + right
    raise Unknown(ast.unparse(node))


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for line in body:
        match line:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                pass


def assigned(function: ast.FunctionDef) -> dict[str, ast.expr]:
    """What a function binds at the level of its body."""
    return dict(_assigned(function.body))


def _bindings(name: str, text: str, *, package: bool) -> Module:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # of a newer Python, or none
        body = []
    return _bind(name, body, package=package)


def _bind(name: str, body: list[ast.stmt], *, package: bool) -> Module:
    module = Module(name=name)
    module.values.update(_assigned(list(_top(body))))
    for line in _top(body):
        match line:
            case ast.ClassDef():
                module.classes[line.name] = line
            case ast.FunctionDef():
                module.functions[line.name] = line
            case ast.ImportFrom():
                base = _origin(name, line, package=package)
                for alias in line.names:
                    module.imports.setdefault(alias.asname or alias.name, (base, alias.name))
            case ast.Import():
                for alias in line.names:
                    if alias.asname:
                        module.imports.setdefault(alias.asname, (alias.name, ""))
            case _:
                pass
    return module


def _origin(name: str, line: ast.ImportFrom, *, package: bool) -> str:
    """The module of `from .x import y`."""
    if not line.level:
        return line.module or ""
    parts = name.split(".")
    parts = parts[: len(parts) - line.level + package]
    return ".".join([*parts, line.module] if line.module else parts)


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, those under `if` and `try` too; of TYPE_CHECKING its first branch."""
    for line in body:
        match line:
            case ast.If(test=test):
                yield from _top(line.body)
                if "TYPE_CHECKING" not in ast.unparse(test):
                    yield from _top(line.orelse)
            case ast.Try():
                yield from _top([*line.body, *line.orelse])
            case _:
                yield line
