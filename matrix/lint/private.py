"""Names of torch that begin with `_`, used where nothing looks whether they are there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from matrix.lint.findings import Finding
from matrix.lint.kinds import Names, dotted

_ASKS = frozenset({"hasattr", "getattr", "find_spec", "parse", "Version", "version"})
_CAUGHT = frozenset({"ImportError", "ModuleNotFoundError", "AttributeError", "Exception"})


def may_use_private(text: str, names: Names) -> bool:
    """Whether a file's text has a private name of torch, or of what it imports from there."""
    aliases = [alias for alias, origin in names.imports.items() if _is_torch(origin)]
    if any(_first_private(names.imports[alias]) for alias in aliases):
        return True
    several = "|".join(map(re.escape, aliases))
    return bool(aliases and re.search(rf"\b(?:{several})\b[\w.]*\._[A-Za-z]", text))


def private(tree: ast.Module, names: Names, path: Path) -> Iterator[Finding]:
    """A note for each private name of a file, where it stands first without a guard."""
    seen: set[str] = set()
    for node, name in _uses(tree, names):
        short = _first_private(name)
        if short and short not in seen:
            seen.add(short)
            yield Finding(
                path=path,
                line=node.lineno,
                column=node.col_offset + 1,
                rule="private-api",
                level="note",
                message=f"`{short}` is private: any release of torch may change it or drop it",
                fix="guard it by version, `hasattr` or `try`, or say which torch it was tried with",
            )


def _uses(node: ast.AST, names: Names) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Outermost attribute chains and imports of torch that no guard is around."""
    if isinstance(node, ast.Try) and _catches(node):
        guarded: list[ast.AST] = [*node.orelse, *node.finalbody]
    elif isinstance(node, ast.If | ast.IfExp) and _looks(node.test, names):
        guarded = []
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from ((node, f"{node.module}.{name.name}") for name in node.names)
        return
    elif isinstance(node, ast.Import):
        yield from ((node, name.name) for name in node.names)
        return
    elif isinstance(node, ast.Attribute) and (name := dotted(node, names)):
        yield node, name
        return
    else:
        guarded = list(ast.iter_child_nodes(node))
    for child in guarded:
        yield from _uses(child, names)


def _catches(node: ast.Try) -> bool:
    """Whether a missing name would be caught."""
    kinds = [handler.type for handler in node.handlers]
    found = {n.id for kind in kinds if kind for n in ast.walk(kind) if isinstance(n, ast.Name)}
    return None in kinds or bool(found & _CAUGHT)


def _looks(test: ast.expr, names: Names) -> bool:
    """Whether a condition asks for a version, or whether a name is there."""
    for node in ast.walk(test):
        if isinstance(node, ast.Name | ast.Attribute):
            last = node.id if isinstance(node, ast.Name) else node.attr
            full = dotted(node, names)
            if last in _ASKS or "version" in last.lower() or "version" in full.lower():
                return True
            if "torch" in last.lower() and any(c.isdigit() for c in last):
                return True  # such as `is_torch_greater_2_6` or `TORCH_2_9`
    return False


def _is_torch(name: str) -> bool:
    return name == "torch" or name.startswith("torch.")


def _first_private(name: str) -> str:
    """`torch.x._y` of `torch.x._y.z`; "" where nothing of torch is private in it."""
    parts = name.split(".")
    if not _is_torch(name):
        return ""
    for number, part in enumerate(parts):
        if part.startswith("_") and not part.startswith("__"):
            return ".".join(parts[: number + 1])
    return ""
