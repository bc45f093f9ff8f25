"""Type annotations of a package's fields, read statically: what a flag made from one takes."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matrix.facts.flags import Number, Takes
from matrix.facts.static import Literals, Module, Package, Unknown, enum_values

Shape = tuple[Takes, Number, tuple[str, ...], bool]
_BUILTIN = ("bool", "int", "float", "str")
_SEQUENCES = {"list", "List", "tuple", "Tuple", "set", "Set", "Sequence"}
_INSIDE = {"Optional", "Annotated", "SkipValidation", "InitVar", "Required", "NotRequired"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part of a union: a builtin, none, literal, list, dict, record, enum, or other."""

    kind: str
    values: tuple[object, ...] = ()
    inner: tuple["Leaf", ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A field of a dataclass."""

    name: str
    leaves: tuple[Leaf, ...]


def dataclass_fields(owner: str, module: Module, package: Package) -> Iterator[Field]:
    """The fields of a class and of its bases in the package; raises `Unknown` if it has none."""
    node, home = package.find_class(owner, module)
    for base in node.bases:
        if isinstance(base, ast.Name):
            try:
                yield from dataclass_fields(base.id, home, package)
            except Unknown:  # a base of another package
                continue
    for line in node.body:
        match line:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind):
                if "ClassVar" not in ast.unparse(kind):
                    yield Field(name=name, leaves=tuple(leaves(kind, home, package)))
            case _:
                pass


def leaves(node: ast.expr, module: Module, package: Package, depth: int = 16) -> Iterator[Leaf]:
    """The parts of the union that an annotation is, its aliases followed."""
    if depth <= 0:
        yield Leaf("other")
        return

    def of(part: ast.expr) -> Iterator[Leaf]:
        return leaves(part, module, package, depth - 1)

    match node:
        case ast.Constant(value=None):
            yield Leaf("none")
        case ast.Constant(value=str() as text):
            yield from of(ast.parse(text, mode="eval").body)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            yield from of(left)
            yield from of(right)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=parts)):
            for part in parts:
                yield from of(part)
        case ast.Subscript(value=ast.Name(id="Literal")):
            yield _literal(node, module, package)
        case ast.Subscript(value=ast.Name(id=name), slice=inside):
            parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            if name in _INSIDE:
                yield from of(parts[0])
                yield from [Leaf("none")] * (name == "Optional")
            elif name in _SEQUENCES:
                yield Leaf("list", inner=tuple(of(parts[0])))
            else:
                yield Leaf("dict" if name in {"dict", "Dict", "Mapping"} else "other")
        case ast.Name(id=name):
            yield from _named(name, module, package, depth)
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in module.imports:
            there = package.module(module.imports[owner][0])
            yield from _named(name, there, package, depth) if there else (Leaf("other"),)
        case _:
            yield Leaf("other")


def _literal(node: ast.expr, module: Module, package: Package) -> Leaf:
    try:
        value = package.evaluate(node, module)
    except Unknown:
        return Leaf("other")
    return Leaf("literal", values=value.values if isinstance(value, Literals) else ())


def _named(name: str, module: Module, package: Package, depth: int) -> Iterator[Leaf]:
    if name in _BUILTIN or name in {"dict", "list"}:
        yield Leaf(name)
        return
    try:
        found, _ = package.find_class(name, module)
    except Unknown:
        place, original = module, name
        for _ in range(depth):
            if original in place.values:
                yield from leaves(place.values[original], place, package, depth - 1)
                return
            origin, original = place.imports.get(original, ("", ""))
            there = package.module(origin) if origin and original else None
            if there is None:
                break
            place = there
        yield Leaf("other")
        return
    try:
        yield Leaf("enum", values=tuple(enum_values(found)))
    except Unknown:
        record = any("dataclass" in ast.unparse(d) or "config" in ast.unparse(d)
                     for d in found.decorator_list)  # fmt: skip
        is_dict = any("dict" in ast.unparse(base).lower() for base in found.bases)
        yield Leaf("dict" if is_dict else "record" if record else "other")


def _values(leaf: Leaf) -> tuple[str, ...]:
    return tuple(str(v) for v in leaf.values)


def shape_of_sglang(union: Sequence[Leaf], *, parsed: bool) -> Shape:
    """What SGLang makes of a field's type; `parsed`: it has a parser of its own."""
    kinds = [leaf for leaf in union if leaf.kind != "none"]
    one = kinds[0] if len(kinds) == 1 else Leaf("other")
    match one.kind:
        case "literal":
            return _scalar(one), "", _values(one), True
        case "list" if not parsed:
            inner = one.inner[0] if one.inner else Leaf("str")
            return _scalar(inner), "+", (), False
        case "bool":
            return "nothing", "", (), False
        case "int" | "float" | "str":
            return one.kind, "", (), False
        case _:
            return "str", "", (), False


def shape_of_vllm(union: Sequence[Leaf]) -> Shape:  # noqa: PLR0911  a kind of type each
    """What vLLM's `get_kwargs` makes of a type; ("nothing", "?") is a pair with `--no-…`."""
    by = {leaf.kind: leaf for leaf in union}
    if "record" in by:
        return "json", "", (), False
    if set(by) == {"bool", "str", "none"}:
        return "str", "?", (), False
    if "bool" in by:
        return "nothing", "?", (), False
    if "literal" in by:
        merged = tuple(dict.fromkeys(v for leaf in union for v in _values(leaf)))
        return _scalar(by["literal"]), "", merged, "str" not in by
    if "list" in by:
        inner = by["list"].inner
        first = inner[0] if len(inner) == 1 else Leaf("str")
        return _scalar(first), "+", _values(first), first.kind == "literal"
    if "int" in by or "float" in by:
        return ("int" if "int" in by else "float"), "", (), False
    if "dict" in by:
        return ("other" if "str" in by else "json"), "", (), False
    return "str", "", _values(by["enum"]) if "enum" in by else (), False


def _scalar(leaf: Leaf) -> Takes:
    if leaf.kind == "literal":
        return "int" if all(isinstance(v, int) for v in leaf.values) else "str"
    return leaf.kind if leaf.kind in {"int", "float", "str"} else "str"  # type: ignore[return-value]
