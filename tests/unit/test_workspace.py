"""What every command starts from, and what it says of ids and names."""

from pathlib import Path

import pytest

from matrix import facts
from matrix.errors import InputError, NothingToRun
from matrix.workspace import Workspace

FILE = """
[[torch]]
version = ["2.2.2", "2.6.0"]
variants = ["cpu"]
python = ["3.12", "3.13"]
[[exclude]]
select = "torch==2.6 and python==3.13"
reason = "no time"
[suites.mine]
command = ["true"]
[profiles.old]
select = ["torch<2.6"]
suites = ["mine"]
baseline = "torch2.*-py3.12"
[profiles.none]
select = ["device==rocm"]
"""


@pytest.fixture
def workspace(matrix_file, env):
    return Workspace.of(matrix_file(FILE), env)


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        pytest.param("torch2.6.0-cpu-py3.12", "`torch2.6.0-cpu-py3.12` is a cell: torch 2.6.0 cpu "
                     "was published 2025-01-29 for Python 3.9 to 3.13 (declared); its tests "
                     "run on cpu", id="a-cell"),
        pytest.param("torch2.6.0-cpu-py3.13", "`torch2.6.0-cpu-py3.13` is excluded by rule "
                     "matrix.toml: no time", id="excluded-by-the-user"),
        pytest.param("torch2.2.2-cpu-py3.13", "`torch2.2.2-cpu-py3.13` is excluded by rule python: "
                     "no wheel for Python 3.13; wheels are for 3.8 to 3.12",
                     id="excluded-by-facts"),
        pytest.param("torch2.66.0-cpu-py3.12", "`torch2.66.0-cpu-py3.12` is no cell here: torch "
                     "2.66.0 does not exist in the facts; did you mean `2.6.0`?", id="no-release"),
        pytest.param("torch2.6.0-cu130-py3.12", "`torch2.6.0-cu130-py3.12` is no cell here: torch "
                     "2.6.0 was never published as cu130; it has cpu, cu118, cu124, cu126, "
                     "rocm6.1, rocm6.2.4, xpu", id="no-variant"),
        pytest.param("torch2.6.0-cu124-py3.7", "`torch2.6.0-cu124-py3.7` is no cell here: torch "
                     "2.6.0 cu124 has wheels for Python 3.9 to 3.13, not 3.7",
                     id="no-python"),
    ],
)  # fmt: skip
def test_any_id_is_explained(workspace, cell, line):
    assert workspace.explain(cell)[0] == line


def test_a_build_nobody_confirmed_is_explained_with_its_status(workspace):
    line, data = workspace.explain("torch2.15.0-cpu-py3.12")
    assert line.startswith("`torch2.15.0-cpu-py3.12` is no cell here: cpu of torch 2.15.0 is "
                           "unconfirmed: ")  # fmt: skip
    assert (data["is"], bool(data["source"])) == ("no-cell", True)


def test_what_exists_and_was_not_asked_for_says_what_to_do(workspace):
    line, data = workspace.explain("torch2.6.0-cu124-py3.12")
    assert data["is"] == "not-asked-for"
    assert line.endswith("matrix.toml does not ask for it; add it to a [[torch]] block")


COMPANIONS = """
[[torch]]
version = ["2.8.0", "2.11.0"]
variants = ["cpu"]
python = ["3.12"]
[[companion]]
package = "torchao"
version = ["0.17.0"]
torch = ">=2.9"
"""


@pytest.mark.parametrize(
    ("cell", "kind", "says"),
    [
        pytest.param("torch2.11.0-cpu-py3.12-torchao0.17.0", "cell",
                     "is a cell: torch 2.11.0 cpu was published 2026-03-23 for Python 3.10 to "
                     "3.14, cp313t, cp314t (observed); torchao==0.17.0 comes beside it; its tests "
                     "run on cpu",
                     id="declared"),
        pytest.param("torch2.11.0-cpu-py3.12-flash-attn2.8.3", "not-asked-for",
                     "is no cell here: matrix.toml declares no companion `flash-attn`; add a "
                     "[[companion]] block", id="undeclared-package"),
        pytest.param("torch2.11.0-cpu-py3.12-torchao0.14.1", "not-asked-for",
                     "is no cell here: companion[0] of matrix.toml has torchao 0.17.0, not 0.14.1; "
                     "add it", id="undeclared-version"),
        pytest.param("torch2.8.0-cpu-py3.12-torchao0.17.0", "not-asked-for",
                     "is no cell here: companion[0] of matrix.toml is for torch>=2.9, not 2.8.0",
                     id="for-other-releases"),
        pytest.param("torch2.11.0-cu130-py3.12-torchao0.17.0", "not-asked-for",
                     "is no cell here: matrix.toml does not ask for `torch2.11.0-cu130-py3.12`; "
                     "add it to a [[torch]] block", id="another-torch"),
        pytest.param("torch2.11.0-cu999-py3.12-torchao0.17.0", "no-cell",
                     "is no cell here: torch 2.11.0 was never published as cu999; it has ",
                     id="torch-that-is-none"),
        pytest.param("torch2.11.0-cpu-py3.12-nonsense", "no-cell",
                     "is no cell here: `nonsense` is no companion with its version, such as "
                     "torchao0.17.0", id="no-companion"),
    ],
)  # fmt: skip
def test_an_id_with_a_companion_is_explained(matrix_file, env, cell, kind, says):
    line, data = Workspace.of(matrix_file(COMPANIONS), env).explain(cell)
    assert line.startswith(f"`{cell}` {says}")
    assert data["is"] == kind
    assert data["source"]


def test_an_undeclared_companion_is_explained_with_what_is_known_of_it(matrix_file, env):
    """A pin that the facts have is said where one would add it."""
    (package, version), pin = next((k, p) for k, p in facts.pins().items() if p.exact)
    torch = facts.builds()
    release = next(r for r in torch if "cpu" in torch[r] and torch[r]["cpu"].has_python("3.12"))
    line, data = Workspace.of(matrix_file(FILE), env).explain(
        f"torch{release}-cpu-py3.12-{package}{version}"
    )
    assert line.endswith(f"(by the facts it needs torch{pin.torch}, {pin.status})")
    assert data["source"] == pin.source


def test_a_companion_without_a_pin_needs_no_torch_of_its_own(matrix_file, env):
    workspace = Workspace.of(matrix_file(FILE), env)
    line, _ = workspace.explain("torch2.6.0-cpu-py3.12-torchao0.17.0")
    assert line.endswith("declares no companion `torchao`; add a [[companion]] block")


def test_what_is_no_id_is_an_input_error(workspace):
    with pytest.raises(InputError) as caught:
        workspace.explain("torch2.6.0_cpu")
    assert str(caught.value) == (
        "`torch2.6.0_cpu` is no cell id\n"
        "  - write torch2.13.0-cu130-py3.12\n"
        "  - did you mean `torch2.6.0-cpu-py3.12`?"
    )


def test_a_profile_selects_cells_and_suites(workspace):
    profile = workspace.profile("old")
    assert [c.id for c in workspace.cells(profile, ())] == ["torch2.2.2-cpu-py3.12"]
    assert [s.name for s in workspace.suites(profile, ())] == ["mine"]
    assert [s.name for s in workspace.suites(profile, ("feature",))] == ["feature"]


def test_a_selection_takes_the_place_of_the_profiles(workspace):
    chosen = workspace.cells(workspace.profile("old"), ["torch==2.6"])
    assert [c.id for c in chosen] == ["torch2.6.0-cpu-py3.12"]


@pytest.mark.parametrize(
    ("measured", "baseline"),
    [
        pytest.param(["torch2.2.2-cpu-py3.12", "torch2.6.0-cpu-py3.12"], "torch2.6.0-cpu-py3.12",
                     id="the-newest"),
        pytest.param(["torch2.2.2-cpu-py3.12"], "torch2.2.2-cpu-py3.12", id="that-was-measured"),
        pytest.param(["torch2.9.0-cpu-py3.12"], None, id="and-is-a-cell"),
        pytest.param([], None, id="or-none"),
    ],
)  # fmt: skip
def test_a_baseline_is_the_newest_measured_cell_its_glob_matches(workspace, measured, baseline):
    assert workspace.baseline(workspace.profile("old"), measured) == baseline
    assert workspace.baseline(workspace.profile("default"), measured) is None


def test_unknown_names_are_input_errors_with_a_hint(workspace):
    with pytest.raises(InputError, match="no profile `odl`\n  - did you mean `old`"):
        workspace.profile("odl")
    with pytest.raises(InputError) as caught:
        workspace.suites(workspace.profile("old"), ("mien", "feature"))
    assert caught.value.problems == ["no suite `mien`; did you mean `mine`?"]


def test_an_empty_selection_says_what_there_is(workspace):
    with pytest.raises(NothingToRun) as caught:
        workspace.cells(workspace.profile("none"), ())
    assert str(caught.value) == (
        "no cell matches `device==rocm`; matrix.toml has 2 (such as torch2.2.2-cpu-py3.12, "
        "torch2.6.0-cpu-py3.12); `python -m matrix list --all` shows them"
    )


def test_results_lie_beside_the_file(workspace):
    assert workspace.results == workspace.file.parent / "results"
    assert isinstance(workspace.store.local, Path)
