"""Lint: mistakes are found where they are, with the versions they are wrong for, and no others."""

import pytest

from matrix.facts import flags as tables
from matrix.lint.files import lint
from matrix.lint.flags import Target, judged, newest


@pytest.fixture
def found(tmp_path):
    """Findings in one Python file, as (rule, level, line, column, message)."""

    def call(code, name="code.py", release="0.5.23"):
        path = tmp_path / name
        path.write_text(code)
        report = lint([path], [Target(engine="sglang", release=release)])
        assert report.unread == ()
        return [(f.rule, f.level, f.line, f.column, f.message) for f in report.findings]

    return call


TORCH = "import torch\n"


@pytest.mark.parametrize(
    ("code", "level", "said"),
    [
        pytest.param(
            "torch.version.cuda >= '12.3'", "warning",
            '`torch.version.cuda` >= "12.3" compares text and would be wrong for 12.10; right for '
            "every published one so far", id="cuda"
        ),
        pytest.param(
            "torch.version.cuda < '9.2'", "error", "is wrong for 11.7, 11.8, 12.1", id="old-cuda"
        ),
        pytest.param("'12.3' <= torch.version.cuda", "warning", '>= "12.3"', id="other-way-round"),
        pytest.param("'a' < torch.version.cuda < '12.3'", "warning", '< "12.3"', id="between"),
        pytest.param(
            "torch.__version__.split('+')[0] < '2.11.0'", "error",
            "is wrong for 2.2.0+", id="release-of-torch"
        ),
        pytest.param("str(torch.__version__) < '2.9'", "error", "2.10.0+", id="str"),
        pytest.param("f'{torch.__version__}' < '2.9'", "error", "2.10.0+", id="f-string"),
        pytest.param("torch.version.__version__ < '2.9'", "error", "2.10.0+", id="plain-version"),
        pytest.param("torch.__version__[:3] >= '2.9'", "error", "2.10.0+", id="slice"),
        pytest.param("torch.__version__[:6] >= '2.10.0'", "error", "2.2.0+", id="long-slice"),
        pytest.param(
            "torch.__version__.split('.')[:2] >= ['2', '9']", "warning", "parts of", id="parts"
        ),
        pytest.param(
            "tuple(torch.__version__.split('.')) >= ('2', '9')", "warning", "parts of", id="tuple"
        ),
        pytest.param("torch.__version__.split('.')[1] >= '9'", "error", "2.10.0+", id="minor"),
        pytest.param("torch.__version__[0] < '2'", "note", "wrong for 10", id="major-far-away"),
        pytest.param("a.version('x') < '0.9.1'", "warning", "`x.__version__`", id="metadata"),
        pytest.param("np.__version__ >= '1.20'", "warning", "wrong for 1.9", id="another-package"),
        pytest.param("np.__version__ > torch.version.cuda", "warning", "and so is", id="two-texts"),
        pytest.param("(torch.version.cuda or '0') >= '12.3'", "warning", "12.10", id="or"),
        pytest.param("tv >= '2.9'", "error", "2.10.0+", id="imported-text"),
        pytest.param(
            "torch.version.cuda >= torch.version.hip", "error",
            "`torch.version.cuda` and `torch.version.hip` have no order: one or both are None",
            id="cuda-and-hip"
        ),
        pytest.param("torch.__version__.startswith('2.1')", "error",
                     '`startswith("2.1")` of text of `torch.__version__` is true for 2.10.0+',
                     id="startswith"),
        pytest.param("str(torch.__version__).startswith(('2.0', '2.1'))", "error", "2.10.0+",
                     id="startswith-one-of"),
        pytest.param("np.__version__.startswith('2.1')", "warning", "true for 2.10, too",
                     id="startswith-of-another-package"),
        pytest.param("torch.version.cuda.startswith('12.1')", "note", "true for 12.10, too",
                     id="startswith-of-an-old-major"),
    ],
)  # fmt: skip
def test_versions_compared_as_text(found, code, level, said):
    head = (
        "import torch\nimport numpy as np\nimport importlib.metadata as a\n"
        "from torch.version import __version__ as tv\n"
    )
    [(rule, got, line, _, message)] = found(f"{head}x = {code}\n")
    assert (rule, got, line) == ("version-as-text", level, 5)
    assert said in message


@pytest.mark.parametrize(
    "code",
    [
        "if torch.__version__ < '2.11.0': pass",
        "if '2.11.0' > torch.__version__: pass",
        "v = torch.__version__\nif v >= '2.4': pass",
        "from torch import __version__ as v\nif v >= '2.4': pass",
        "if torch.__version__ >= (2, 4): pass",
        "from packaging.version import parse\nif parse(torch.__version__) < parse('2.4'): pass",
        "from packaging import version\nif version.parse(torch.version.cuda) < '2': pass",
        "if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 4): pass",
        "if int(torch.__version__.split('.')[0]) < 2: pass",
        "if torch.version.cuda == '12.4': pass",
        "if torch.version.cuda.startswith('12'): pass",
        "if torch.version.cuda.startswith('12.8'): pass",
        "if torch.__version__.startswith('2.'): pass",
        "if torch.__version__.startswith('2.1.'): pass",
        "if torch.__version__.startswith('2.1.0'): pass",
        "if torch.__version__.startswith('2.9'): pass",
        "if torch.__version__.startswith(prefix): pass",
        "if torch.__version__.split('+')[1].startswith('2.1'): pass",
        "if torch.version.cuda == torch.version.hip: pass",
        "if torch.version.hip is not None: pass",
        "if 'dev' in torch.__version__: pass",
        "if torch.version.cuda > 'abc': pass",
        "def f(version): return version < '2.4'",
        "v = torch.version.cuda\nv = int(v)\nif v < '9': pass",
        "v = torch.version.cuda\ndef f(v): return v < '9.2'",
        "for v in [torch.version.cuda]:\n    v < '9.2'",
        "torch = other()\nx.version.cuda < '9.2'",
        "self.__version__ < '2.4'",
    ],
)
def test_other_comparisons_are_no_mistakes(found, code):
    assert found(TORCH + code) == []


def test_a_variable_is_followed_in_its_own_scope_and_the_ones_inside(found):
    code = """import torch
CUDA = torch.version.cuda
def f():
    short = torch.__version__.split("+")[0]
    if short < "2.9":
        return CUDA >= "12.3"
    return short == "2.9"
"""
    assert [(rule, line, column) for rule, _, line, column, _ in found(code)] == [
        ("version-as-text", 5, 8),
        ("version-as-text", 6, 16),
    ]


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("torch.__version__ == '2.9.1'", 1),
        ("torch.__version__ in ('2.9.0', '2.9.1')", 1),
        ("torch.__version__ == '2.9.1+cu128'", 0),
        ("torch.__version__ == '2.99.1'", 0),
        ("torch.__version__.split('+')[0] == '2.9.1'", 0),
    ],
)
def test_a_release_never_equals_a_wheel_with_a_label(found, code, count):
    got = found(f"{TORCH}x = {code}\n")
    assert [rule for rule, *_ in got] == ["version-label"] * count
    assert all("+cu128: they are not equal" in message for *_, message in got)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("torch._C._x()", ["torch._C"]),
        ("import torch._inductor.config as c\nc.x = 1", ["torch._inductor"]),
        ("from torch._dynamo import reset", ["torch._dynamo"]),
        ("from torch import _C\n_C.x", ["torch._C"]),
        ("torch._C.a\ntorch._C.b", ["torch._C"]),
        ("import torch.nn as nn\nnn.functional._verify()", ["torch.nn.functional._verify"]),
        ("try:\n    torch._C.a\nexcept AttributeError:\n    pass", []),
        ("try:\n    torch._C.a\nexcept OSError:\n    pass", ["torch._C"]),
        ("if hasattr(torch, '_C'):\n    torch._C.a", []),
        ("if torch.__version__ >= '2.4':\n    torch._C.a", []),
        ("if is_torch_2_6():\n    torch._C.a", []),
        ("if debug:\n    torch._C.a", ["torch._C"]),
        ("torch.__version__\nself._x\nother._y", []),
        ("import torchvision\ntorchvision._x", []),
    ],
)
def test_private_names_are_notes_where_nothing_guards_them(found, code, names):
    got = found(TORCH + code)
    assert {level for _, level, *_ in got} <= {"note"}
    assert [message.split("`")[1] for *_, message in got] == names


SHELL = """#!/bin/sh
python3 -m sglang.launch_server --model-path m \\
    --cuda-graph-max-bs 64 --tp-size 2 \\
    --enable-torch-compile --torchao-config=int8wo && other --cuda-graph-max-bs 1
# python -m sglang.launch_server --torchao-config x
echo --torchao-config
"""
YAML = """services:
  sglang:
    command: >
      python3 -m sglang.launch_server
      --model-path m
      --torchao-config int8wo
    other: --torchao-config
---
args:
  - python3
  - -m
  - sglang.launch_server
  - --torchao-config
  - "--cuda-graph-max-bs"
other:
  - --torchao-config
"""


def test_flags_that_the_target_release_no_longer_has(found):
    got = found(SHELL, "run.sh")
    assert [(rule, level, line, column) for rule, level, line, column, _ in got] == [
        ("absent-flag", "error", 3, 5),
        ("absent-flag", "error", 4, 28),
    ]
    assert got[0][4] == "sglang 0.5.23 has no `--cuda-graph-max-bs`: it was last in 0.5.19"
    assert [rule for rule, *_ in found(SHELL, "run.sh", release="0.4.8")] == []
    assert [line for _, _, line, *_ in found(YAML, "compose.yaml")] == [6, 13, 14]
    docker = 'CMD ["sglang", "serve", "--torchao-config", "x"]\nCMD sglang serve --torchao-config x'
    assert [line for _, _, line, *_ in found(docker, "Dockerfile.gpu")] == [1, 2]
    commented = "sglang serve -h # --torchao-config\\\n --tp-size 2 # --torchao-config\n"
    assert found(commented, "run.sh") == []


@pytest.mark.parametrize(
    ("engine", "release", "flag", "level", "said", "fix"),
    [
        ("sglang", "0.5.23", "--cuda-graph-max-bs", "error", "was last in 0.5.19",
         "use `--cuda-graph-max-bs-decode`: "),
        ("sglang", "0.5.23", "--torchao-config", "error", "was last in 0.5.17", "`--quantization`"),
        ("sglang", "0.5.12", "--cuda-graph-max-bs-decode", "error", "comes with 0.5.14", "leave"),
        ("vllm", "0.33.0", "--cuda-graph-sizes", "error", "was last in", "use `--cudagraph-"),
        ("vllm", "0.33.0", "--cuda_graph_sizes", "error", "no `--cuda_graph_sizes`", "use `--cuda"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_flag(engine, release, flag, level, said, fix):
    got, message, do = judged(flag, Target(engine=engine, release=release))
    assert (got, said in message, fix in do) == (level, True, True)


@pytest.mark.parametrize("engine", ["sglang", "vllm"])
def test_what_a_release_has_is_right_and_what_none_has_is_not_judged(engine):
    target = Target(engine=engine, release=newest(engine))
    for flag in tables.flags_of(engine, target.release).values():
        for name in (flag.name, *flag.aliases):
            told = judged(name, target)
            assert (told is None) == (not flag.status), name
    assert judged("--of-a-plugin", target) is None


def test_a_comment_with_a_reason_silences_its_rule_on_its_line(found):
    line = "x = torch.version.cuda >= '12.3'"
    assert found(f"{TORCH}{line}  # matrix: ignore[version-as-text] there is no 12.10\n") == []
    [(rule, *_)] = found(f"{TORCH}{line}  # matrix: ignore[private-api] it is not that\n")
    assert rule == "version-as-text"
    text = "x = 1  # noqa: F841  # matrix: ignore[version-as-text] both\n"
    assert found(TORCH + text.replace("1", "torch.version.cuda >= '12.3'", 1)) == []
    assert found('"""As # matrix: ignore[rule] says."""\n') == []
    launch = "sglang serve --torchao-config x  # matrix: ignore[absent-flag] an old image\n"
    assert found(launch, "run.sh") == []
    for comment, said in (
        ("ignore[version-as-text]", "it gives no reason"),
        ("ignore[version-as-txt] because", "did you mean `version-as-text`?"),
    ):
        first, second = found(f"{TORCH}{line}  # matrix: {comment}\n")
        assert (first[0], second[0], said in second[4]) == ("version-as-text", "ignore", True)


@pytest.mark.parametrize(
    ("requirement", "notes"),
    [("torch==2.14.1", 0), ("torch>=2.4,<2.13", 0), ("torch>=2.4", 1), ("torch<4", 1),
     ("torch==2.14.1; extra == 'x'", 1), ("torchvision==0.1", 1), ("torch ==", 1)],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["project", "wheel"])
def test_a_project_that_excludes_new_releases_may_use_private_names(
    tmp_path, requirement, notes, kind
):
    package = tmp_path / "src" / "p"
    package.mkdir(parents=True)
    (package / "code.py").write_text(f"{TORCH}torch._C.x\n")
    if kind == "project":
        text = f'[project]\ndependencies = ["{requirement}"]'
        (tmp_path / "pyproject.toml").write_text(text)
    else:
        (package / "p-1.dist-info").mkdir()
        (package / "p-1.dist-info" / "METADATA").write_text(f"Requires-Dist: {requirement}\n")
    report = lint([package], ())
    assert (len(report.findings), len(report.bounded)) == (notes, 1 - notes)
    assert all("torch" in limit for limit in report.bounded)
