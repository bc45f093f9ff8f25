"""The supervisor's order is checked as a whole, and typos are errors."""

from pathlib import Path

import pytest

from matrix.inside.job import Job, JobError, parse_job

GOOD = {"suite": "feature", "out": "/out", "tests": ["/p/tests/feature"]}


def test_defaults() -> None:
    job = parse_job(GOOD)

    assert job == Job(suite="feature", out="/out", tests=("/p/tests/feature",))
    assert (job.kind, job.test_timeout, job.deadline, job.log_cap) == (
        "pytest",
        120.0,
        1800.0,
        10 * 1024 * 1024,
    )


def test_null_is_absent() -> None:
    assert parse_job({**GOOD, "env": None, "command": None, "cwd": None}) == parse_job(GOOD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"timeout": 3}, "unknown key `timeout`", id="typo"),
        pytest.param(
            {"kind": "nose"}, "`kind` is 'nose', must be one of pytest, command", id="kind"
        ),
        pytest.param({"tests": []}, "`tests` is empty", id="no tests"),
        pytest.param({"kind": "command"}, "`command` is empty", id="no command"),
        pytest.param({"tests": "a"}, "`tests` must be a list of strings", id="string for list"),
        pytest.param(
            {"deadline": -1}, "`deadline` is -1, must be a number that is not negative", id="sign"
        ),
        pytest.param(
            {"suite": "", "log_cap": "x"}, "missing key `suite`; `log_cap` is 'x'", id="two"
        ),
    ],
)
def test_mistakes(change: dict[str, object], message: str) -> None:
    with pytest.raises(JobError, match="^" + message.replace("[", r"\[")):
        parse_job({**GOOD, **change})


def test_ids_are_relative_to_what_the_tests_share(tmp_path: Path) -> None:
    """A folder itself, the folder of a file, or the nearest one above several."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test_x.py").touch()

    def root(*tests: Path) -> Path:
        return Path(parse_job({**GOOD, "tests": [str(path) for path in tests]}).root)

    assert root(tmp_path / "one") == tmp_path / "one"
    assert root(tmp_path / "one" / "test_x.py") == tmp_path / "one"
    assert root(tmp_path / "one", tmp_path / "two") == tmp_path
