"""What names this machine stays on it."""

import json
from pathlib import Path

import pytest

from matrix.backends.docker import PAYLOAD, SUITE
from matrix.redact import MAX_BYTES, Redactor

PUBLISHED = Path(__file__).parents[2] / "results" / "runs"
HERE = Redactor.of(
    {"work": Path("/home/me/m/results/work"), "home": Path("/home/me"), "root": Path("/")},
    ["https://mirror.corp/simple", "/srv/wheels"],
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/home/me/m/results/work/x", "<work>/x", id="the-longest-path-first"),
        pytest.param("/home/me/.pip", "<home>/.pip", id="home"),
        pytest.param("/usr/lib/python3", "/usr/lib/python3", id="nobodys-path-stays"),
        pytest.param("--index https://mirror.corp/simple/", "--index <index>/", id="index"),
        pytest.param("from /srv/wheels", "from <index>", id="wheel-folder"),
        pytest.param("https://me:secret@host/x", "https://***@host/x", id="credentials"),
    ],
)
def test_text(text, expected):
    assert HERE.text(text) == expected


def test_a_folders_texts_are_rewritten_and_nothing_else(tmp_path):
    (tmp_path / "a.log").write_bytes(b"+ /home/me/bin/uv \xff")
    (tmp_path / "b.parquet").write_text("/home/me")
    (tmp_path / "link.log").symlink_to("/etc/hostname")
    round_folder = tmp_path / "rounds" / "02"
    round_folder.mkdir(parents=True)
    (round_folder / "job.json").write_text('{"cwd": "/home/me/work"}')
    HERE.clean(tmp_path)
    assert (tmp_path / "a.log").read_bytes() == b"+ <home>/bin/uv \xff"
    assert (round_folder / "job.json").read_text() == '{"cwd": "<home>/work"}'
    assert (tmp_path / "b.parquet").read_text() == "/home/me"
    assert (tmp_path / "link.log").is_symlink()


def test_the_interpreter_of_a_job_is_named_too():
    assert (
        HERE.also("cell", Path("/opt/torch")).text("/opt/torch/bin/python") == "<cell>/bin/python"
    )


def test_engines_of_a_plan_are_named_by_what_they_are():
    here = Redactor.of({}, (), {"ssh://ci@gpu-host", "ci@gpu-host"})
    told = {"note": "no engine at `ssh://ci@gpu-host`", "jobs": [{"n": 1, "why": "ci@gpu-host"}]}
    assert here.data(told) == {
        "note": "no engine at `<engine>`",
        "jobs": [{"n": 1, "why": "<engine>"}],
    }


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("../../results/work/0/env/lib/a.py:3: in f", "<cell>/lib/a.py:3: in f"),
        ("(\\n../../../home/x/results/work/0/env", "(\\n<cell>"),
        ("../0/env", "<cell>"),
        ("../results/work/0/b", "<work>/b"),
        ("../env ../0/environ ../other/0/env 0/env", "../env ../0/environ ../other/0/env 0/env"),
    ],
)
def test_a_path_from_a_folder_beside_it_is_named_too(tmp_path, text, cleaned):
    (tmp_path / "suite.log").write_text(text)
    work = Path("/home/x/results/work/0")
    Redactor.of({"work": work}, ()).also("cell", work / "env").clean(tmp_path)
    assert (tmp_path / "suite.log").read_text() == cleaned


def test_a_dockerfile_is_a_text_too(tmp_path):
    (tmp_path / "Dockerfile").write_text("COPY /srv/wheels /x\n")
    HERE.clean(tmp_path)
    assert (tmp_path / "Dockerfile").read_text() == "COPY <index> /x\n"


def test_a_monstrous_file_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("matrix.redact.MAX_BYTES", 10)
    (tmp_path / "a.log").write_text("x" * 100)
    HERE.clean(tmp_path)
    assert (tmp_path / "a.log").stat().st_size == 10
    assert MAX_BYTES > 10


def test_published_jobs_ran_in_named_places():
    jobs = sorted(PUBLISHED.rglob("job.json"))
    assert len(jobs) > 50
    places = {str(json.loads(path.read_text())["cwd"]) for path in jobs}
    inside = ("<", f"{PAYLOAD}/", str(SUITE))  # of a container
    assert {place for place in places if not place.startswith(inside)} == set()
