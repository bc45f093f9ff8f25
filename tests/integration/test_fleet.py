"""One matrix over two engines: jobs go wherever a slot is, and outlive the engine they were on."""

import json
import signal
from collections import Counter

import engines
import pytest

SUITES = """
[suites.one]
command = ["python", "-c", "import time; time.sleep(2)"]
[suites.two]
command = ["python", "-c", "import time; time.sleep(2)"]
[suites.other]
command = ["python", "-c", "import time; time.sleep(2)"]
requirements = ["setuptools"]
[runners.first]
docker = "{first}"
[runners.second]
docker = "{second}"
"""


@pytest.fixture
def two_engines(project, make):
    """A project whose runners are the engine that is there and one of the test's own."""
    with engines.the_engine() as first, engines.own_engine() as second:
        base = engines.base_of(first)
        with second.connect() as engine:
            engine.client.images.load(first.client.images.get(base).save(named=True))
        suites = SUITES.format(first=first.url, second=second.url)
        names = '"one", "two", "other"'
        project.write(make.matrix(*make.releases, suites=suites, names=names))
        project.env |= {"MATRIX_IMAGE_CPU": base, "MATRIX_MIN_FREE_GB": "1"}
        yield project, second


def test_every_outcome_is_there_once_although_an_engine_is_killed(two_engines, make, until):
    project, second = two_engines
    process = project.start("run", "--json", "--backend", "docker")

    def rows():
        runs = project.store.runs()
        return project.store.rows(runs[-1].entries) if runs else []

    def is_in_a_suite():
        """Something was finished there, and the next suite runs."""
        if process.poll() is not None or not any(row.runner == "second" for row in rows()):
            return process.poll() is not None
        with second.connect() as engine:
            found = engine.client.containers.list(filters={"label": "torch-matrix=1"})
            return any("supervise" in " ".join(c.attrs["Config"]["Cmd"]) for c in found)

    until(is_in_a_suite, "the second engine runs a suite", 120)
    assert process.poll() is None, process.communicate()
    second.signal(signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    told = json.loads(out)["executions"]
    once = {(make.cell(r), suite): 1 for r in make.releases for suite in ("one", "two", "other")}
    assert Counter((entry["cell"], entry["suite"]) for entry in told) == once
    found = rows()
    assert Counter((row.cell, row.suite) for row in found) == once
    assert {row.verdict for row in found} == {"pass"}
    assert {row.runner for row in found} == {"first", "second"}
    assert {row.provision for row in found} == {"built"}
    assert project.run("--backend", "docker")["run"] is None, "all of it is fresh"
