"""The board says what runs and what came of it, to a terminal and to a log."""

import importlib
import io
import sys
import threading

import pytest

from matrix.board import duration, make_board
from matrix.board.state import loud

LABEL = "torch2.13.0-cpu-py3.11 feature"


class Clock:
    """Time that moves when told to."""

    def __init__(self):
        self.at = 1000.0

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stream():
    return io.StringIO()


def plain(stream, clock, total=2, **options):
    return make_board(stream, total=total, color=False, interactive=False, now=clock, **options)


def test_a_job_is_one_line_per_event(stream, clock):
    """A log has the start, each stage once, and the end with verdicts and time; no progress."""
    with plain(stream, clock, total=1) as board:
        board.started("j", LABEL, 40.0)
        board.stage("j", "install")
        board.stage("j", "install")
        board.progress("j", 7, 19)
        clock.at += 41.2
        board.finished("j", {"unsupported": 1, "pass": 17}, "", 41.2)
    assert stream.getvalue() == (
        "[ RUN  ] torch2.13.0-cpu-py3.11 feature (about 40.0 s)\n"
        "[ STEP ] torch2.13.0-cpu-py3.11 feature: install\n"
        "[ DONE ] torch2.13.0-cpu-py3.11 feature: 17 pass, 1 unsupported (41.2 s)\n"
        "[ END  ] 1/1 done; 17 pass, 1 unsupported; 41.2 s\n"
    )


@pytest.mark.parametrize(
    ("counts", "reason", "said"),
    [
        pytest.param(
            {"pass": 3, "skip": 1, "wrong": 2}, "", "3 pass, 2 WRONG, 1 skip", id="loud-after-pass"
        ),
        pytest.param({}, "", "done", id="an-environment-has-no-verdicts"),
        pytest.param({}, "disk full", "failed", id="a-reason-without-verdicts-is-a-failure"),
        pytest.param({"meteor": 1}, "", "1 meteor", id="unknown-verdict-is-shown"),
        pytest.param({"waived": 1, "pass": 2}, "", "2 pass, 1 waived", id="waived-is-no-pass"),
        pytest.param({"infra": 1}, "engine\n\x1b[2Jgone", "1 infra", id="control-characters"),
    ],
)
def test_the_end_of_a_job_is_one_harmless_line(stream, clock, counts, reason, said):
    """Verdicts are words, and a reason cannot clear the screen or make a line of its own."""
    board = plain(stream, clock)
    board.finished("j", counts, reason, 1.0)
    why = {"": "", "disk full": ": disk full"}.get(reason, ": engine gone")
    assert stream.getvalue() == f"[ DONE ] j: {said} (1.0 s){why}\n"


def test_the_heartbeat_names_what_runs_and_for_how_long(stream, clock):
    """A silent minute ends with the totals and a line per running job, once."""
    board = plain(stream, clock, total=3)
    board.started("a", LABEL, 100.0)
    board.stage("a", "tests")
    board.progress("a", 7, 19)
    clock.at += 59
    board.tick()
    before = stream.getvalue()
    clock.at += 1
    board.tick()
    board.tick()
    assert stream.getvalue().removeprefix(before) == (
        "[ BEAT ] 0/3 done, 1 running, 2 waiting; 60.0 s, about 4m 00s left\n"
        "[ BEAT ] torch2.13.0-cpu-py3.11 feature: tests 7/19, 60.0 s, 40.0 s left\n"
    )


def test_the_heartbeat_comes_by_itself(stream):
    """Nobody has to call it: a thread does, until the board is left."""
    said = threading.Event()

    class Watched(io.StringIO):
        def write(self, text):
            if "[ BEAT ]" in text:
                said.set()
            return super().write(text)

    before = threading.active_count()
    with make_board(Watched(), total=1, color=False, interactive=False, heartbeat_s=0.01) as board:
        board.started("a", LABEL, None)
        assert said.wait(10)
    assert threading.active_count() == before


def test_a_job_past_its_estimate_says_by_how_much(stream, clock):
    """An overdue job does not have negative time left."""
    board = plain(stream, clock, heartbeat_s=1)
    board.started("a", "a", 10.0)
    clock.at += 25
    board.tick()
    assert "[ BEAT ] a: starting, 25.0 s, 15.0 s over\n" in stream.getvalue()


def test_an_end_that_nobody_knows_is_not_guessed(stream, clock):
    """Without an estimate and without a finished job there is nothing to go by."""
    board = plain(stream, clock, heartbeat_s=1)
    board.started("a", "a", None)
    clock.at += 5
    board.tick()
    assert "1 waiting; 5.0 s, end unknown\n" in stream.getvalue()


def test_finished_jobs_give_the_length_of_the_others(stream, clock):
    """Two of four took 10 s each in two slots: two more take 10 s."""
    board = plain(stream, clock, total=4, heartbeat_s=1)
    board.started("a", "a", None)
    board.started("b", "b", None)
    clock.at += 10
    board.finished("a", {"pass": 1}, "", 10.0)
    board.finished("b", {"pass": 1}, "", 10.0)
    board.tick()
    assert "2/4 done, 2 waiting; 2 pass; 10.0 s, about 10.0 s left\n" in stream.getvalue()


def test_a_closed_pipe_does_not_stop_the_run(clock):
    """`run 2>&1 | head` ends the reader, not the run."""

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with plain(Closed(), clock) as board:
        board.note("still here")


def test_a_stream_that_cannot_write_a_character_gets_its_number(clock):
    """A log in ASCII shows an escape instead of failing."""
    raw = io.BytesIO()
    board = plain(io.TextIOWrapper(raw, encoding="ascii"), clock)
    board.note("≠ 0")
    assert raw.getvalue() == b"[ NOTE ] \\u2260 0\n"


def test_many_threads_write_whole_lines(stream, clock):
    """Workers call the board at the same time; no line is torn or lost."""
    with plain(stream, clock, total=200) as board:

        def work(worker):
            for n in range(25):
                job = f"{worker}-{n}"
                board.started(job, job, None)
                board.stage(job, "tests")
                board.finished(job, {"pass": 1}, "", 1.0)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 601
    assert sum(line.endswith(": 1 pass (1.0 s)") for line in lines) == 200
    assert lines[-1] == "[ END  ] 200/200 done; 200 pass; 0.0 s"


@pytest.fixture
def live(stream, clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "8")
    return make_board(stream, total=9, color=False, interactive=True, now=clock)


def drawn(board, width=80, height=8):
    return [line for _, line in board._lines(width, height)]


def test_the_live_board_has_totals_and_a_line_per_job(live, clock):
    """Stage, time and remaining time are in columns under the totals."""
    live.started("a", LABEL, 60.0)
    live.started("b", "torch2.9.0-cu128-py3.12 feature", None)
    live.stage("a", "tests")
    live.progress("a", 7, 19)
    clock.at += 12
    assert drawn(live) == [
        "0/9 done, 2 running, 7 waiting; 12.0 s, about 4m 18s left",
        "  torch2.13.0-cpu-py3.11 feature   tests 7/19  12.0 s  48.0 s left",
        "  torch2.9.0-cu128-py3.12 feature  starting    12.0 s  end unknown",
    ]


def test_the_live_board_fits_the_terminal(live):
    """More jobs than lines are counted; a long label gives way to stage and times."""
    for n in range(9):
        live.started(str(n), f"torch2.{n}.0-cu128-py3.12-{'x' * 80}", None)
    lines = drawn(live)
    assert lines[-1] == "  and 4 more"
    assert len(lines) == 7
    assert {len(line) for line in lines[1:-1]} == {80}


def test_the_live_board_leaves_finished_jobs_as_lines(live, stream, clock):
    """What is done scrolls away above the board in the words of the plain one."""
    with live as board:
        board.started("a", LABEL, None)
        board.finished("a", {"pass": 16, "wrong": 1}, "error 0.4", 5.0)
    text = stream.getvalue()
    done = "[ DONE ] torch2.13.0-cpu-py3.11 feature: 16 pass, 1 WRONG (5.0 s): error 0.4"
    assert done in text
    assert text.count("[ DONE ]") == 1
    assert "[ END  ] 1/9 done, 8 waiting; 16 pass, 1 WRONG; 0.0 s" in text


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        pytest.param({"pass": 9, "skip": 1, "unsupported": 1}, "pass", id="nothing-to-look-at"),
        pytest.param({"pass": 9, "waived": 1}, "waived", id="accepted-is-not-green"),
        pytest.param({"waived": 1, "oom": 1}, "oom", id="what-nobody-accepted-is-louder"),
        pytest.param({"meteor": 1}, "meteor", id="unknown-is-not-green"),
    ],
)
def test_a_job_has_the_colour_of_its_loudest_verdict(counts, verdict):
    """Green is what needs no look; a skip and a refusal of torch need none."""
    assert loud(counts) == verdict


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        pytest.param(0.04, "0.0 s", id="nothing"),
        pytest.param(99.94, "99.9 s", id="seconds"),
        pytest.param(99.95, "1m 40s", id="minutes"),
        pytest.param(3599.6, "1h 00m", id="rounds-into-the-hour"),
        pytest.param(90061, "25h 01m", id="days-are-hours"),
    ],
)
def test_durations_are_short(seconds, said):
    """Two units at most."""
    assert duration(seconds) == said


def test_a_log_does_not_pay_for_the_terminal(stream, monkeypatch):
    """The plain board works where neither rich nor pandas can be imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] in {"rich", "pandas"}]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("rich", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith(("matrix.board", "matrix.rep"))]:
        monkeypatch.delitem(sys.modules, name)
    fresh = importlib.import_module("matrix.board")
    with fresh.make_board(stream, total=1, color=True, interactive=False) as board:
        board.note("hello")
    assert stream.getvalue().startswith("[ NOTE ] hello\n[ END  ] 0/1 done, 1 waiting; ")


@pytest.mark.parametrize("interactive", [False, True])
def test_a_run_that_is_asked_to_stop_says_what_it_ends_and_keeps(clock, stream, interactive):
    with make_board(stream, total=7, color=False, interactive=interactive, now=clock) as board:
        board.started("e", "a environment", None)
        board.finished("e", {}, "", 1.0)
        board.started("s", "a feature", None)
        board.finished("s", {"pass": 3}, "", 1.0)
        board.started("one", "b feature", None)
        clock.at += 1
        board.started("two", "c environment", None)
        board.stopping("SIGINT")
    assert (
        "[ STOP ] SIGINT: stopping, what finished is kept (1 suite); ends b feature, "
        "c environment; once more does not wait\n"
    ) in stream.getvalue()
    assert "[ END  ] 2/7 done, 2 stopped, 3 not begun; 3 pass; 1.0 s\n" in stream.getvalue()


def test_much_that_is_ended_is_counted(clock, stream):
    with plain(stream, clock, total=9) as board:
        for number in range(6):
            board.started(str(number), f"cell{number}", None)
        board.stopping("SIGTERM")
    line = next(line for line in stream.getvalue().splitlines() if "STOP" in line)
    assert line.endswith(
        "(no suites); ends cell0, cell1, cell2, cell3 and 2 more; once more does not wait"
    )


def test_a_board_that_stops_gives_no_estimate(clock, stream):
    board = plain(stream, clock, heartbeat_s=60.0)
    board.started("j", LABEL, 600.0)
    board.stopping("SIGINT")
    clock.at += 61
    board.tick()
    assert "[ BEAT ] 0/2 done, 1 running, 1 waiting; 1m 01s" not in stream.getvalue()
    assert "1 running, 1 waiting; 61.0 s, stopping\n" in stream.getvalue()
