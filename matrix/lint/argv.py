"""Launches of serving engines that a Python file writes as a list of words."""

import ast
from collections.abc import Iterator

from matrix.lint.launches import Given, Launch, engine_at, flags_in


def written(tree: ast.Module) -> Iterator[Launch]:
    """The launches in lists and tuples of words, such as the first argument of `subprocess.run`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple):
            words = [_text(item) for item in node.elts]
            for place in range(len(words)):
                is_module = words[place - 1 : place] == ["-m"]
                found = engine_at(words, place)
                if found and (is_module or found[1] == place + 2):
                    engine, first = found
                    name, items = node.elts[place], node.elts[first:]
                    given = (
                        Given(flag, items[n].lineno, items[n].col_offset + 1)
                        for n, flag in flags_in(words[first:])
                    )
                    yield Launch(
                        engine=engine,
                        line=name.lineno,
                        column=name.col_offset + 1,
                        flags=tuple(given),
                    )
                    break


def _text(node: ast.expr) -> str:
    """The word of an item; of an f-string what stands before its first value; "" for all else."""
    if isinstance(node, ast.JoinedStr) and node.values:
        return f"{_text(node.values[0])}…"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
