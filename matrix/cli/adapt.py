"""`adapt`: launch flags and variables for a serving engine, each with its reason."""

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matrix import errors
from matrix.cli.options import Add

if TYPE_CHECKING:
    from matrix.adapt import Plan
    from matrix.adapt.settings import Decision

FORMATS = ("args", "yaml", "compose", "env")
MAX_CHECK = 4 << 20  # bytes of a check's output
_SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def add_adapt(add: Add) -> None:
    """Add the command."""
    text = "give launch flags and variables of a serving engine for a PyTorch environment"
    sub = add("adapt", adapt_command, [], text)
    sub.add_argument("--engine", required=True, help="sglang or vllm")
    sub.add_argument("--release", default="", help="such as 0.5.23 (default: the installed one)")
    sub.add_argument("--gpu", default="", metavar="MODEL", help="such as H200, MI300X")
    sub.add_argument("--gpus", type=int, metavar="N", help="how many (default: 1)")
    sub.add_argument("--torch", default="", metavar="VERSION",
                     help="such as 2.14.1+cu130 (default: what the release requires)")  # fmt: skip
    sub.add_argument("--from-check", type=Path, metavar="FILE",
                     help="GPUs, torch, packages: what `check --json` printed")  # fmt: skip
    sub.add_argument("--source", default="", metavar="PATH",
                     help="read the flags from this wheel, source archive or folder")  # fmt: skip
    sub.add_argument(
        "--model-params", type=_count, default=0, metavar="N", help="such as 70e9, 70b"
    )
    for name, what in (("heads", "query heads"), ("kv-heads", "key and value heads"),
                       ("hidden", "width of the residual stream")):  # fmt: skip
        sub.add_argument(f"--{name}", type=int, default=0, metavar="N", help=what)
    sub.add_argument("--dtype", default="auto", help="weights: auto, bf16, fp16, fp8, int8 or fp4")
    sub.add_argument("--kv-dtype", default="auto", help="KV cache: auto, fp8 or fp4")
    sub.add_argument("--attention", default="auto",
                     help="the model's: mha (also grouped queries) or mla")  # fmt: skip
    sub.add_argument("--goal", default="throughput", help="throughput or latency")
    sub.add_argument("--cache", default="", metavar="FOLDER", help="keep compiled code there")
    sub.add_argument(
        "--emit", choices=FORMATS, default="args", help="in which form (default: args)"
    )
    sub.add_argument("--explain", action="store_true", help="say why, on stderr")
    sub.add_argument("flags", nargs="*", metavar="-- FLAG …",
                     help="flags of yours for the engine: checked, and they win")  # fmt: skip


def adapt_command(arguments: argparse.Namespace, _workspace: object) -> int:
    """Print the plan in the wanted form."""
    from matrix.adapt import plan
    from matrix.adapt.emit import FORMATS as EMIT
    from matrix.adapt.situation import Served

    served = Served(
        parameters=arguments.model_params,
        heads=arguments.heads,
        kv_heads=arguments.kv_heads,
        hidden=arguments.hidden,
        weights=arguments.dtype,
        kv=arguments.kv_dtype,
        attention=arguments.attention,
        goal=arguments.goal,
        cache=arguments.cache,
    )
    made = plan(
        engine=arguments.engine,
        release=arguments.release,
        gpu=arguments.gpu,
        gpus=arguments.gpus,
        torch=arguments.torch,
        served=served,
        source=arguments.source,
        check=_checked(arguments.from_check),
        results=arguments.results or arguments.file.parent / "results",
        given=arguments.flags,
    )
    if arguments.json:
        print(json.dumps(_data(made), indent=1))
    else:
        print(EMIT[arguments.emit](made), end="")
        if made.env and arguments.emit == "args":
            names = " ".join(f"{name}={shlex.quote(value)}" for name, value in made.env.items())
            print(f"set in the environment too: {names}", file=sys.stderr)
    if arguments.explain:
        _explain(made)
    return errors.OK


def _count(text: str) -> float:
    """`70e9`, `70b`; raises `ArgumentTypeError`."""
    factor = _SUFFIXES.get(text[-1:].lower(), 1.0)
    try:
        value = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        value = 0.0
    if not 0 < value < 1e15:  # noqa: PLR2004  a thousand times the largest
        raise argparse.ArgumentTypeError(f"a number of parameters such as 70e9, got `{text}`")
    return value


def _checked(path: Path | None) -> dict[str, Any] | None:
    """A machine as `check --json` found it; raises `InputError` for another file."""
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8") as stream:
            data = json.loads(stream.read(MAX_CHECK))
    except (OSError, ValueError) as error:
        raise errors.InputError("--from-check:", [f"`{path}` cannot be read: {error}"]) from None
    if not isinstance(data, dict):
        raise errors.InputError("--from-check:", [f"`{path}` is not what `check --json` prints"])
    return data


def _data(made: "Plan") -> dict[str, Any]:
    here = made.situation
    return {
        "engine": here.engine,
        "release": here.release,
        "flags_source": here.flags.source,
        "gpu": {"name": here.gpu, "arch": here.architecture.arch, "memory_mib": here.memory},
        "gpus": here.gpus,
        "torch": asdict(here.torch),
        "model": asdict(here.served),
        "args": list(made.args),
        "env": made.env,
        "settings": [asdict(one) for one in made.settings],
        "left": [asdict(one) for one in made.left],
    }


def _explain(made: "Plan") -> None:
    from matrix.accelerators.models import find_model

    here = made.situation
    toolkit = "CUDA" if here.architecture.accelerator == "cuda" else "ROCm"
    torch = f"torch {here.torch.version or 'not known'}"
    torch += f" with {toolkit} {here.torch.toolkit}" * bool(here.torch.toolkit)
    where = (
        f"{here.gpus} x {here.gpu} ({here.architecture.arch}, {here.memory / 1024:.0f} GiB each)"
    )
    print(f"{here.engine} {here.release} on {where}, {torch}", file=sys.stderr)
    print(f"  torch: {here.torch.source}\n  flags: {here.flags.source}", file=sys.stderr)
    model = find_model(here.gpu)
    if model and model.note:
        print(f"  {model.name}: {model.note}", file=sys.stderr)
    print("set", file=sys.stderr)
    for one in made.settings:
        _say(one.text, one)
    print("left to the engine", file=sys.stderr)
    for left in made.left:
        _say(left.choice, left)


def _say(title: str, one: "Decision") -> None:
    print(f"  {title}\n      {one.kind}: {one.reason}\n      source: {one.source}", file=sys.stderr)
