"""Two runs in one checkout at the same time."""

import json


def test_two_runs_at_once_leave_two_whole_bundles(project, make):
    """Neither waits for the other, takes its scratch folder, or writes into its bundle."""
    project.write(
        make.matrix("2.10.0", "2.11.0"),
        mine__test_a="import time\ndef test_a(): time.sleep(1)\n",
    )
    processes = [project.start("run", "--json", "--rerun", "all") for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    found = {json.loads(out)["run"] for out, _ in outputs}
    runs = project.store.runs()
    assert {run.id for run in runs} == found
    assert len(found) == 3
    for run in runs:
        assert run.finished
        assert [sorted(e.counts.items()) for e in run.entries] == [[("pass", 1)]] * 2
        assert {row.run for row in project.store.rows(run.entries)} == {run.id}
        assert not list(run.path.rglob(".*"))
    work = project.folder / "results" / "local" / "work"
    assert not any(path.is_dir() for path in work.iterdir())


def test_a_report_while_a_run_writes(project, make, until):
    """Readers see whole suites or none."""
    project.write(make.matrix("2.10.0", "2.11.0", "2.12.0"), mine__test_a="def test_a(): pass\n")
    process = project.start("run", "--json")
    seen = set()
    while process.poll() is None:
        entries = project.store.newest()
        assert len(project.store.rows(entries)) == len(entries)
        seen.add(len(entries))
    assert process.returncode == 0, process.communicate()
    assert len(project.store.newest()) == 3
    assert len(seen) > 1, "something was read while the run went on"
