"""Flags read statically from the ways in which engines define them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.facts.definitions import read_flags
from matrix.facts.enginereads import read_graph_defaults, read_variables
from matrix.facts.flags import Flag
from matrix.facts.graphdefaults import ALL, GraphDefault, largest_batch

CALLS = """
import argparse
from sglang.srt.choices import BACKENDS
from .quant import METHODS as KNOWN

class DeprecatedAction(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        raise ValueError(self.help)

class DeprecatedAliasStoreAction(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        warn()
        setattr(namespace, self.dest, values)

class ServerArgs:
    @staticmethod
    def add_cli_args(parser):
        samplers = set(BACKENDS)
        parser.add_argument("--tensor-parallel-size", "--tp-size", type=int, default=1)
        parser.add_argument("--backend", type=str, choices=["auto"] + BACKENDS)
        parser.add_argument("--sampler", choices=samplers)
        parser.add_argument("--quantization", type=str, choices=[*KNOWN, None])
        parser.add_argument("--tools", choices=list(registry().keys()))
        parser.add_argument("--compile", action="store_true", help="torch.compile")
        parser.add_argument("--sizes", type=int, nargs="+")
        parser.add_argument("--config", type=json.loads)
        parser.add_argument("--old", action=DeprecatedAction, help="Use --compile instead.")
        parser.add_argument("--max", type=int, action=DeprecatedAliasStoreAction,
                            new_flag="--max-decode", help="Deprecated alias.")
        parser.add_argument("--tf32", action=argparse.BooleanOptionalAction)
        parser.add_argument("--sleepy", help="--sleepy is deprecated; use `--compile`.")
        parser.add_argument("positional")
"""
SGLANG = {
    "sglang/srt/server_args.py": CALLS,
    "sglang/srt/choices.py": 'BACKENDS = ["fa3", "triton"]\n',
    "sglang/srt/quant/__init__.py": 'METHODS = {"fp8": Fp8, "awq": object}\n',
}
ANNOTATED = {
    "sglang/srt/server_args.py": """
from sglang.srt.arg_groups.fields.model import Model
class ServerArgs:
    own: A[bool, "Own help."] = False
    @staticmethod
    def add_cli_args(parser):
        add_cli_args_from_dataclass(parser, ServerArgs)
        parser.add_argument("--disable-graph", action=DeprecatedStoreTrueAction, new_flag="--x=y")
_INPUT_NAMESPACES = [Model]
""",
    "sglang/srt/arg_groups/fields/model.py": """
from sglang.srt.arg_groups.choices import METHODS
from sglang.srt.graph import Backend
class Model(msgspec.Struct):
    tp_size: A[int, Arg(help="h", aliases=["--tensor-parallel-size"])] = 1
    quantization: A[Optional[str], Arg(help="h", choices=METHODS), NS("model")] = None
    backend: A[Optional[Literal["full", "off"]], Arg(help="h", choices=Backend.ALL)] = None
    phases: A[Literal["a", "b"], "h"] = "a"
    sizes: A[Optional[List[int]], "h"] = None
    parsed: A[Optional[List[str]], Arg(help="h", type_parser=json_list_type)] = None
    hidden: A[bool, Arg(no_cli=True)] = False
    fraction: A[float | None, NS("model"), "h"] = None
    tf32: A[Optional[bool], Arg(help="h", action=argparse.BooleanOptionalAction)] = None
    plain: int = 3
""",
    "sglang/srt/arg_groups/choices.py": 'METHODS = ["fp8", "awq"]\n',
    "sglang/srt/graph.py": 'class Backend:\n    FULL = "full"\n    ALL = [FULL, "off"]\n',
}
VLLM = {
    "vllm/engine/arg_utils.py": """
if TYPE_CHECKING:
    from vllm.quant import Methods
else:
    Methods = Any
from vllm.config import CacheConfig, ModelConfig
class EngineArgs:
    @staticmethod
    def add_cli_args(parser):
        model_kwargs = get_kwargs(ModelConfig)
        cache_kwargs = get_kwargs(CacheConfig)
        group = parser.add_argument_group(title="M")
        group.add_argument("--quantization", "-q", **model_kwargs["quantization"])
        group.add_argument("--dtype", **model_kwargs["dtype"])
        group.add_argument("--enforce-eager", **model_kwargs["enforce_eager"])
        group.add_argument("--sizes", **{**model_kwargs["sizes"], "default": None})
        group.add_argument("--backend", **model_kwargs["backend"])
        group.add_argument("--pooler", **model_kwargs["pooler"])
        group.add_argument("--offload", **cache_kwargs["offload"])
        group.add_argument("--cache-dtype", **cache_kwargs["dtype"])
        group.add_argument("--gone", **cache_kwargs["gone"], deprecated=True)
""",
    "vllm/config/__init__.py": "from vllm.config.model import CacheConfig, ModelConfig\n",
    "vllm/config/model.py": """
from vllm.quant import Methods
CacheDType = Literal["auto", "fp8"]
class Backend(enum.Enum):
    FLASH = "a.b"
    TRITON = "c.d"
@config
class PoolerConfig:
    x: int = 1
class Base:
    dtype: Literal["auto", "half"] | torch.dtype = "auto"
@config
class ModelConfig(Base):
    quantization: Methods | str | None = None
    enforce_eager: bool = False
    sizes: list[int] | None = None
    backend: Backend | None = None
    pooler: PoolerConfig | None = None
@config
class CacheConfig:
    offload: float = 0
    dtype: CacheDType = "auto"
    gone: str = "x"
    shared: ClassVar[int] = 3
""",
    "vllm/quant/__init__.py": 'Methods = Literal["fp8", "awq"]\n',
    "vllm/entrypoints/openai/cli_args.py": """
from vllm.engine.arg_utils import get_kwargs
class FrontendArgs:
    port: int = 8000
    lora_modules: list[str] | None = None
    @classmethod
    def add_cli_args(cls, parser):
        frontend_kwargs = get_kwargs(cls)
        frontend_kwargs["lora_modules"]["action"] = LoRAParserAction
        for key, value in frontend_kwargs.items():
            group.add_argument(f"--{key.replace('_', '-')}", **value)
""",
}


def flags(engine, files):
    return {flag.name: flag for flag in read_flags(engine, files.get)}


@pytest.mark.parametrize(
    "expected",
    [
        Flag(name="--tensor-parallel-size", aliases=("--tp-size",), takes="int"),
        Flag(name="--backend", values=("auto", "fa3", "triton"), closed=True),
        Flag(name="--sampler", values=("fa3", "triton"), closed=True),
        Flag(name="--quantization", values=("fp8", "awq"), closed=True),
        pytest.param(Flag(name="--tools"), id="choices that only a run knows leave it open"),
        Flag(name="--compile", takes="nothing"),
        Flag(name="--sizes", takes="int", number="+"),
        Flag(name="--config", takes="json"),
        Flag(name="--old", takes="nothing", status="refused", instead="--compile"),
        Flag(name="--max", takes="int", status="deprecated", instead="--max-decode"),
        Flag(name="--tf32", takes="nothing"),
        Flag(name="--no-tf32", takes="nothing"),
        Flag(name="--sleepy", status="deprecated", instead="--compile"),
    ],
    ids=lambda flag: flag.name,
)
def test_calls_of_add_argument(expected):
    assert flags("sglang", SGLANG)[expected.name] == expected


def test_positional_arguments_are_no_flags():
    assert len(flags("sglang", SGLANG)) == 13


def test_annotated_fields_of_the_namespaces():
    found = flags("sglang", ANNOTATED)
    assert found == {
        flag.name: flag
        for flag in (
            Flag(name="--own", takes="nothing"),
            Flag(name="--tp-size", aliases=("--tensor-parallel-size",), takes="int"),
            Flag(name="--quantization", values=("fp8", "awq"), closed=True),
            Flag(name="--backend", values=("full", "off"), closed=True),
            Flag(name="--phases", values=("a", "b"), closed=True),
            Flag(name="--sizes", takes="int", number="+"),
            Flag(name="--parsed", takes="other"),
            Flag(name="--fraction", takes="float"),
            Flag(name="--tf32", takes="nothing"),
            Flag(name="--no-tf32", takes="nothing"),
            Flag(name="--disable-graph", takes="nothing", status="deprecated", instead="--x=y"),
        )
    }


def test_a_part_of_the_files_gives_nothing():
    """Fields that cannot be found would look like flags that were removed."""
    part = {name: text for name, text in ANNOTATED.items() if "fields" not in name}
    assert flags("sglang", part) == {}


def test_dataclasses_of_vllm():
    assert flags("vllm", VLLM) == {
        flag.name: flag
        for flag in (
            Flag(name="--quantization", aliases=("-q",), values=("fp8", "awq")),
            Flag(name="--dtype", values=("auto", "half"), closed=True),
            Flag(name="--enforce-eager", takes="nothing"),
            Flag(name="--no-enforce-eager", takes="nothing"),
            Flag(name="--sizes", takes="int", number="+"),
            Flag(name="--backend", values=("FLASH", "TRITON")),
            Flag(name="--pooler", takes="json"),
            Flag(name="--offload", takes="float"),
            Flag(name="--cache-dtype", values=("auto", "fp8"), closed=True),
            Flag(name="--gone", status="deprecated"),
            Flag(name="--port", takes="int"),
            Flag(name="--lora-modules", takes="other", number="*"),
        )
    }


@given(st.text(max_size=200))
def test_no_source_text_is_fatal(text):
    assert read_flags("sglang", {"sglang/srt/server_args.py": text}.get) == ()
    assert read_graph_defaults({"sglang/srt/server_args.py": text}.get) == ()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("X = X\n", id="a name that is itself"),
        pytest.param("from sglang.srt.server_args import X\n", id="an import of itself"),
        pytest.param("X = f(*y)[z:]\n", id="a call"),
    ],
)
def test_choices_that_lead_nowhere_leave_a_flag_open(text):
    call = "class ServerArgs:\n  def add_cli_args(p):\n    p.add_argument('--a', choices=X)\n"
    assert flags("sglang", {"sglang/srt/server_args.py": text + call}) == {"--a": Flag(name="--a")}


def test_variables_of_both_engines():
    sglang = (
        "class Envs:\n    SGLANG_A = EnvBool(False)\n    SGLANG_B = 3\n    OTHER = EnvStr('')\n"
    )
    vllm = 'environment_variables: dict[str, Any] = {"VLLM_B": lambda: 1, "HOME": lambda: 2}\n'
    assert read_variables("sglang", {"sglang/srt/environ.py": sglang}.get) == ("SGLANG_A",)
    assert read_variables("vllm", {"vllm/envs.py": vllm}.get) == ("VLLM_B",)
    assert read_variables("vllm", {}.get) == ()


CHAIN = """
class ServerArgs:
    def settings(self):
        if gpu_mem is not None:
            if gpu_mem < 20 * 1024:
                if self.max is None:
                    self.cuda_graph_max_bs = 8
            elif is_npu() and gpu_mem < 32 * 1024:
                self.cuda_graph_max_bs = 16
            elif gpu_mem < 90 * 1024:
                if self.cuda_graph_max_bs is None:
                    if self.tp_size < 4:
                        self.cuda_graph_max_bs = 256
                    else:
                        self.cuda_graph_max_bs = 512
            else:
                self.cuda_graph_max_bs = 1024
"""


def test_graph_sizes_by_memory_and_ranks():
    table = read_graph_defaults({"sglang/srt/server_args.py": CHAIN}.get)
    assert table == (
        GraphDefault(20 * 1024, ALL, 8),
        GraphDefault(90 * 1024, 4, 256),
        GraphDefault(90 * 1024, ALL, 512),
        GraphDefault(ALL, ALL, 1024),
    )
    cases = [(16, 1, 8), (16, 8, 8), (80, 1, 256), (80, 4, 512), (141, 1, 1024)]
    assert [largest_batch(table, gib * 1024, tp) for gib, tp, _ in cases] == [8, 8, 256, 512, 1024]


def test_a_chain_with_a_branch_that_sets_no_size_is_not_read_in_part():
    text = CHAIN.replace("self.cuda_graph_max_bs = 8", "pass")
    assert read_graph_defaults({"sglang/srt/server_args.py": text}.get) == ()
    assert largest_batch((), 1024, 1) is None
