"""Whether matrix.toml has the shape that `schema` gives it; `meaning` checks the rest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matrix.schema import SECTIONS, WAIVER, Key, Kind, hint


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_variants(value: object) -> bool:
    def one(item: object) -> bool:
        if isinstance(item, dict):
            return list(item) == ["first_available"] and _is_strings(item["first_available"])
        return isinstance(item, str)

    return isinstance(value, list) and all(one(item) for item in value)


def _is_waivers(value: object) -> bool:
    def one(item: object) -> bool:
        return (
            isinstance(item, dict)
            and set(item) == set(WAIVER)
            and all(isinstance(text, str) and text for text in item.values())
        )

    return isinstance(value, list) and all(one(item) for item in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CHECKS: Mapping[Kind, tuple[Callable[[object], bool], str]] = {
    "string": (lambda v: isinstance(v, str), "a string"),
    "strings": (_is_strings, "a list of strings"),
    "number": (_is_number, "a number"),
    "integer": (lambda v: _is_number(v) and isinstance(v, int), "an integer"),
    "boolean": (lambda v: isinstance(v, bool), "true or false"),
    "table": (
        lambda v: isinstance(v, dict) and all(isinstance(x, str) for x in v.values()),
        "a table of strings",
    ),
    "numbers": (
        lambda v: isinstance(v, dict) and all(map(_is_number, v.values())),
        "a table of numbers",
    ),
    "waivers": (_is_waivers, "a list of tables with select, feature and reason"),
    "variants": (_is_variants, "a list of variants or `{first_available = [...]}`"),
}


def _check_table(path: str, table: object, keys: Mapping[str, Key]) -> list[str]:
    if not isinstance(table, dict):
        return [f"{path}: expected a table, got {type(table).__name__}"]
    problems = [
        f"{path}.{name}: unknown key; {hint(name, keys)}" for name in table if name not in keys
    ]
    for name, spec in keys.items():
        if name not in table:
            if spec.required:
                problems.append(f"{path}.{name}: missing; it is {spec.doc}")
        elif not any(_CHECKS[kind][0](table[name]) for kind in spec.kind):
            problems += _mismatches(f"{path}.{name}", table[name], spec.kind)
    return problems


def _mismatches(path: str, value: object, kinds: Sequence[Kind]) -> list[str]:
    """Say what a value should be; of a table of numbers, each member that is none."""
    if "numbers" in kinds and isinstance(value, dict):
        wrong = {key: one for key, one in value.items() if not _is_number(one)}
        return [f"{path}.{key}: expected a number, got {one!r}" for key, one in wrong.items()]
    wanted = " or ".join(_CHECKS[kind][1] for kind in kinds)
    return [f"{path}: expected {wanted}, got {value!r}"]


def check(data: Mapping[str, object]) -> list[str]:
    """List what is wrong with the shape of a parsed matrix.toml, each with its TOML path."""
    problems = []
    for name, value in data.items():
        if name not in SECTIONS:
            problems.append(f"{name}: unknown section; {hint(name, list(SECTIONS))}")
            continue
        how, keys = SECTIONS[name]
        if how == "array":
            if not isinstance(value, list):
                problems.append(f"{name}: expected an array of tables, written [[{name}]]")
                continue
            for number, table in enumerate(value):
                problems += _check_table(f"{name}[{number}]", table, keys)
        elif how == "table":
            problems += _check_table(name, value, keys)
        elif not isinstance(value, dict):
            problems.append(f"{name}: expected tables, written [{name}.NAME]")
        else:
            for child, table in value.items():
                problems += _check_table(f"{name}.{child}", table, keys)
    return problems


def _sound_value(value: object, kinds: Sequence[Kind]) -> object:
    if "numbers" in kinds and isinstance(value, dict):
        return {key: one for key, one in value.items() if _is_number(one)}
    return value


def _sound_table(table: object, keys: Mapping[str, Key]) -> dict[str, Any] | None:
    if not isinstance(table, dict):
        return None
    told = {
        name: _sound_value(value, keys[name].kind) for name, value in table.items() if name in keys
    }
    sound = {
        name: value
        for name, value in told.items()
        if any(_CHECKS[kind][0](value) for kind in keys[name].kind)
    }
    return sound if all(name in sound for name, spec in keys.items() if spec.required) else None


def sound(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `check` has nothing against, so that its meaning can be checked all the same.

    Arrays keep a None for each table that cannot be read, so that indices still count.
    """
    found: dict[str, Any] = {}
    for name, (how, keys) in SECTIONS.items():
        if name not in data:
            continue
        value = data[name]
        if how == "array":
            tables = value if isinstance(value, list) else [None]
            found[name] = [_sound_table(table, keys) for table in tables]
        elif how == "table":
            found[name] = _sound_table(value, keys) or {}
        else:
            children = value.items() if isinstance(value, dict) else ()
            sound = {child: _sound_table(table, keys) for child, table in children}
            found[name] = {child: table for child, table in sound.items() if table is not None}
    return found
