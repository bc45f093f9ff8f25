"""A night: plan → three shards as separate processes → merge → diff → report, on real recordings.

The same commands as in `.github/workflows/nightly.yml`.
"""

import json
import re
import shutil
import zipfile

import pytest

RECORDING = "20261122T175430Z-5a49e8"  # four releases on a CPU, both suites
FILE = """
[[torch]]
version = "2.2.2"
variants = ["cu121"]
device = "cpu"
[[torch]]
version = "2.6.0"
variants = ["cu124"]
device = "cpu"
[[torch]]
version = "2.13.0"
variants = ["cpu"]
[[torch]]
version = "2.15.0"
variants = ["cu132"]
device = "cpu"
[matrix]
python = ["3.11"]
[profiles.default]
baseline = "torch2.13.0-*"
"""


@pytest.fixture
def night(project, make):
    """A project whose cells are recordings."""
    project.write(FILE)
    recording = make.root / "results" / "runs" / RECORDING

    def command(name, *options):
        replay = ("--backend", "replay", "--recording", recording, "--rerun", "all")
        return (name, *options, *replay)

    project.replay = command
    return project


def anonymous(text):
    """Without the ids of runs, which are all that may differ."""
    return re.sub(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}", "RUN", text)


def tables(project, results, out):
    done = project.call("report", "--results", results, "--format", "markdown", "--out", out)
    assert done.returncode == 0, done.stderr
    texts = {path.name: anonymous(path.read_text()) for path in sorted(out.iterdir())}
    lines = texts.pop("long.csv").splitlines()  # rows in the order in which suites ended
    return anonymous(done.stdout), texts, sorted(lines)


def test_three_shards_give_the_tables_of_one_process(night):
    folder = night.folder
    done = night.call(*night.replay("run"), "--results", folder / "one", timeout=180)
    assert done.returncode == 0, done.stderr

    plan = json.loads(night.call(*night.replay("plan", "--shards", "3", "--json")).stdout)
    assert [len(shard["cells"]) for shard in plan["shards"]] == [2, 1, 1]
    shards = [
        night.start(
            *night.replay("run", *(w for cell in shard["cells"] for w in ("--select", cell))),
            "--results", folder / shard["name"],
        )
        for shard in plan["shards"]
    ]  # fmt: skip
    for process in shards:
        _, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
    archives = []
    for shard in plan["shards"]:
        archives.append(folder / f"{shard['name']}.zip")  # as a workflow's artefact
        with zipfile.ZipFile(archives[-1], "w") as file:
            runs = folder / shard["name"] / "local" / "runs"
            for path in runs.rglob("*"):
                file.write(path, path.relative_to(runs))

    for _ in range(2):
        merged = night.call("merge", *archives, "--json", "--into", folder / "tonight")
        assert merged.returncode == 0, merged.stderr
    assert len(list((folder / "tonight").iterdir())) == 3
    before = folder / "one" / "local" / "runs"
    judged = night.call("diff", before, folder / "tonight", "--json")
    assert judged.returncode == 0, judged.stderr
    told = json.loads(judged.stdout)
    assert told["changed"] == told["added"] == told["left_out"] == []
    assert {finding["change"] for finding in told["findings"]} <= {"known"}
    assert told["unchanged"] > 200

    merged = night.call("merge", folder / "tonight", "--results", folder / "three")
    assert merged.returncode == 0, merged.stderr
    one = tables(night, folder / "one", folder / "tables-one")
    three = tables(night, folder / "three", folder / "tables-three")
    assert three == one
    asked = night.call("issues", "--results", folder / "three", "--json")
    assert (asked.returncode, json.loads(asked.stdout)) == (0, [])  # the first night is no news


def test_a_shard_that_lost_its_machine_costs_only_itself(night):
    """What it had finished is kept; what it left half done is no evidence; the night says so."""
    folder = night.folder
    for shard in ("1/2", "2/2"):
        done = night.call(
            *night.replay("run", "--shard", shard, "--suite", "feature"),
            "--results", folder / shard[0], timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    [lost] = (folder / "2" / "local" / "runs").iterdir()
    (lost / "run.json").unlink()
    first, second = sorted((lost / "cells").iterdir())
    suite = next(second.glob("*/feature"))
    suite.rename(suite.with_name(".feature.1.abc.tmp"))
    damaged = folder / "3" / lost.name.replace(lost.name[-6:], "abcdef")
    shutil.copytree(lost, damaged)
    merged = night.call("merge", folder / "1", folder / "2", folder / "3", "--json")
    assert merged.returncode == 2
    outcomes = [b["outcome"] for b in json.loads(merged.stdout)["bundles"]]
    assert outcomes == ["merged", "merged", "refused"]
    asked = night.call("query", "select distinct cell from executions", "--json")
    cells = {line["cell"] for line in json.loads(asked.stdout)}
    assert first.name in cells
    assert second.name not in cells
    assert len(cells) == 3
