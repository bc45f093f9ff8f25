"""`kill -9` of the orchestrator, anywhere: what finished is kept, nothing goes on living."""

import http.server
import threading

import pytest

WAITS = """
import os, sys, time
if os.environ.get("STALL_AT") == sys.argv[1]:
    open(os.environ["STALL_FILE"], "w").close()
    time.sleep(600)
"""
CHILD = """
import os, subprocess, sys
def test_waits():
    if os.environ.get("STALL_AT") == "child":
        code = "import os, signal, time; signal.signal(15, signal.SIG_IGN); "
        code += "open(os.environ['STALL_FILE'], 'w').close(); time.sleep(600)"
        subprocess.run([sys.executable, "-c", code], start_new_session=True)
"""
STALL = """
import os, time
def stall(*_args, **_kwargs):
    open(os.environ["STALL_FILE"], "w").close()
    time.sleep(600)
"""


@pytest.fixture
def silent_index():
    """An index that takes a question and never answers."""
    asked, over = threading.Event(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.set()
            over.wait(60)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple", asked
        over.set()
        server.shutdown()


def check_the_rest(project, process, kept):
    """After the kill: `kept` (torch, suite) is there whole, the next run does what is missing."""
    assert process.returncode == -9
    before = project.store.runs()
    entries = before[-1].entries if before else ()
    assert {(e.cell[5:11], e.suite) for e in entries} == kept
    rows = project.store.rows(entries)
    assert {(row.torch, row.suite, row.verdict) for row in rows} == {(*k, "pass") for k in kept}
    again = project.run()
    done = {(e["cell"][5:11], e["suite"]) for e in again["executions"]}
    fresh = {(e["cell"][5:11], e["suite"]) for e in again["fresh"]}
    assert again["code"] == 0
    assert fresh == kept
    assert done == ALL - kept
    work = project.folder / "results" / "local" / "work"
    scratch = [path for path in work.iterdir() if path.is_dir()]
    assert scratch == [], "the dead run's scratch folder is reaped"
    assert all(set(entry.counts) == {"pass"} for entry in project.store.newest())


ALL = {("2.10.0", "one"), ("2.10.0", "two"), ("2.11.0", "one"), ("2.11.0", "two")}
FIRST = {("2.10.0", "one"), ("2.10.0", "two")}


@pytest.fixture
def two_cells(project, make):
    """Two cells of two suites each, one after the other, the first release first."""
    suites = """
[suites.one]
command = ["python", "waits.py", "first suite"]
[suites.two]
command = ["python", "waits.py", "second suite"]
exclusive = true
[runners.local]
slots = 1
"""
    project.write(make.matrix("2.10.0", "2.11.0", suites=suites, names='"one", "two"'), waits=WAITS)
    return project


@pytest.mark.parametrize(
    ("stage", "driver", "kept"),
    [
        pytest.param("probe", "", set(), id="probe"),
        pytest.param("first suite", "", set(), id="first-suite"),
        pytest.param("second suite", "", {("2.10.0", "one")}, id="between-suites"),
        pytest.param(
            "",
            f"{STALL}\nimport matrix.store as store\nstore.write_rows = stall",
            set(),
            id="before-a-commit",
        ),
        pytest.param(
            "",
            f"{STALL}\nimport matrix.store as store\nwhole = store._sync\n"
            "store._sync = lambda p: stall() if (p / 'execution.json').exists() else whole(p)",
            set(),
            id="in-a-commit",
        ),
        pytest.param(
            "",
            f"{STALL}\nimport matrix.backends.venv as venv\nwhole = venv.VenvBackend.provision\n"
            "def provision(self, job, *rest):\n"
            "    if job.cell.torch == '2.11.0': stall()\n"
            "    return whole(self, job, *rest)\n"
            "venv.VenvBackend.provision = provision",
            FIRST,
            id="after-a-cell",
        ),
        pytest.param(
            "",
            f"{STALL}\nimport matrix.store as store\nstore.Bundle.finish = stall",
            ALL,
            id="before-the-end",
        ),
    ],
)
def test_what_finished_is_kept_and_only_the_rest_is_run_again(
    two_cells, until, kill, tmp_path, stage, driver, kept
):
    file = tmp_path / "stalled"
    process = two_cells.start("run", driver=driver, STALL_AT=stage, STALL_FILE=file)
    until(lambda: file.exists() or process.poll() is not None, f"the run reaches {stage!r}", 60)
    assert process.poll() is None, process.communicate()
    kill(process)
    until(lambda: not two_cells.processes(), "all processes of the cell ended", 30)
    if kept == ALL:
        assert two_cells.run()["run"] is None
        assert not two_cells.last.finished
    else:
        check_the_rest(two_cells, process, kept)


def test_killed_beneath_a_test_that_started_a_program(project, make, until, kill, tmp_path):
    """In a session of its own, deaf to SIGTERM: it goes all the same."""
    project.write(make.matrix("2.11.0"), mine__test_a=CHILD)
    file = tmp_path / "stalled"
    process = project.start("run", STALL_AT="child", STALL_FILE=file)
    until(lambda: file.exists() or process.poll() is not None, "the program runs", 60)
    kill(process)
    until(lambda: not project.processes(), "all processes of the cell ended", 30)
    assert project.run()["executions"][0]["counts"] == {"pass": 1}


def test_killed_while_it_resolves(two_cells, until, kill, silent_index):
    """uv waits for an index; the next run ends what still waits for nobody."""
    url, asked = silent_index
    process = two_cells.start("run", PIP_NO_INDEX="", PIP_FIND_LINKS="", PIP_INDEX_URL=url)
    until(lambda: asked.is_set() or process.poll() is not None, "uv asks the index")
    kill(process)
    check_the_rest(two_cells, process, set())
    until(lambda: not two_cells.processes(), "uv ended", 5)


def test_killed_while_it_installs(two_cells, until, kill, tmp_path):
    """Half an environment is nobody's: the next run makes its own."""
    driver = """
import matrix.locks as locks
whole = locks.Resolver.call
def call(self, *arguments, **options):
    if "sync" not in arguments:
        return whole(self, *arguments, **options)
    from matrix.process import run
    import os, sys
    code = "import os, time; open(os.environ['STALL_FILE'], 'w').close(); time.sleep(600)"
    env = {**self.env, "STALL_FILE": os.environ["STALL_FILE"]}
    return run([sys.executable, "-c", code], env=env, timeout=600, stop=self.stop)
locks.Resolver.call = call
"""
    file = tmp_path / "stalled"
    process = two_cells.start("run", driver=driver, STALL_FILE=file)
    until(lambda: file.exists() or process.poll() is not None, "the install runs")
    kill(process)
    check_the_rest(two_cells, process, set())
    until(lambda: not two_cells.processes(), "the installer ended", 5)


def test_killed_again_and_again(two_cells, until, kill, tmp_path):
    """Every run carries on where the last one died; nothing is ever done twice."""
    for number, stage in enumerate(("second suite", "second suite", "second suite")):
        file = tmp_path / f"stalled{number}"
        process = two_cells.start("run", STALL_AT=stage, STALL_FILE=file)
        until(lambda p=process, f=file: f.exists() or p.poll() is not None, "it stalls", 60)
        kill(process)
    until(lambda: not two_cells.processes(), "all processes ended")
    made = [(e.cell[5:11], e.suite) for run in two_cells.store.runs() for e in run.entries]
    assert sorted(made) == [("2.10.0", "one"), ("2.11.0", "one")]
    assert len(two_cells.run()["executions"]) == 2
