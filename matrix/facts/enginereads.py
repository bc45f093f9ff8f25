"""What a serving engine's release reads besides flags: variables, default graph sizes. Pure.

Both are read statically from the release's files, as its flags are.
"""

import ast
from collections.abc import Iterator

from matrix.facts.graphdefaults import ALL, GraphDefault
from matrix.facts.static import Module, Package, Read, Unknown

_VARIABLES = {"sglang": "sglang.srt.environ", "vllm": "vllm.envs"}
_GRAPHS = ("sglang.srt.arg_groups.memory_hook", "sglang.srt.server_args")
_TARGETS = {"max_bs", "cuda_graph_max_bs"}


def read_variables(engine: str, read: Read) -> tuple[str, ...]:
    """Names of the environment variables that a release declares in one place, sorted."""
    module = Package(read).module(_VARIABLES[engine])
    if module is None:
        return ()
    prefix = f"{engine.upper()}_"
    match module.values.get("environment_variables"):
        case ast.Dict(keys=keys):
            names = {k.value for k in keys if isinstance(k, ast.Constant)}
        case _:
            names = {
                target.id
                for owner in module.classes.values()
                for line in owner.body
                if isinstance(line, ast.Assign) and isinstance(line.value, ast.Call)
                for target in line.targets
                if isinstance(target, ast.Name)
            }
    return tuple(sorted(n for n in names if isinstance(n, str) and n.startswith(prefix)))


def read_graph_defaults(read: Read) -> tuple[GraphDefault, ...]:
    """SGLang's table by memory and tensor parallel size; empty where it is not one chain of `if`.

    Before 0.5.3 it was spread over several places, which are not put together here.
    """
    package = Package(read)
    for place in _GRAPHS:
        module = package.module(place)
        for node in _chains(module) if module else ():
            if found := tuple(_chain(node)):
                return found
    return ()


def _chains(module: Module) -> Iterator[ast.If]:
    """Every `if` that is no `elif` of another: a chain counts as a whole or not at all."""
    owners = (*module.classes.values(), *module.functions.values())
    every = [node for owner in owners for node in ast.walk(owner) if isinstance(node, ast.If)]
    later = {id(node.orelse[0]) for node in every if len(node.orelse) == 1}
    yield from (node for node in every if id(node) not in later)


def _chain(node: ast.If) -> Iterator[GraphDefault]:
    """`if gpu_mem < A: … elif gpu_mem < B: … else: …`, each with a largest batch; else nothing."""
    found: list[GraphDefault] = []
    while True:
        if not _is_of_npus(node.test):
            bound = _below(node.test, "gpu_mem")
            sizes = list(_sizes(node.body))
            if bound is None or not sizes:
                return
            found += [GraphDefault(bound, tp, largest) for tp, largest in sizes]
        match node.orelse:
            case [ast.If() as node]:
                continue
            case last:
                sizes = list(_sizes(last))
                if sizes:
                    yield from [*found, *(GraphDefault(ALL, tp, size) for tp, size in sizes)]
                return


def _is_of_npus(test: ast.expr) -> bool:
    return isinstance(test, ast.BoolOp) and ast.unparse(test.values[0]) == "is_npu()"


def _sizes(body: list[ast.stmt]) -> Iterator[tuple[int, int]]:
    """(tensor parallel size below, largest batch) of a branch."""
    for line in body:
        match line:
            case ast.Assign(
                targets=[ast.Attribute(attr=attr)], value=ast.Constant(value=int() as n)
            ):
                if attr in _TARGETS:
                    yield ALL, n
            case ast.If(test=test) if (tp := _below(test, "tp_size")) is not None:
                yield from ((tp, size) for _, size in _sizes(line.body))
                yield from _sizes(line.orelse)
            case ast.If():
                yield from _sizes(line.body)
            case _:
                pass


def _below(test: ast.expr, name: str) -> int | None:
    """N of `name < N` or `x.name < N`, also behind `name is not None and`."""
    match test:
        case ast.BoolOp(op=ast.And(), values=[ast.Compare(ops=[ast.IsNot()]), second]):
            return _below(second, name)
        case ast.Compare(left=ast.Name(id=left) | ast.Attribute(attr=left), ops=[ast.Lt()],
                         comparators=[bound]) if left == name:  # fmt: skip
            return _number(bound)
        case _:
            return None


def _number(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _number(left) * _number(right)
        case _:
            raise Unknown(ast.unparse(node))
