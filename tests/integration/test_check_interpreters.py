"""`check` on real interpreters: without torch, and with one that raises, crashes or hangs."""

import json
import subprocess
import sys
import venv

import pytest
import standin

from matrix import cli

CRASHES = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
HANGS = "import time\ntime.sleep(600)\n"
RAISES = "raise ImportError('libcudart.so.12: cannot open shared object file: No such file')\n"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An interpreter with nothing; its site-packages."""
    folder = tmp_path_factory.mktemp("interpreter")
    venv.create(folder, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return folder / "bin" / "python", folder / "lib" / version / "site-packages"


@pytest.fixture
def environment(bare, tmp_path, capfd):
    """Put stand-in distributions into an interpreter, and check it."""
    python, packages = bare
    before = set(packages.iterdir())

    def check(*wheels, arguments=(), env=None):
        for wheel in wheels:
            subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, packages], check=True)
        common = ["--results", str(tmp_path / "results"), "--json", "--python", str(python)]
        started = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **(env or {})}
        code = cli.main(["check", *common, *arguments], started)
        told = json.loads(capfd.readouterr().out)
        answers = {(f["id"], f["subject"]): f for f in told["findings"]}
        return code, answers, told

    yield check
    for path in set(packages.iterdir()) - before:
        subprocess.run(["rm", "-r", path], check=True)


def torch(tmp_path, version="2.9.1", cuda="12.8", extra="", requires=()):
    """A stand-in torch, with an `__init__` that ends in `extra`."""
    text = standin._INIT.format(version=version, cuda=cuda, hip=None, extra=extra)
    files = {"torch/__init__.py": text}
    return standin.make_wheel(tmp_path / "wheels", "torch", version, files, requires=requires)


def wheel(tmp_path, name, version, requires=()):
    return standin.make_wheel(tmp_path / "wheels", name, version, {}, requires=requires)


def test_an_interpreter_without_torch(environment):
    code, answers, told = environment()
    assert code == 1
    assert answers["torch-installed", ""]["answer"] == "no"
    assert "torch==" in answers["torch-installed", ""]["fix"]
    assert told["machine"]["python"].startswith(f"{sys.version_info.major}.")
    assert told["machine"]["loaded"] is None


def test_a_torch_that_works(environment, tmp_path):
    code, answers, told = environment(torch(tmp_path), wheel(tmp_path, "numpy", "2.1.0"),
                                      wheel(tmp_path, "setuptools", "78.0"))  # fmt: skip
    assert answers["torch-imports", ""]["answer"] == "yes"
    assert told["machine"]["variant"] == "cu128"
    assert not [f for f in told["findings"] if f["answer"] == "no" and not f["minor"]]
    assert code == 0


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [
        pytest.param(CRASHES, "signal 11", id="crashes"),
        pytest.param(HANGS, "did not import within 3 s", id="hangs"),
        pytest.param(RAISES, "libcudart.so.12", id="raises"),
        pytest.param("import os\nos._exit(7)\n", "ended the process", id="exits"),
    ],
)
def test_a_broken_torch_is_a_finding_and_all_else_is_known(environment, tmp_path, extra, wanted):
    kernel = wheel(tmp_path, "sglang-kernel", "0.4.10", requires=("torch==2.14.1",))
    code, answers, _ = environment(torch(tmp_path, extra=extra), kernel,
                                   arguments=("--deadline", "3"))  # fmt: skip
    assert code == 1
    assert answers["torch-imports", ""]["answer"] == "no"
    assert wanted in answers["torch-imports", ""]["evidence"]
    assert "torch 2.9.1" in answers["requirements", "sglang-kernel"]["evidence"]


def test_where_it_crashed_is_told(environment, tmp_path):
    _, answers, _ = environment(torch(tmp_path, extra=CRASHES))
    assert "torch/__init__.py" in answers["torch-imports", ""]["evidence"]


def test_a_licence_with_lines_of_blanks_hides_no_requirement(environment, bare):
    """As SGLang's metadata has it, before its requirements."""
    info = bare[1] / "engine-1.0.dist-info"
    info.mkdir()
    head = "Name: engine\nVersion: 1.0\nLicense: Apache\n        \n        more of it\n"
    text = f"{head}Requires-Dist: torch==2.14.1\n\nRequires-Dist: no-field\n"
    (info / "METADATA").write_text(text, encoding="utf-8")
    _, answers, _ = environment()
    evidence = answers["requirements", "engine"]["evidence"]
    assert evidence == "engine 1.0: torch==2.14.1 is required, it is not installed"


def test_our_own_packages_are_not_those_of_the_interpreter(environment):
    _, _, told = environment()
    assert "packaging" not in told["machine"]["packages"]


def test_what_is_shared_names_neither_home_nor_interpreter(environment, tmp_path, bare):
    _, _, told = environment(torch(tmp_path, extra=CRASHES), arguments=("--share",))
    text = json.dumps(told)
    assert str(tmp_path) not in text
    assert str(bare[0].parent.parent) not in text


@pytest.mark.parametrize(
    ("python", "said"),
    [
        pytest.param("/no/such", "cannot be started\n  - No such file", id="missing"),
        pytest.param("/bin/true", "is no Python that runs", id="another-program"),
        pytest.param(
            "/bin/echo", "is no Python that runs\n  - it left no report; it said", id="talks"
        ),
    ],
)
def test_something_that_is_no_interpreter(capfd, python, said):
    assert cli.main(["check", "--python", python], {"PATH": "/usr/bin:/bin"}) == 2
    assert f"`{python}` {said}" in capfd.readouterr().err
