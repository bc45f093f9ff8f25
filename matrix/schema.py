"""The keys of matrix.toml as data, for `shape`, for hints and for editors (JSON schema)."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

Kind = Literal[
    "string", "strings", "number", "integer", "boolean", "table", "numbers", "variants", "waivers"
]

BUILTIN_SUITES = ("feature", "throughput")
PYTHONS = ("3.11",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One key: its kind, what it is for, whether it must be there."""

    kind: tuple[Kind, ...]
    doc: str
    required: bool = False


def key(*kind: Kind, doc: str, required: bool = False) -> Key:
    """Shorten the tables below."""
    return Key(kind=kind, doc=doc, required=required)


TORCH = {
    "version": key(
        "string", "strings", doc="torch release or releases, as published", required=True
    ),
    "variants": key(
        "variants",
        doc='builds: `"cpu"`, `"cu130"`, `"rocm7.2"`, `"default"`, `"published"` or '
        '`{first_available = ["cpu", "default"]}`',
    ),
    "python": key("strings", doc='Python versions, such as "3.12" or "3.14t"'),
    "device": key("string", doc="where tests run: `cpu`, `cuda` or `rocm`; else the variant's own"),
}
COMPANION = {
    "package": key("string", doc="name of the package on the index", required=True),
    "version": key("string", "strings", doc="one more cell for each version", required=True),
    "torch": key("string", doc="only with these torch releases, a specifier such as `>=2.9`"),
}
EXCLUDE = {
    "select": key("string", doc="cells to leave out, a selection", required=True),
    "reason": key("string", doc="why, for the table", required=True),
}
IMAGES = {
    name: key(
        "string", doc=f"base image of {name} cells in containers; `{{python}}` is the version"
    )
    for name in ("cpu", "cuda", "rocm")
}
RUNNER = {
    "slots": key("integer", doc="cells that run at the same time"),
    "env": key("table", doc="environment variables passed into every cell"),
    "docker": key(
        "string",
        doc="its Docker engine: `unix:///…`, `tcp://host:2376` or `ssh://user@host:22`; every "
        "runner but `local` needs one",
    ),
    "tls": key("string", doc="folder with ca.pem, cert.pem and key.pem of a `tcp://` engine"),
    "memory": key("string", doc="most memory of a container, such as `64g`"),
    "gpu": key(
        "string",
        doc="how containers get GPUs: `toolkit`, `cdi` or `device-nodes`; else what the engine has",
    ),
    "devices": key(
        "strings",
        doc="device nodes of its GPUs, such as `/dev/nvidia0`, where the engine cannot list them; "
        "other nodes go into every container that gets GPUs by `device-nodes`",
    ),
    "driver_mounts": key(
        "strings",
        doc="files and folders of the driver, `SOURCE` or `SOURCE:TARGET`, mounted read-only; "
        "a folder and its lib64 go on the loader's path",
    ),
    "groups": key("strings", doc="numeric groups that own the device nodes on its machine"),
}
SUITE = {
    "tests": key("string", "strings", doc="folder or files of pytest tests"),
    "command": key("strings", doc="a command instead of tests; `python` is the cell's"),
    "source": key("string", doc="`name==version` whose source archive holds the tests"),
    "requirements": key("strings", doc="what the tests need beside torch and pytest"),
    "companions": key("strings", doc="packages that must import before any test runs"),
    "pytest_args": key("strings", doc="more arguments for pytest"),
    "env": key("table", doc="environment variables of this suite"),
    "timeout": key("number", doc="seconds for the whole suite in one cell"),
    "test_timeout": key("number", doc="seconds for one test"),
    "exclusive": key("boolean", doc="nothing else runs on the runner meanwhile"),
    "gpus": key("integer", doc="GPUs it gets in a CUDA or ROCm cell, at most what the runner has"),
    "rounds": key(
        "integer", doc="fresh processes that each run the whole suite; numbers tell their spread"
    ),
}
PROFILE = {
    "select": key("strings", doc="cells of the profile, selections"),
    "suites": key("strings", doc="suites of the profile"),
    "waivers": key(
        "waivers",
        doc="accepted problems: `{select = …, feature = …, reason = …}`, never an exit code",
    ),
    "baseline": key("string", doc="cell id that throughput ratios are given against"),
}
SCENARIO = {
    "purpose": key("string", doc="what one wants to do, as in `serve models`"),
    "like": key(
        "string",
        doc="a built-in scenario to start from: what it requires is required too, and the rest "
        "holds where nothing else is given",
    ),
    "require": key("strings", doc="features that must pass"),
    "require_cpu": key("strings", doc="features that must pass besides on CPUs"),
    "require_cuda": key("strings", doc="features that must pass besides on NVIDIA's GPUs"),
    "require_rocm": key("strings", doc="features that must pass besides on AMD's GPUs"),
    "devices": key("strings", doc="only cells that ran on these: `cpu`, `cuda`, `rocm`"),
    "select": key("strings", doc="only these cells, selections"),
    "workloads": key("strings", doc="workloads whose throughput counts; else all"),
    "weights": key(
        "numbers",
        doc="how much counts: features, sound, throughput, soak, settled, recent, size, memory, "
        "import",
    ),
    "limits": key(
        "numbers",
        doc="at most: install_gb, image_gb, memory_gb, import_s, wrong, failing; at least: "
        "age_days, nights",
    ),
    "reasons": key("strings", doc="why it is as it is, for the guide's page"),
}
CACHE = {
    "remote": key("string", doc="folder or fsspec URL where runs share compiled code"),
    "push": key("boolean", doc="whether runs write to it, not only read (default: true)"),
}
MATRIX = {
    "python": key("strings", doc="Python versions of releases that name none"),
    "pytorch_index": key("string", doc="mirror of the PyTorch wheel index"),
}

WAIVER = ("select", "feature", "reason")

# section -> (how it is written, keys)
SECTIONS: Mapping[str, tuple[Literal["table", "array", "named"], Mapping[str, Key]]] = {
    "matrix": ("table", MATRIX),
    "torch": ("array", TORCH),
    "companion": ("array", COMPANION),
    "exclude": ("array", EXCLUDE),
    "images": ("table", IMAGES),
    "cache": ("table", CACHE),
    "runners": ("named", RUNNER),
    "suites": ("named", SUITE),
    "profiles": ("named", PROFILE),
    "scenarios": ("named", SCENARIO),
}


def strings(value: str | list[str] | None) -> tuple[str, ...]:
    """A string or a list of strings, as a tuple."""
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def hint(name: str, known: Mapping[str, object] | list[str]) -> str:
    """Return " (did you mean ...?)" or the list of what is known."""
    zeros = [f"{name}{tail}" for tail in (".0", ".0.0")]  # 2.10 means 2.10.0 before it means 2.1.0
    near = [z for z in zeros if z in known] or get_close_matches(name, list(known), n=1)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"


_STRINGS = {"type": "array", "items": {"type": "string"}}
_JSON: Mapping[Kind, dict[str, Any]] = {
    "waivers": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in WAIVER},
            "required": list(WAIVER),
            "additionalProperties": False,
        },
    },
    "string": {"type": "string"},
    "strings": _STRINGS,
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "table": {"type": "object", "additionalProperties": {"type": "string"}},
    "numbers": {"type": "object", "additionalProperties": {"type": "number"}},
    "variants": {
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {"first_available": _STRINGS},
                    "required": ["first_available"],
                    "additionalProperties": False,
                },
            ]
        },
    },
}


def _json_table(keys: Mapping[str, Key]) -> dict[str, Any]:
    properties = {}
    for name, spec in keys.items():
        kinds = [_JSON[kind] for kind in spec.kind]
        shape = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        properties[name] = {**shape, "description": spec.doc}
    table: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if required := [name for name, spec in keys.items() if spec.required]:
        table["required"] = required
    return table


def json_schema() -> dict[str, Any]:
    """Build the JSON schema of matrix.toml for editors (`matrix/matrix.schema.json`)."""
    sections = {}
    for name, (how, keys) in SECTIONS.items():
        table = _json_table(keys)
        if how == "array":
            sections[name] = {"type": "array", "items": table}
        elif how == "named":
            sections[name] = {"type": "object", "additionalProperties": table}
        else:
            sections[name] = table
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "matrix.toml of torch-matrix",
        "type": "object",
        "properties": sections,
        "additionalProperties": False,
    }
