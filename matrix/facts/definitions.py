"""The flags that a serving engine's release defines, read from its source files. Pure.

Three ways to define them are read: calls of `add_argument`; SGLang's annotated fields
(`A[type, Arg(...)]`, from 0.5.16); vLLM's dataclasses (`get_kwargs(ModelConfig)`, from 0.8.5).
Source of the rules: sglang `srt/arg_groups/arg_utils.py`, vllm `engine/arg_utils.py`.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from matrix.facts.annotations import Field, dataclass_fields, leaves, shape_of_sglang, shape_of_vllm
from matrix.facts.flags import Flag, Number, Takes
from matrix.facts.static import Module, Package, Read, Unknown, assigned

_PLACES = {
    "sglang": ("sglang.srt.server_args",),
    "vllm": (
        "vllm.engine.arg_utils",
        "vllm.entrypoints.openai.cli_args",  # to 0.28
        "vllm.entrypoints.launchers.cli_args",  # to 0.32
        "vllm.entrypoints.common.cli_args",
    ),
}
_NUMBERS: tuple[Number, ...] = ("", "?", "+", "*")
_TYPES: Mapping[str, Takes] = {
    "int": "int", "float": "float", "str": "str", "human_readable_int": "int",
    "nullable_str": "str", "optional_str": "str", "optional_int": "int", "json.loads": "json",
}  # fmt: skip
_DEPRECATED = re.compile(
    r"\W*(deprecated|removed)\b|\W*note:[^.]*deprecated|\W*--[\w-]+[^.]* (is|are) deprecated",
    re.IGNORECASE,
)
_FLAG = re.compile(r"--[a-z][\w-]*[a-z0-9]")


def read_flags(engine: str, read: Read) -> tuple[Flag, ...]:
    """All flags of a release, by name; none where not all of its files can be read."""
    package = Package(read)
    found: dict[str, Flag] = {}
    modules = [module for place in _PLACES[engine] if (module := package.module(place))]
    try:
        for flag in (flag for module in modules for flag in _defined(package, module)):
            found.setdefault(flag.name, flag)
    except Unknown:  # a part would look like flags that went
        return ()
    return tuple(found[name] for name in sorted(found))


def _defined(package: Package, module: Module) -> Iterator[Flag]:
    owners = [module.classes[name] for name in module.classes if name.endswith("Args")]
    methods = [f for owner in owners for f in owner.body if isinstance(f, ast.FunctionDef)]
    functions = [*methods, *module.functions.values()]
    changed = {pair for function in functions for pair in _changed(function)}
    for function in functions:
        yield from _added(package, module, function, changed)
    if "ServerArgs" in module.classes:
        for owner, home in _namespaces(package, module):
            for line in owner.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield from _annotated(package, home, line.target.id, line.annotation)


def _namespaces(package: Package, module: Module) -> Iterator[tuple[ast.ClassDef, Module]]:
    """ServerArgs, and from 0.5.20 on the classes it collects its fields from."""
    yield module.classes["ServerArgs"], module
    match module.values.get("_INPUT_NAMESPACES"):
        case ast.List(elts=elts):
            for node in elts:
                if isinstance(node, ast.Name):
                    yield package.find_class(node.id, module)
        case _:
            pass


def _annotated(package: Package, module: Module, name: str, annotation: ast.expr) -> Iterator[Flag]:
    """`name: A[type, Arg(...)]` or `name: A[type, "help"]`; others are no flags."""
    match annotation:
        case ast.Subscript(
            value=ast.Name(id="A" | "Annotated"), slice=ast.Tuple(elts=[kind, *told])
        ):
            pass
        case _:
            return
    given: dict[str, ast.expr] | None = None
    for part in told:
        match part:
            case ast.Call(func=ast.Name(id="Arg"), keywords=keywords):
                given = {k.arg: k.value for k in keywords if k.arg}
                break
            case ast.Call(func=ast.Name(id="NS" | "Derived")):
                continue
            case _:
                given = {"help": part}
                break
    if given is None or _constant(package, module, given.get("no_cli"), default=False):
        return
    flag = _constant(package, module, given.get("cli_name")) or f"--{name.replace('_', '-')}"
    aliases = _constant(package, module, given.get("aliases")) or []
    extra = given.get("action_kwargs")
    if isinstance(extra, ast.Dict):
        given |= {str(_constant(package, module, k)): v
                  for k, v in zip(extra.keys, extra.values, strict=True) if k}  # fmt: skip
    if "type_parser" in given:
        given["type"] = given["type_parser"]
    shape = shape_of_sglang(list(leaves(kind, module, package)), parsed="type" in given)
    yield from _flags([flag, *aliases], given, shape, package, module, {})


def _added(
    package: Package, module: Module, function: ast.FunctionDef, changed: set[tuple[str, str]]
) -> Iterator[Flag]:
    """Flags of the calls of `add_argument` in a function; of `changed` fields not all is known."""
    local = assigned(function)
    tables = _tables(package, module, function)
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=args, keywords=keywords):
                values = [a.value for a in args if isinstance(a, ast.Constant)]
                names = [v for v in values if isinstance(v, str) and v.startswith("-")]
                if any(name.startswith("--") for name in names):
                    starred = (_starred(k.value, tables) for k in keywords if k.arg is None)
                    field = next(filter(None, starred), None)
                    shape = shape_of_vllm(field.leaves) if field else None
                    given = {k.arg: k.value for k in keywords if k.arg}
                    yield from _flags(names, given, shape, package, module, local)
            case ast.For(iter=ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="items"))):
                for one in tables.get(table, {}).values():
                    known = (table, one.name) not in changed
                    shape = shape_of_vllm(one.leaves) if known else ("other", "*", (), False)
                    name = f"--{one.name.replace('_', '-')}"
                    yield from _flags([name], {}, shape, package, module, {})
            case _:
                pass


def _tables(
    package: Package, module: Module, function: ast.FunctionDef
) -> dict[str, dict[str, Field]]:
    """`model_kwargs = get_kwargs(ModelConfig)` → fields of the class by name."""
    found: dict[str, dict[str, Field]] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="get_kwargs"), args=[ast.Name(id=owner)]),
            ):
                # a method of the server's arguments reads its own class
                owner = "FrontendArgs" if owner == "cls" else owner
                found[name] = {one.name: one for one in _fields(package, module, owner)}
            case _:
                pass
    return found


def _fields(package: Package, module: Module, owner: str) -> list[Field]:
    try:
        return list(dataclass_fields(owner, module, package))
    except Unknown:
        return []


def _changed(function: ast.FunctionDef) -> set[tuple[str, str]]:
    """(table, field) whose arguments the function changes before it uses them."""
    found = set()
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Subscript(value=ast.Subscript(
                    value=ast.Name(id=table), slice=ast.Constant(value=name)))]):  # fmt: skip
                found.add((table, str(name)))
            case _:
                pass
    return found


def _starred(node: ast.expr, tables: Mapping[str, Mapping[str, Field]]) -> Field | None:
    """The field of `**model_kwargs["dtype"]`, also inside `**{**…, "default": None}`."""
    match node:
        case ast.Subscript(value=ast.Name(id=table), slice=ast.Constant(value=str() as name)):
            return tables.get(table, {}).get(name)
        case ast.Dict(keys=keys, values=values):
            inner = [v for k, v in zip(keys, values, strict=True) if k is None]
            return next(filter(None, (_starred(v, tables) for v in inner)), None)
        case _:
            return None


Shape = tuple[Takes, Number, tuple[str, ...], bool]


def _flags(
    names: list[str], given: Mapping[str, ast.expr], shape: Shape | None,
    package: Package, module: Module, local: Mapping[str, ast.expr],
) -> Iterator[Flag]:  # fmt: skip
    """The flag that these names and keywords define; two where `--no-…` comes with it."""
    takes, number, values, closed = shape or ("str", "", (), False)
    action = _action(given.get("action"))
    paired = takes == "nothing" and number == "?"  # BooleanOptionalAction, from an annotation
    number = "" if paired else number
    if "type" in given:
        takes = _TYPES.get(ast.unparse(given["type"]), "other")
    if "nargs" in given:
        wanted = _constant(package, module, given["nargs"])
        number = next((n for n in _NUMBERS if n == wanted), "" if wanted is None else "*")
    if "choices" in given:
        told = _constant(package, module, given["choices"], local=local)
        if isinstance(told, list | dict):
            values, closed = tuple(str(v) for v in told if v is not None), True
        elif not values:
            closed = False
    if action in {"store_true", "store_false", "store_const", "count", "help", "version"} or (
        action.startswith("Deprecated") and action != "DeprecatedAliasStoreAction"
        and "nargs" not in given
    ):  # fmt: skip
        takes, number, values, closed = "nothing", "", (), False
    paired = paired or action == "BooleanOptionalAction"
    if paired:
        takes, number, values, closed = "nothing", "", (), False
    help_ = str(_constant(package, module, given.get("help"), local=local) or "")
    new = _constant(package, module, given.get("new_flag"))
    old = action.startswith("Deprecated") or bool(_DEPRECATED.match(help_)) or bool(
        _constant(package, module, given.get("deprecated"), default=False))  # fmt: skip
    refused = "error_message" in given or _raises(package, module, action)
    long = [name for name in names if name.startswith("--")]
    flag = Flag(
        name=long[0],
        aliases=tuple(name for name in names if name != long[0]),
        takes=takes,
        number=number,
        values=tuple(v for v in values if v and not v.isspace() and " " not in v),
        closed=closed,
        status="" if not old else "refused" if refused else "deprecated",
        instead=_instead(str(new or ""), help_, long) if old else "",
    )
    yield flag
    if paired:
        yield Flag(name=f"--no-{long[0][2:]}", takes="nothing", status=flag.status,
                   instead=flag.instead)  # fmt: skip


def _raises(package: Package, module: Module, action: str) -> bool:
    """Whether an action of the package does nothing but raise."""
    try:
        owner, _ = package.find_class(action, module)
    except Unknown:
        return False
    calls = [f for f in owner.body if isinstance(f, ast.FunctionDef) and f.name == "__call__"]
    return any(isinstance(line, ast.Raise) for call in calls for line in call.body)


def _instead(new: str, help_: str, own: list[str]) -> str:
    """What the definition says to use: its own word for it, else the first flag that it names."""
    return new or next((name for name in _FLAG.findall(help_) if name not in own), "")


def _action(node: ast.expr | None) -> str:
    match node:
        case ast.Constant(value=str() as name):
            return name
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _constant(
    package: Package,
    module: Module,
    node: ast.expr | None,
    *,
    default: object = None,
    local: Mapping[str, ast.expr] | None = None,
) -> Any:  # noqa: ANN401  whatever the constant is
    if node is None:
        return default
    try:
        return package.evaluate(node, module, local)
    except (Unknown, TypeError):
        return default
