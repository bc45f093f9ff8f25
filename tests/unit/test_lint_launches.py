"""Lint reads launch commands as a shell and argparse would, in scripts, data and Python."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.lint.launches import launches
from matrix.lint.words import Syntax, commands

SGLANG = "python3 -m sglang.launch_server"


@pytest.fixture
def given_flags(tmp_path):
    """Flags of all launches in a text, in order."""

    def call(text, name="run.sh"):
        found = launches(text, tmp_path / name)
        return [flag.name for launch in found for flag in launch.flags]

    return call


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        pytest.param(f'{SGLANG} --a="--b" --c=--d', ["--a", "--c"], id="value-after-equals"),
        pytest.param(f'{SGLANG} --a "--b"', ["--a", "--b"], id="quotes-are-gone-for-argparse"),
        pytest.param(f'{SGLANG} --a "--b c" --d', ["--a", "--d"], id="a-blank-makes-a-value"),
        pytest.param(f"{SGLANG} --a '{{\"x\": \"--b\"}}'", ["--a"], id="json"),
        pytest.param(f"{SGLANG} --a -- --b", ["--a"], id="end-of-flags"),
        pytest.param(f"{SGLANG} --a.b 3 --c-$X --d=$X", ["--a", "--d"], id="dotted-and-variable"),
        pytest.param('echo "now vllm serve --a"', [], id="prose"),
        pytest.param("echo vllm serve --a", [], id="prose-without-quotes"),
        pytest.param('@echo "vllm serve --a"', [], id="quiet-prose-of-make"),
        pytest.param('grep -- "vllm serve --a" f && vllm serve --b', ["--b"], id="searched-text"),
        pytest.param('mytool "vllm serve --a"', [], id="an-argument"),
        pytest.param('if [ "$X" = "vllm serve --a" ]; then x; fi', [], id="compared"),
        pytest.param("cat <<EOF\nvllm serve --a\nEOF\nvllm serve --b", ["--b"], id="shown"),
        pytest.param("cat >&2 <<EOF\nvllm serve --a\nEOF\n", [], id="shown-as-error"),
        pytest.param("cat > s <<'E'\ndon't\nvllm serve --a\nE\nx='y'", ["--a"], id="document"),
        pytest.param("vllm serve $(other --a) --b `c --d`", ["--b"], id="substitution"),
        pytest.param('vllm serve "$(other "x" --a)" --b', ["--b"], id="quoted-substitution"),
        pytest.param("vllm serve m > >(tee --a log) --b", ["--b"], id="process-substitution"),
        pytest.param("P=$(vllm serve m --a & echo $! --b)", ["--a"], id="launch-in-substitution"),
        pytest.param("vllm serve --a 2>&1 | tee --b; c --d", ["--a"], id="pipe"),
        pytest.param("vllm serve --a &> log --b & c --d", ["--a", "--b"], id="redirection"),
        pytest.param("vllm serve --a 1& c --b", ["--a"], id="background"),
        pytest.param("(vllm serve --a) --b", ["--a"], id="subshell"),
        pytest.param("C=(vllm serve\n  m # x\n  --a\n)\nd --b", ["--a"], id="array"),
        pytest.param('vllm serve m\n"$tool" --a', [], id="next-line"),
        pytest.param("vllm serve \\\n  # --a\n  --b", ["--b"], id="comment-between"),
        pytest.param('bash -lc "cd x\n vllm serve \\\n --a"', ["--a"], id="for-a-shell"),
        pytest.param("ssh host 'vllm serve --a'", ["--a"], id="ssh"),
        pytest.param('sbatch --wrap="srun vllm serve --a"', ["--a"], id="sbatch"),
        pytest.param('CMD="X=1 python3 -m vllm.entrypoints.openai.api_server --a"', ["--a"],
                     id="assigned"),
        pytest.param('HELP="Use vllm serve --a"', [], id="assigned-prose"),
        pytest.param("docker run --name vllm-serve --a img vllm serve --b", ["--b"], id="name"),
        pytest.param("/opt/bin/vllm serve --a", ["--a"], id="path"),
        pytest.param("vllm serve 'm --a", ["--a"], id="quote-that-never-closes"),
    ],
)  # fmt: skip
def test_flags_in_a_shell_script(given_flags, text, flags):
    assert given_flags(text) == flags


@pytest.mark.parametrize(
    ("name", "text", "flags"),
    [
        ("a.service", "ExecStart=/usr/bin/vllm serve m --a", ["--a"]),
        ("Makefile", "run: x\n\t# don't\n\t$(PYTHON) -m sglang.launch_server --a", ["--a"]),
        ("Dockerfile", 'CMD ["bash", "-c", "vllm serve m --a"]', ["--a"]),
        ("Dockerfile", 'CMD ["vllm","serve","--a","--b=[1, 2]"]', ["--a", "--b"]),
        ("Dockerfile", 'LABEL x="vllm serve --a"', []),
        ("Dockerfile", "RUN it's; vllm serve --a \\\n # b\n --c\nRUN d's --e", ["--a", "--c"]),
        ("a.yaml", 'command: "vllm serve m --a"', ["--a"]),
        ("a.yaml", "command: [vllm, serve, m, --a]", ["--a"]),
        ("a.yaml", 'command: [\n  "vllm", "serve",\n  "--a",\n]\nx: ["--b"]', ["--a"]),
        ("a.yaml", "name: Run vllm serve --a", []),
        ("a.yaml", 'about: "Run vllm serve --a"', []),
        ("a.yaml", "- run: vllm serve --a\n- run: other --b", ["--a"]),
        ("a.yaml", "script:\n  - vllm serve --a\n  - other --b", ["--a"]),
        ("a.yaml", "x:\n- vllm\n- serve\n{{ if x }}\n- --a\n- '--b'\ny:", ["--a", "--b"]),
        ("a.yaml", 'run: |\n  vllm serve --a\n  "$tool" --b', ["--a"]),
        ("a.yaml", 'run: |\n  echo "vllm serve --a"', []),
        ("a.toml", 'command = "vllm serve m --a"', ["--a"]),
        ("a.toml", 'about = "Use vllm serve m --a"', []),
        ("a.toml", 'command = [\n "vllm", "serve", "m",\n "--a",\n]', ["--a"]),
    ],
)  # fmt: skip
def test_flags_in_other_files(given_flags, name, text, flags):
    assert given_flags(text, name) == flags


@given(st.text("vllm serve-\"'`$(){}[]<>&|;#\\\n,=:EOF"), st.booleans(), st.booleans())
def test_any_text_is_read_to_its_end(text, long_quotes, lists):
    syntax = Syntax(long_quotes=long_quotes, lists=lists)
    words = [word for found in commands(text, (0, len(text)), syntax) for word in found]
    assert all(0 <= word.start < len(text) for word in words)
    assert [word.start for word in words] == sorted({word.start for word in words})
