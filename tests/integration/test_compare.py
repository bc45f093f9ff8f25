"""Two cells in turn: what is called, what is only listed, and what the bundle keeps of it."""

import json

FEWER = "import matrix.running as r; r.PAIRS_AGAIN = 3"
# numbers instead of clocks: what is tested is the way from rounds to verdicts
WORKLOADS = """
import random, torch
from matrix.inside import workload

def noisy(level):
    return [level * random.gauss(1, 0.0003) for _ in range(5)]

@workload("slower", "A step that 2.11 takes longer for")
def test_slower(measure):
    level = 1.06 if torch.__version__ >= "2.11" else 1.0
    measure.record("time", noisy(level), unit="s", better="lower")

@workload("same", "A step that does not differ")
def test_same(measure):
    measure.record("rate", noisy(1.0), unit="tok/s", better="higher")

@workload("only-old", "A step that 2.11 no longer can")
def test_only_old(measure):
    assert torch.__version__ < "2.11"
    measure.record("time", noisy(1.0), unit="s", better="lower")
"""


def verdicts(comparison):
    return {line["workload"]: line["verdict"] for line in comparison["series"]}


def test_two_releases_in_turn(project, make):
    """What both passes show is called, and stored rows say the same again."""
    project.write(make.matrix("2.10.0", "2.11.0"), mine__test_w=WORKLOADS)
    asked = ["--compare", "torch==2.10", "torch==2.11", "--suite", "mine", "--pairs", "3"]
    done = project.call("run", "--json", *asked, driver=FEWER)
    assert done.returncode == 1, done.stderr
    comparison = json.loads(done.stdout)["comparison"]
    assert (comparison["before"], comparison["after"]) == (make.cell("2.10.0"), make.cell("2.11.0"))
    assert verdicts(comparison) == {
        "slower": "regressed", "same": "known", "only-old": "missing",
    }  # fmt: skip
    [slower] = [line for line in comparison["series"] if line["workload"] == "slower"]
    assert 1 / 1.07 < slower["low"] < 1 / 1.06 * 1.002
    assert slower["rounds"] == 3
    [whole] = [a for a in comparison["aggregates"] if a["metric"] == "time"]
    assert (whole["series"], [name for name, _ in whole["excluded"]]) == (1, ["only-old"])

    rows = project.store.rows(project.last.entries)
    rounds = {(r.workload, r.cell, r.phase, r.round) for r in rows if r.metric}
    assert len(rounds) == 2 * 6 + 2 * 3 + 3, "only what stood out is measured again"
    outcomes = [r for r in rows if not r.metric]
    assert len(outcomes) == 6, "one outcome per test and cell, whatever the rounds"
    suite = project.last.path / "cells" / make.cell("2.11.0") / "venv-cpu" / "mine"
    assert (suite / "outcomes.jsonl").is_file()
    assert len(list((suite / "rounds").glob("*-after/outcomes.jsonl"))) == 5

    stored = project.call("compare", "latest", "--json")
    assert stored.returncode == 1
    assert json.loads(stored.stdout) == comparison
    shown = project.call("compare", "latest", "--format", "markdown").stdout
    assert "| `slower` |" in shown
    assert "↓ regressed" in shown
    assert "geometric mean, venv-cpu time: 0.9" in shown
    other_way = project.call("compare", "latest", "--json", "--cells", *reversed([
        make.cell("2.10.0"), make.cell("2.11.0"),
    ]))  # fmt: skip
    assert other_way.returncode == 0
    assert verdicts(json.loads(other_way.stdout))["slower"] == "improved"


def test_a_cell_against_itself(project, make):
    """The noise of the method: nothing is called. The same rounds are a plain run's result, too."""
    project.write(make.matrix("2.10.0"), mine__test_w=WORKLOADS)
    cell = make.cell("2.10.0")
    done = project.run("--compare", cell, cell, "--suite", "mine", "--pairs", "3")
    assert done["code"] == 0, done["stderr"]
    assert set(verdicts(done["comparison"]).values()) <= {"known", "unstable"}
    assert len(done["comparison"]["series"]) == 3
    assert project.run()["run"] is None, "it is fresh now"


def test_a_cell_that_cannot_be_made_leaves_the_other_unmeasured(project, make):
    project.write(make.matrix("2.11.0", "2.13.0"), mine__test_w=WORKLOADS)
    asked = ["--compare", make.cell("2.11.0"), make.cell("2.13.0"), "--suite", "mine"]
    done = project.run(*asked)
    assert {e["cell"]: e["verdict"] for e in done["executions"]} == {
        make.cell("2.11.0"): "not-run",
        make.cell("2.13.0"): "uninstallable",
    }
    assert done["comparison"]["series"] == []
