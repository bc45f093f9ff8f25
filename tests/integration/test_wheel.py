"""The wheel: what it installs, what it carries, and that it works without the checkout."""

import os
import subprocess
import sys
import sysconfig
import zipfile

import pytest

from matrix.indexes import read_config
from matrix.locks import uv
from matrix.reports.page import SCRIPTS


@pytest.fixture(scope="session")
def built(tmp_path_factory, make):
    """Build our wheel; the build tool comes from the index."""
    out = tmp_path_factory.mktemp("dist")
    config = read_config(os.environ)
    subprocess.run(
        [uv(), "build", "-q", "--wheel", "-o", out, *config.arguments, make.root],
        env={**os.environ, **config.env}, check=True, timeout=120,
    )  # fmt: skip
    [wheel] = out.glob("torch_matrix-*.whl")
    return wheel


def test_it_installs_one_package_and_its_command(built):
    """No top-level `tests`, which would collide with everybody's."""
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"matrix"}
    entry = next(n for n in names if n.endswith("entry_points.txt"))
    with zipfile.ZipFile(built) as archive:
        assert "torch-matrix = matrix.cli:main" in archive.read(entry).decode()


@pytest.mark.parametrize(
    "member",
    [
        "matrix/_data/tests/feature/test_matmul.py",
        "matrix/_data/tests/feature/conftest.py",
        "matrix/_data/tests/feature/processes.py",
        "matrix/_data/tests/feature/textbook.py",
        "matrix/_data/tests/throughput/test_gemm.py",
        "matrix/inside/supervise.py",
        "matrix/facts/torch_builds.csv",
        "matrix/facts/needs.toml",
        "matrix/facts/signatures.toml",
        "matrix/facts/torchao_pairs.csv",
        "matrix/matrix.schema.json",
        "matrix/reports/page/assets/page.html.j2",
        "matrix/reports/page/assets/page.css",
        *(f"matrix/reports/page/assets/{name}" for name in SCRIPTS),
    ],
)
def test_it_carries_what_travels_into_cells_and_what_is_known(built, member):
    with zipfile.ZipFile(built) as archive:
        assert member in archive.namelist()


def test_it_carries_every_dockerfile_and_test_of_the_checkout(built, make):
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
    for folder in ("dockerfiles", "tests/feature", "tests/throughput"):
        for path in (make.root / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.name != ".keep":
                assert f"matrix/_data/{path.relative_to(make.root)}" in names


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory):
    """The wheel alone in an environment; its dependencies are seen where they are installed."""
    place = tmp_path_factory.mktemp("clean") / "env"
    env = {**os.environ, "UV_OFFLINE": "1"}
    subprocess.run([uv(), "venv", "-q", "--no-project", "-p", sys.executable, place],
                   env=env, check=True)  # fmt: skip
    python = place / "bin" / "python"
    subprocess.run([uv(), "pip", "install", "-q", "--no-deps", "-p", python, built],
                   env=env, check=True)  # fmt: skip
    site = next((place / "lib").glob("python*/site-packages"))
    # a folder in a .pth file is searched, and its own .pth files (an editable checkout) are not
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def test_its_command_lists_cells_without_the_checkout(installed, project, make):
    project.write(make.matrix("2.10.0", "2.11.0"), mine__test_a="def test_a(): pass\n")
    env = {k: v for k, v in project.env.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [installed / "torch-matrix", "list", "--file", project.folder / "matrix.toml"],
        env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [make.cell("2.10.0"), make.cell("2.11.0")]


def test_its_command_runs_the_built_in_suites_it_carries(installed, project, make):
    """On a stand-in torch every feature fails; that they were collected is the point."""
    project.write(make.matrix("2.11.0", suites="", names='"feature"'))
    env = {k: v for k, v in project.env.items() if k != "PYTHONPATH"}
    subprocess.run(
        [installed / "torch-matrix", "run", "--json", "--file", project.folder / "matrix.toml"],
        env=env, cwd="/", capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    tests = {test.split("::")[0] for _, test in project.verdicts()}
    wanted = {path.name for path in (make.root / "tests" / "feature").glob("test_*.py")}
    assert tests == wanted
