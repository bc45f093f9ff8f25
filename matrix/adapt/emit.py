"""A plan as text: words of a command line, a YAML file, a Compose file, variables. Pure."""

import json
import shlex
from collections.abc import Callable, Iterator

from matrix.accelerators import ACCELERATORS
from matrix.adapt.settings import Plan, Setting
from matrix.errors import InputError

_MODULES = {
    "sglang": ("python3", "-m", "sglang.launch_server", "--model-path"),
    "vllm": ("vllm", "serve"),
}
_MODEL = "${MODEL:?a model's name or path}"


def args(plan: Plan) -> str:
    """The flags on one line, quoted for a shell."""
    return f"{shlex.join(plan.args)}\n"


def env(plan: Plan) -> str:
    """`NAME=value` lines for `docker run --env-file`, which takes a value as it stands.

    A shell would not: raises `InputError` for a value that means something else there.
    """
    odd = [f"{name}={value}" for name, value in plan.env.items() if shlex.quote(value) != value]
    if odd:
        problems = [f"`{line}` means something else to a shell that reads the file" for line in odd]
        raise InputError("--emit env:", [*problems, "name another folder, or use `--emit compose`"])
    return "".join(f"{name}={value}\n" for name, value in plan.env.items())


def yaml(plan: Plan) -> str:
    """The file of the engine's `--config`; raises `InputError` for a release that has none."""
    here = plan.situation
    if here.flags.first(["--config"]) is None:
        problem = f"{here.engine} {here.release} has no `--config`; use `--emit args`"
        raise InputError("no such file:", [problem])
    lines = [f"# for --config of {here.engine} {here.release}"]
    lines += [f"# set in the environment: {one.text}" for one in plan.settings if not one.is_flag]
    lines += [f"{one.name.removeprefix('--')}: {_value(plan, one)}"
              for one in plan.settings if one.is_flag]  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def _value(plan: Plan, setting: Setting) -> str:
    """A YAML scalar or list; JSON is YAML."""
    flag = plan.situation.flags.first([setting.name])
    if not setting.values:
        return "true"
    numeric = flag is not None and flag.takes in {"int", "float"}
    values = [value if numeric else json.dumps(value) for value in setting.values]
    many = flag is not None and flag.number in {"+", "*"}
    return f"[{', '.join(values)}]" if many else values[0]


def _scalar(text: str) -> str:
    """A string of a Compose file, which would put variables in for `$`."""
    return json.dumps(text if text == _MODEL else text.replace("$", "$$"))


def compose(plan: Plan) -> str:
    """A Compose service; image and model are variables, for no registry is asked here."""
    return "".join(f"{line}\n" for line in _compose(plan))


def _compose(plan: Plan) -> Iterator[str]:
    here = plan.situation
    torch = f" with torch {here.torch.version}" * bool(here.torch.version)
    yield f"# {here.engine} {here.release} on {here.gpus} x {here.gpu}"
    yield "services:"
    yield f"  {here.engine}:"
    yield f'    image: "${{IMAGE:?an image of {here.engine} {here.release}{torch}}}"'
    yield "    command:"
    for word in (*_MODULES[here.engine], _MODEL, *plan.args):
        yield f"      - {_scalar(word)}"
    if plan.env:
        yield "    environment:"
        for name, value in plan.env.items():
            yield f"      {name}: {_scalar(value)}"
    yield "    ipc: host"
    yield '    shm_size: "32g"'
    yield "    ulimits: {memlock: -1, stack: 67108864}"
    access = ACCELERATORS[here.architecture.accelerator].reserved(here.gpus)
    for key, given in access.items():
        yield f"    {key}: {json.dumps(given)}"


FORMATS: dict[str, Callable[[Plan], str]] = {
    "args": args, "yaml": yaml, "compose": compose, "env": env,
}  # fmt: skip
